//! The least that the same work takes: blocking sockets, plain threads, and two processes who know what the other lacks.

use std::io::{BufRead, BufReader, Read, Write};
use std::iter::once;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread;

use walytis_core::query::{self, Query};
use walytis_core::{
    AuthorSecret, Batch, BlockId, BlockKind, ChainId, Draft, ParsedBlock, Pending, Place, RawBlock, Store, Table,
    VerifiedBlock, chains, codec,
};
use walytis_engine::sync::PORTION_BYTES;

use crate::measure::{APART, ROUNDS, add_percentiles};
use crate::node::{IN_FLIGHT, now, open};
use crate::options::{Figures, clock_ns, cpu_seconds};
use crate::second::{OF_FLOOR, Second, say};
use crate::shape::author;

/// Blocks where no chain is kept: a row each, by number.
const ROWS: Table = Table::permanent("bench.blocks");
/// The authors of the two processes.
const FIRST: u64 = 1_000_000;
const SECOND: u64 = 1_000_001;

/// Signs blocks one behind another.
struct Signer {
    chain: ChainId,
    author: AuthorSecret,
    /// Behind which the first one stands.
    heads: Vec<BlockId>,
    last: Option<(BlockId, u64)>,
    bytes: usize,
}

impl Signer {
    fn new(chain: ChainId, heads: Vec<BlockId>, by: u64, bytes: usize) -> Self {
        Self { chain, author: author(by), heads, last: None, bytes }
    }

    fn sign(&mut self) -> VerifiedBlock {
        let parents = std::mem::take(&mut self.heads);
        let draft = Draft {
            kind: BlockKind::Content,
            place: Place::After { chain: self.chain, parents, previous: self.last },
            foreign: Vec::new(),
            topics: Vec::new(),
            content: vec![b'x'; self.bytes],
        };
        let block = draft.sign_alone(&self.author, now()).unwrap();
        self.last = Some((block.id(), block.header().sequence));
        block
    }
}

/// A chain in a store.
struct Side {
    store: Arc<dyn Store>,
    view: Pending,
    chain: ChainId,
}

impl Side {
    fn open(folder: &Path, chain: ChainId) -> Self {
        let store = open(folder);
        Self { view: Pending::new(Arc::clone(&store)), store, chain }
    }

    fn signer(&self, by: u64, bytes: usize) -> Signer {
        Signer::new(self.chain, chains::heads(&self.view, self.chain).unwrap(), by, bytes)
    }

    /// Inserts blocks, and returns when they are durable.
    fn commit(&mut self, blocks: &[VerifiedBlock]) {
        for block in blocks {
            chains::insert(&mut self.view, block).unwrap();
        }
        let (number, batch) = self.view.close_step().unwrap();
        self.store.commit(&batch).unwrap();
        self.view.committed(number);
    }

    /// Writes the blocks that the other side lacks, and says at which positions they are.
    fn write(&mut self, by: u64, bytes: usize) -> Range<u64> {
        let from = chains::length(&self.view, self.chain).unwrap();
        let mut signer = self.signer(by, bytes);
        let blocks: Vec<VerifiedBlock> = (0..APART).map(|_| signer.sign()).collect();
        self.commit(&blocks);
        from..from + APART
    }

    /// Sends these blocks, and takes as many from the other side.
    fn exchange(&mut self, stream: &TcpStream, own: Range<u64>) {
        let read = |position| chains::block_at(&self.view, self.chain, position).unwrap().unwrap().block;
        let mine: Vec<VerifiedBlock> = own.map(read).collect();
        thread::scope(|scope| {
            // Both write first, more than what is on the way may be.
            scope.spawn(|| send(stream, &mine));
            let theirs: Vec<VerifiedBlock> = receive(&mut &*stream).unwrap().into_iter().map(verify).collect();
            self.commit(&theirs);
        });
    }
}

fn verify(raw: RawBlock) -> VerifiedBlock {
    ParsedBlock::parse(raw).unwrap().verify(None).unwrap()
}

/// Sends blocks as one frame: length, blocks.
fn send(mut stream: &TcpStream, blocks: &[VerifiedBlock]) {
    let raw: Vec<&RawBlock> = blocks.iter().map(|block| block.raw()).collect();
    let encoded = codec::encode(&raw);
    let length = u32::try_from(encoded.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &encoded].concat()).unwrap();
}

/// The blocks of the next frame; `None` if there is none.
fn receive(stream: &mut impl Read) -> Option<Vec<RawBlock>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut encoded = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut encoded).unwrap();
    Some(codec::decode(&encoded).unwrap())
}

/// Writes blocks a row each, what waits as one group, and tells of each group once it is durable.
fn commit_groups(store: &dyn Store, waiting: &mpsc::Receiver<Vec<VerifiedBlock>>, told: impl Fn(Vec<VerifiedBlock>)) {
    let mut number = 0_u64;
    while let Ok(first) = waiting.recv() {
        let group: Vec<VerifiedBlock> = once(first).chain(waiting.try_iter()).flatten().collect();
        let mut batch = Batch::new();
        for block in &group {
            let raw = block.raw();
            batch.put(ROWS, number.to_be_bytes(), [&raw.header[..], &raw.signature, &raw.content].concat());
            number += 1;
        }
        store.commit(&batch).unwrap();
        told(group);
    }
}

/// Takes so many blocks into a store; when it returns, all of them are durable.
fn take(store: &dyn Store, stream: &TcpStream, blocks: u64) {
    let mut stream = BufReader::new(stream);
    thread::scope(|scope| {
        let (verified, waiting) = mpsc::channel();
        scope.spawn(move || commit_groups(store, &waiting, drop));
        let mut left = usize::try_from(blocks).unwrap();
        while left > 0 {
            let portion: Vec<VerifiedBlock> = receive(&mut stream).unwrap().into_iter().map(verify).collect();
            left -= portion.len();
            verified.send(portion).unwrap();
        }
    });
}

/// Starts the second process, tells it what to do, and returns the way to it.
fn start(second: &mut Second, what: &str) -> TcpStream {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    second.tell(&format!("{} {what}", listener.local_addr().unwrap().port()));
    let (stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A second process, with a copy of the first one's store.
fn second_with_copy(folder: &Path) -> Second {
    let there = folder.join("copy");
    std::fs::create_dir_all(&there).unwrap();
    std::fs::copy(folder.join("first/store.redb"), there.join("store.redb")).unwrap();
    Second::start(OF_FLOOR, &there)
}

/// Reads the chain's first blocks, and sends them.
pub(crate) fn join(figures: &mut Figures, folder: &Path, chain: ChainId, blocks: u64) {
    let mut second = Second::start(OF_FLOOR, &folder.join("floor-of-join"));
    let view = Pending::new(open(&folder.join("first")));
    second.ask("0 open");
    let before = second.cpu_of_both();
    let mut stream = start(&mut second, &format!("join {}", blocks + 1));
    // It asks.
    stream.read_exact(&mut [0]).unwrap();
    let (mut portion, mut bytes, mut after) = (Vec::new(), 0, None);
    let mut left = usize::try_from(blocks).unwrap() + 1;
    while left > 0 {
        let page = query::page(&view, chain, &Query::default(), after, left.min(256)).unwrap();
        left -= page.blocks.len();
        after = page.next;
        for stored in page.blocks {
            let raw = stored.block.raw();
            bytes += raw.header.len() + raw.signature.len() + raw.content.len();
            portion.push(stored.block);
            if bytes >= PORTION_BYTES {
                send(&stream, &portion);
                (portion, bytes) = (Vec::new(), 0);
            }
        }
    }
    if !portion.is_empty() {
        send(&stream, &portion);
    }
    let took = second.one();
    let cpu = second.cpu_of_both() - before;
    figures.add("f_join", "s", took / 1e9, cpu);
    figures.add("f_join_cpu", "us", cpu * 1e6 / blocks as f64, cpu);
    second.end();
}

/// Each side has blocks that the other lacks, and knows which.
pub(crate) fn catch_up(figures: &mut Figures, folder: &Path, chain: ChainId, bytes: usize) {
    let mut second = second_with_copy(folder);
    let mut here = Side::open(&folder.join("first"), chain);
    let from = second.ask(&format!("0 write {chain} {bytes}"));
    let own = here.write(FIRST, bytes);
    let before = second.cpu_of_both();
    let stream = start(&mut second, &format!("catch-up {chain} {from}"));
    here.exchange(&stream, own);
    let here_ns = clock_ns() as f64;
    let (started, there_ns) = second.two();
    let cpu = second.cpu_of_both() - before;
    figures.add("f_catchup", "s", (there_ns.max(here_ns) - started) / 1e9, cpu);
    figures.add("f_catchup_cpu", "ms", cpu * 1e3, cpu);
    second.end();
}

/// Blocks on their way from chain to chain, one at a time.
pub(crate) fn latency(figures: &mut Figures, folder: &Path, chain: ChainId, bytes: usize) {
    let mut second = second_with_copy(folder);
    let mut here = Side::open(&folder.join("first"), chain);
    let mut signer = here.signer(FIRST, bytes);
    let before = second.cpu_of_both();
    let mut stream = start(&mut second, &format!("latency {chain}"));
    let mut round = || {
        let called = clock_ns();
        let block = [signer.sign()];
        here.commit(&block);
        send(&stream, &block);
        let mut durable = [0; 8];
        stream.read_exact(&mut durable).unwrap();
        (u64::from_be_bytes(durable) - called) as f64 / 1e6
    };
    // A handle's first commit opens the file anew.
    round();
    let samples = (0..ROUNDS).map(|_| round()).collect();
    // The second answers once no more blocks come.
    drop(stream);
    let cpu = second.cpu_of_both() - before;
    add_percentiles(figures, ["f_latency_median", "f_latency_p99"], samples, cpu);
    second.end();
}

/// Blocks on their way from rows to rows, 64 under way.
pub(crate) fn burst(figures: &mut Figures, folder: &Path, chain: ChainId, bytes: usize) {
    let mut second = Second::start(OF_FLOOR, &folder.join("floor-of-burst-second"));
    let store = open(&folder.join("floor-of-burst-first"));
    second.ask("0 open");
    let mut signer = Signer::new(chain, vec![chain.into()], FIRST, bytes);
    let before = second.cpu_of_both();
    let stream = start(&mut second, &format!("burst {ROUNDS}"));
    // Its store is open.
    (&stream).read_exact(&mut [0]).unwrap();
    let called = clock_ns() as f64;
    thread::scope(|scope| {
        let (signed, waiting) = mpsc::channel();
        let (tell, durable) = mpsc::channel();
        let (store, stream) = (&*store, &stream);
        scope.spawn(move || {
            commit_groups(store, &waiting, |group| {
                send(stream, &group);
                tell.send(group.len()).unwrap();
            });
        });
        let mut under_way = 0;
        for _ in 0..ROUNDS {
            while under_way >= IN_FLIGHT {
                under_way -= durable.recv().unwrap();
            }
            signed.send(vec![signer.sign()]).unwrap();
            under_way += 1;
        }
        drop(signed);
        while under_way > 0 {
            under_way -= durable.recv().unwrap();
        }
    });
    let arrived = second.one();
    let cpu = second.cpu_of_both() - before;
    figures.add("f_burst1000", "entries/s", ROUNDS as f64 / ((arrived - called) / 1e9), cpu);
    second.end();
}

/// Does what it is asked to, a line at a time, until its input ends. A line has a port, unless there is nothing to
/// connect to, and a task.
pub(crate) fn second_process(folder: &Path) {
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let connect = || {
            let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, words[0].parse().unwrap())).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        match words[..] {
            ["cpu"] => say(&[cpu_seconds()]),
            // Makes the store.
            [_, "open"] => {
                drop(open(folder));
                say(&[0.0]);
            }
            [_, "write", chain, bytes] => {
                let own = Side::open(folder, chain.parse().unwrap()).write(SECOND, bytes.parse().unwrap());
                say(&[own.start as f64]);
            }
            [_, "join", blocks] => {
                let store = open(folder);
                let mut stream = connect();
                let called = clock_ns();
                stream.write_all(&[0]).unwrap();
                take(&*store, &stream, blocks.parse().unwrap());
                say(&[(clock_ns() - called) as f64]);
            }
            [_, "catch-up", chain, from] => {
                let called = clock_ns();
                let mut here = Side::open(folder, chain.parse().unwrap());
                let from: u64 = from.parse().unwrap();
                here.exchange(&connect(), from..from + APART);
                say(&[called as f64, clock_ns() as f64]);
            }
            [_, "latency", chain] => {
                let mut here = Side::open(folder, chain.parse().unwrap());
                let stream = connect();
                let mut blocks = BufReader::new(&stream);
                while let Some(raw) = receive(&mut blocks) {
                    let verified: Vec<VerifiedBlock> = raw.into_iter().map(verify).collect();
                    here.commit(&verified);
                    (&stream).write_all(&clock_ns().to_be_bytes()).unwrap();
                }
            }
            [_, "burst", blocks] => {
                let store = open(folder);
                let mut stream = connect();
                stream.write_all(&[0]).unwrap();
                take(&*store, &stream, blocks.parse().unwrap());
                say(&[clock_ns() as f64]);
            }
            _ => eprintln!("{line}: not understood"),
        }
    }
}
