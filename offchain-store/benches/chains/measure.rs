//! One process for each run, and what it measures.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, exit};
use std::sync::{Arc, mpsc};
use std::time::Instant;

use offchain_store::{FileDisk, RedbStore, RootKey, SealedStore};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use rustix::time::{ClockId, clock_gettime};
use walytis_core::query::{self, Query};
use walytis_core::{
    AuthorSecret, Batch, BatchNumber, BlockId, BlockKind, ChainId, Draft, HybridSecret, Pending, Place, Store,
    StoredBlock, Table, Timestamp, VerifiedBlock, chains, codec,
};

use crate::options::Options;

/// Says to the program that it is to do one run.
const CHILD: &str = "--child=";
const IN_FLIGHT: usize = 64;
/// How many blocks are appended one at a time, to the chain of the run.
const ALONE: usize = 1_000;
const HEADS: usize = 10_000;
const AUTHORS: usize = 200;
const FLOOR_ROWS: Table = Table::permanent("bench.blocks");

/// What redb may keep in memory of the floor's file: as much as of a store's.
const FLOOR_CACHE_BYTES: usize = 16 * 1024 * 1024;

/// What is appended, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Plain,
    Sealed,
    Deep,
    Heads,
    Authors,
    Floor,
}

impl Shape {
    pub(crate) const ALL: [Self; 6] = [Self::Plain, Self::Sealed, Self::Deep, Self::Authors, Self::Heads, Self::Floor];

    /// What stands behind the names of metrics.
    fn suffix(self) -> &'static str {
        match self {
            Self::Plain | Self::Floor => "",
            Self::Sealed => "_sealed",
            Self::Deep => "_deep",
            Self::Heads => "_heads",
            Self::Authors => "_authors",
        }
    }

    /// The rate of appending.
    fn metric(self) -> String {
        if self == Self::Floor { "f_append".to_owned() } else { format!("w1_append{}", self.suffix()) }
    }

    /// Everything that is measured.
    pub(crate) fn metrics(self) -> Vec<String> {
        let (rate, suffix) = (self.metric(), self.suffix());
        let mut metrics = vec![rate.clone(), format!("{rate}_cpu")];
        if self.has_clear_rows() {
            metrics.extend([format!("w1_disk{suffix}"), format!("w1_disk_parents{suffix}")]);
        }
        let more: &[&str] = match self {
            Self::Plain => &["w1_peak_rss", "w2_open", "w2_scan", "w2_rss", "w1_alone", "w1_alone_commit"],
            Self::Floor => &["f_open", "f_scan"],
            _ => &[],
        };
        metrics.extend(more.iter().map(|metric| (*metric).to_owned()));
        metrics
    }

    /// Whether the file holds a chain whose rows can be read without a key.
    fn has_clear_rows(self) -> bool {
        !matches!(self, Self::Sealed | Self::Floor)
    }
}

/// What one run measured: names and values.
type Measured = Vec<(String, f64)>;

pub(super) fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(task) = arguments.iter().find_map(|argument| argument.strip_prefix(CHILD)) {
        return child(task);
    }
    let options = Options::read(arguments.into_iter()).unwrap_or_else(|(wrong, text)| {
        eprint!("{text}");
        exit(if wrong { 2 } else { 0 })
    });
    for (blocks, bytes) in options.sizes() {
        for shape in Shape::ALL {
            if shape.metrics().iter().any(|metric| options.want(metric)) {
                measure(shape, blocks, bytes, &options);
            }
        }
    }
}

/// Runs one case several times, each in a process of its own, and reports the best and the worst of each metric.
fn measure(shape: Shape, blocks: usize, bytes: usize, options: &Options) {
    let mut all: Vec<Measured> = Vec::new();
    for _ in 0..options.runs {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut measured = start(&format!("append:{shape:?}:{blocks}:{bytes}:{}", path.display()));
        if matches!(shape, Shape::Plain | Shape::Floor) {
            measured.extend(start(&format!("open:{shape:?}:{blocks}:{bytes}:{}", path.display())));
        }
        if shape == Shape::Plain && (options.want("w1_alone") || options.want("w1_alone_commit")) {
            measured.extend(start(&format!("alone:{shape:?}:{blocks}:{bytes}:{}", path.display())));
        }
        all.push(measured);
    }
    for name in shape.metrics().into_iter().filter(|name| options.want(name)) {
        let value_of =
            |measured: &Measured, name: &str| measured.iter().find(|(other, _)| other == name).map(|(_, value)| *value);
        let rate = name == shape.metric();
        let mut runs: Vec<(f64, f64)> = all
            .iter()
            .map(|run| (value_of(run, &name).unwrap(), value_of(run, &format!("{name}/s")).unwrap_or_default()))
            .collect();
        runs.sort_by(|left, right| left.0.total_cmp(&right.0));
        if rate {
            runs.reverse();
        }
        let unit = match name.as_str() {
            _ if rate => "entries/s",
            name if name.ends_with("_cpu") => "us",
            "w1_alone" | "w1_alone_commit" => "ms",
            "w2_open" | "w2_scan" | "f_open" | "f_scan" => "s",
            _ => "B",
        };
        let (best, worst) = (runs[0], runs[runs.len() - 1]);
        report(&name, blocks, bytes, best, unit);
        if runs.len() > 1 {
            report(&format!("{name}_worst"), blocks, bytes, worst, unit);
        }
    }
}

fn report(metric: &str, n: usize, bytes: usize, (value, cpu_s): (f64, f64), unit: &str) {
    let system = if metric.starts_with("f_") { "floor" } else { "walytis" };
    writeln!(
        std::io::stdout().lock(),
        r#"{{"system":"{system}","metric":"{metric}","n":{n},"bytes":{bytes},"value":{value:.6},"unit":"{unit}","cpu_s":{cpu_s:.4}}}"#
    )
    .unwrap();
}

/// Does one run in a process of its own: "name value" lines come back; "name/s" is processor time in seconds.
fn start(task: &str) -> Measured {
    let output = Command::new(std::env::current_exe().unwrap()).arg(format!("{CHILD}{task}")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let pair = |line: &str| line.split_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap()));
    text.lines().filter_map(pair).collect()
}

fn child(task: &str) {
    let parts: Vec<&str> = task.splitn(5, ':').collect();
    let shape = *Shape::ALL.iter().find(|shape| format!("{shape:?}") == parts[1]).unwrap();
    let (blocks, bytes, path) = (parts[2].parse().unwrap(), parts[3].parse().unwrap(), Path::new(parts[4]));
    let say = |name: &str, value: f64| writeln!(std::io::stdout().lock(), "{name} {value}").unwrap();
    if parts[0] == "append" {
        let (seconds, cpu, last) = append(shape, blocks, bytes, path);
        let metric = shape.metric();
        say(&metric, blocks as f64 / seconds);
        say(&format!("{metric}/s"), cpu);
        say(&format!("{metric}_cpu"), last * 1e6);
        if shape == Shape::Plain {
            say("w1_peak_rss", peak_rss());
        }
        if shape.has_clear_rows() {
            say(&format!("w1_disk{}", shape.suffix()), std::fs::metadata(path).unwrap().len() as f64);
            say(&format!("w1_disk_parents{}", shape.suffix()), parent_bytes(path) as f64);
        }
    } else if parts[0] == "alone" {
        let (whole, commit) = append_alone(bytes, path);
        say("w1_alone", whole * 1e3);
        say("w1_alone_commit", commit * 1e3);
    } else if shape == Shape::Floor {
        read_floor(blocks, path, &say);
    } else {
        read(blocks, path, &say);
    }
}

fn open(path: &Path, shape: Shape) -> Arc<dyn Store> {
    if !path.exists() {
        std::fs::File::create_new(path).unwrap();
    }
    let store = RedbStore::on_disk(FileDisk::open(path).unwrap()).unwrap();
    if shape != Shape::Sealed {
        return Arc::new(store);
    }
    let key = RootKey::generate(&mut ChaCha20Rng::seed_from_u64(1));
    Arc::new(SealedStore::create(store, &key, offchain_store::system_random().unwrap()).unwrap())
}

/// Appends: seconds, processor time in seconds, and that of the last tenth for each block.
fn append(shape: Shape, blocks: usize, bytes: usize, path: &Path) -> (f64, f64, f64) {
    let mut appender = Appender::new(shape, open(path, shape), bytes);
    appender.prepare();
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut last = (0, cpu);
    for number in 0..blocks {
        if number == blocks - blocks.div_ceil(10) {
            last = (number, cpu_seconds());
        }
        appender.append(number);
    }
    appender.flush();
    let now = cpu_seconds();
    (start.elapsed().as_secs_f64(), now - cpu, (now - last.1) / (blocks - last.0) as f64)
}

/// Appends one at a time to the chain that is there: the median of seconds from before a block is signed until it is
/// durable, and that of its commit.
fn append_alone(bytes: usize, path: &Path) -> (f64, f64) {
    let mut appender = Appender::new(Shape::Plain, open(path, Shape::Plain), bytes);
    appender.chain = chains::all_chains(&appender.view).unwrap()[0];
    let mut whole: Vec<f64> = (0..ALONE)
        .map(|number| {
            let start = Instant::now();
            appender.append(number);
            appender.flush();
            start.elapsed().as_secs_f64()
        })
        .collect();
    let median = |seconds: &mut Vec<f64>| {
        seconds.sort_by(f64::total_cmp);
        seconds[seconds.len() / 2]
    };
    (median(&mut whole), median(&mut appender.commits))
}

/// One task that appends, and the thread that makes it durable: the node's way.
struct Appender {
    shape: Shape,
    view: Pending,
    chain: ChainId,
    authors: Vec<AuthorSecret>,
    device: HybridSecret,
    rng: ChaCha20Rng,
    content: Vec<u8>,
    last: Vec<Option<(BlockId, u64)>>,
    in_flight: usize,
    floor_batches: u64,
    batches: Option<mpsc::Sender<(BatchNumber, Batch)>>,
    durable: mpsc::Receiver<(BatchNumber, usize, f64)>,
    /// How many seconds each commit took.
    commits: Vec<f64>,
    committer: Option<std::thread::JoinHandle<()>>,
}

impl Appender {
    fn new(shape: Shape, store: Arc<dyn Store>, bytes: usize) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (batches, waiting) = mpsc::channel::<(BatchNumber, Batch)>();
        let (tell, durable) = mpsc::channel();
        let writer = Arc::clone(&store);
        let committer = std::thread::spawn(move || {
            while let Ok((mut last, mut group)) = waiting.recv() {
                let mut count = 1;
                for (number, batch) in waiting.try_iter() {
                    group.append(batch);
                    (last, count) = (number, count + 1);
                }
                let start = Instant::now();
                writer.commit(&group).unwrap();
                let _ = tell.send((last, count, start.elapsed().as_secs_f64()));
            }
        });
        let authors = match shape {
            Shape::Heads => HEADS,
            Shape::Authors => AUTHORS,
            Shape::Deep => 2,
            _ => 1,
        };
        let authors: Vec<AuthorSecret> = (0..authors).map(|_| AuthorSecret::generate(&mut rng)).collect();
        let mut content = vec![0; bytes];
        rng.fill_bytes(&mut content);
        Self {
            shape,
            view: Pending::new(store),
            chain: ChainId::ZERO,
            last: vec![None; authors.len()],
            authors,
            device: HybridSecret::generate(&mut rng),
            rng,
            content,
            in_flight: 0,
            floor_batches: 0,
            batches: Some(batches),
            durable,
            commits: Vec::new(),
            committer: Some(committer),
        }
    }

    /// The genesis, and the heads that are there before.
    fn prepare(&mut self) {
        let genesis = self.block(0, BlockKind::Content, Place::Genesis([1; 32]));
        self.chain = genesis.chain();
        self.insert(&genesis);
        if self.shape == Shape::Heads {
            for author in 0..HEADS {
                let place = Place::After { chain: self.chain, parents: vec![genesis.id()], previous: None };
                let block = self.block(author, BlockKind::Content, place);
                self.last[author] = Some((block.id(), 0));
                self.insert(&block);
            }
        }
        self.flush();
    }

    fn block(&mut self, author: usize, kind: BlockKind, place: Place) -> VerifiedBlock {
        let draft = Draft { kind, place, foreign: Vec::new(), topics: Vec::new(), content: self.content.clone() };
        draft.sign(&self.authors[author], &self.device, Timestamp(1_700_000_000_000), &mut self.rng).unwrap()
    }

    fn append(&mut self, number: usize) {
        let number_bytes = (number as u64).to_le_bytes();
        self.content[..8].copy_from_slice(&number_bytes);
        let author = number % self.authors.len();
        let key = self.authors[author].public();
        let chain = self.chain;
        let place = match self.shape {
            Shape::Heads => {
                let previous = chains::previous(&self.view, chain, key).unwrap();
                Place::After { chain, parents: Vec::new(), previous }
            }
            Shape::Floor => {
                let parents = vec![self.last[0].map_or(chain.into(), |(id, _)| id)];
                Place::After { chain, parents, previous: self.last[0] }
            }
            _ => chains::next_place(&self.view, chain, key).unwrap(),
        };
        let block = self.block(author, BlockKind::Content, place);
        if self.shape == Shape::Floor {
            self.last[0] = Some((block.id(), block.header().sequence));
            let raw = block.raw();
            let mut batch = Batch::new();
            batch.put(FLOOR_ROWS, number_bytes, [&raw.header[..], &raw.signature, &raw.content].concat());
            self.floor_batches += 1;
            self.push(BatchNumber(self.floor_batches), batch);
        } else {
            self.insert(&block);
        }
    }

    fn insert(&mut self, block: &VerifiedBlock) {
        chains::insert(&mut self.view, block).unwrap();
        let (number, batch) = self.view.close_step().unwrap();
        self.push(number, batch);
    }

    fn push(&mut self, number: BatchNumber, batch: Batch) {
        self.batches.as_ref().unwrap().send((number, batch)).unwrap();
        self.in_flight += 1;
        while self.in_flight >= IN_FLIGHT {
            self.wait();
        }
    }

    fn wait(&mut self) {
        let (number, count, seconds) = self.durable.recv().unwrap();
        self.commits.push(seconds);
        self.in_flight -= count;
        self.view.committed(number);
    }

    fn flush(&mut self) {
        while self.in_flight > 0 {
            self.wait();
        }
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        self.batches = None;
        self.committer.take().unwrap().join().unwrap();
    }
}

fn read(blocks: usize, path: &Path, say: &dyn Fn(&str, f64)) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let view = Pending::new(open(path, Shape::Plain));
    let chain = chains::all_chains(&view).unwrap()[0];
    assert_eq!(chains::heads(&view, chain).unwrap().len(), 1);
    say("w2_open", start.elapsed().as_secs_f64());
    say("w2_open/s", cpu_seconds() - cpu);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut seen = 0;
    each_block(&view, chain, |_| seen += 1);
    assert_eq!(seen, blocks + 1);
    say("w2_scan", start.elapsed().as_secs_f64());
    say("w2_scan/s", cpu_seconds() - cpu);
    say("w2_rss", peak_rss());
}

/// Reads every block whole, in the order of arrival.
fn each_block(view: &Pending, chain: ChainId, mut told: impl FnMut(&StoredBlock)) {
    let mut after = None;
    loop {
        let page = query::page(view, chain, &Query::default(), after, 256).unwrap();
        page.blocks.iter().for_each(&mut told);
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

/// How many bytes of a chain's rows name parents: the id of each in the header, and its position before that.
fn parent_bytes(path: &Path) -> u64 {
    let view = Pending::new(open(path, Shape::Plain));
    let chain = chains::all_chains(&view).unwrap()[0];
    let (mut positions, mut bytes) = (BTreeMap::new(), 0);
    each_block(&view, chain, |stored| {
        for parent in stored.block.header().all_parents() {
            bytes += 32 + codec::encode(&positions[&parent]).len() as u64;
        }
        positions.insert(stored.block.id(), stored.position);
    });
    bytes
}

/// What [`read`] measures, of the floor's file and by redb alone.
fn read_floor(blocks: usize, path: &Path, say: &dyn Fn(&str, f64)) {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let database = Database::builder().set_cache_size(FLOOR_CACHE_BYTES).open_read_only(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let table: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new(FLOOR_ROWS.name);
    let rows = transaction.open_table(table).unwrap();
    assert!(rows.last().unwrap().is_some());
    say("f_open", start.elapsed().as_secs_f64());
    say("f_open/s", cpu_seconds() - cpu);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let mut read = Vec::new();
    let mut seen = 0;
    for row in rows.iter().unwrap() {
        let (_, row) = row.unwrap();
        // Whoever reads a block has its bytes.
        read.clear();
        read.extend_from_slice(row.value());
        seen += 1;
    }
    assert_eq!(seen, blocks);
    say("f_scan", start.elapsed().as_secs_f64());
    say("f_scan/s", cpu_seconds() - cpu);
}

/// Processor time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 / 1e9
}

/// The most memory that this process held at a time, in bytes; 0 where the platform does not say.
fn peak_rss() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()).map_or(0.0, |kib: f64| kib * 1024.0)
}
