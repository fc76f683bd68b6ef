//! The two processes and what is measured of them.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use rustix::time::{ClockId, clock_gettime};
use walytis_core::{AuthorSecret, BlockId, BlockKind, ChainId, Draft, Pending, Place, Store, chains};
use walytis_node::{Node, Post, Posting, Sharing};

use crate::node::{Running, now, offline, open};

const CHAIN: &str = "chain";
const IN_FLIGHT: usize = 64;
/// How many blocks each side has that the other lacks.
const APART: u64 = 100;
/// Says to the program that it is the second process.
const SECOND: &str = "--second-process";

/// What a chain is like that is joined or caught up with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Authors,
    Heads,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Plain, Self::Authors, Self::Heads];

    fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Authors => "_authors",
            Self::Heads => "_heads",
        }
    }
}

struct Options {
    blocks: Vec<u64>,
    bytes: Vec<usize>,
    runs: usize,
    picks: Vec<String>,
}

impl Options {
    fn read(arguments: impl Iterator<Item = String>) -> Self {
        let mut options = Self { blocks: vec![1_000, 10_000], bytes: vec![100], runs: 5, picks: Vec::new() };
        for argument in arguments {
            let numbers = |text: &str| text.split(',').map(|number| number.parse().unwrap()).collect::<Vec<u64>>();
            match argument.split_once('=') {
                Some(("--blocks", text)) => options.blocks = numbers(text),
                Some(("--bytes", text)) => {
                    options.bytes = numbers(text).into_iter().map(|bytes| usize::try_from(bytes).unwrap()).collect();
                }
                Some(("--runs", text)) => options.runs = text.parse().unwrap(),
                _ if argument == "--quick" => (options.blocks, options.runs) = (vec![1_000], 1),
                _ if argument.starts_with("--") => {}
                _ => options.picks.push(argument),
            }
        }
        options
    }

    fn want(&self, metric: &str) -> bool {
        let met = |pick: &String| metric.starts_with(pick.as_str()) || pick.starts_with(metric);
        self.picks.is_empty() || self.picks.iter().any(met)
    }
}

pub(super) fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if arguments.next_if(|argument| argument == SECOND).is_some() {
        let folder = arguments.next().unwrap();
        return runtime.block_on(second_process(Path::new(&folder)));
    }
    let options = Options::read(arguments);
    runtime.block_on(async {
        for bytes in options.bytes.iter().copied() {
            if options.want("w4") {
                latency(&options, bytes).await;
            }
            for blocks in options.blocks.iter().copied() {
                for shape in Shape::ALL {
                    let suffix = shape.suffix();
                    if options.want(&format!("w3_cold_join{suffix}")) || options.want(&format!("w5_catchup{suffix}")) {
                        join_and_catch_up(&options, shape, blocks, bytes).await;
                    }
                }
            }
        }
    });
}

/// Several runs' values of one metric.
struct Series<'a> {
    metric: String,
    n: u64,
    bytes: usize,
    unit: &'a str,
    values: Vec<(f64, f64)>,
}

impl<'a> Series<'a> {
    fn new(metric: &str, shape: Shape, n: u64, bytes: usize, unit: &'a str) -> Self {
        Self { metric: format!("{metric}{}", shape.suffix()), n, bytes, unit, values: Vec::new() }
    }

    fn add(&mut self, value: f64, cpu_s: f64) {
        self.values.push((value, cpu_s));
    }

    /// Says the best, and the worst if there are several. More is better where it is a rate.
    fn report(mut self, options: &Options) {
        if !options.want(&self.metric) {
            return;
        }
        self.values.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        if self.unit.ends_with("/s") {
            self.values.reverse();
        }
        let say = |metric: &str, (value, cpu_s): (f64, f64)| {
            let (n, bytes, unit) = (self.n, self.bytes, self.unit);
            let line = format!(
                r#"{{"system":"walytis","metric":"{metric}","n":{n},"bytes":{bytes},"value":{value:.4},"unit":"{unit}","cpu_s":{cpu_s:.2}}}"#
            );
            writeln!(std::io::stdout().lock(), "{line}").unwrap();
        };
        say(&self.metric, self.values[0]);
        if self.values.len() > 1 {
            say(&format!("{}_worst", self.metric), self.values[self.values.len() - 1]);
        }
    }
}

async fn join_and_catch_up(options: &Options, shape: Shape, blocks: u64, bytes: usize) {
    let series = |metric, unit| Series::new(metric, shape, blocks, bytes, unit);
    let (mut join, mut join_cpu) = (series("w3_cold_join", "s"), series("w3_join_cpu", "us"));
    let mut join_wire = series("w3_wire", "B");
    let (mut catch_up, mut catch_up_cpu) = (series("w5_catchup", "s"), series("w5_catchup_cpu", "ms"));
    let mut catch_up_wire = series("w5_wire", "B");
    for _ in 0..options.runs {
        let folder = tempfile::tempdir().unwrap();
        let mut second = Second::new(&folder.path().join("second"));
        let here = folder.path().join("first");
        build(&here, shape, blocks, bytes).await;
        let first = Running::start(&here, true).await;
        let code = invite(&first.node).await;

        let before = cpu_seconds() + second.cpu();
        let (took, wire) = second.ask_two(&format!("join {code}"));
        let cpu = cpu_seconds() + second.cpu() - before;
        join.add(took / 1e9, cpu);
        join_cpu.add(cpu * 1e6 / blocks as f64, cpu);
        join_wire.add(wire / blocks as f64, cpu);

        let there = second.ask(&format!("write {APART} {bytes}")) as u64;
        append(&first.node, APART, bytes).await;
        // The second's blocks arrive here while the first's arrive there.
        let mut arriving = first.node.follow_chain(CHAIN).await.unwrap();
        let before = cpu_seconds() + second.cpu();
        second.tell(&format!("start {}", there + APART));
        for _ in 0..APART {
            arriving.next().await.unwrap();
        }
        let here_ns = clock_ns(ClockId::Monotonic);
        let (started, there_ns) = second.two();
        let cpu = cpu_seconds() + second.cpu() - before;
        catch_up.add((there_ns.max(here_ns as f64) - started) / 1e9, cpu);
        catch_up_cpu.add(cpu * 1e3, cpu);
        catch_up_wire.add(second.ask("wire"), cpu);
        second.end();
        first.stop().await;
    }
    for series in [join, join_cpu, join_wire, catch_up, catch_up_cpu, catch_up_wire] {
        series.report(options);
    }
}

async fn latency(options: &Options, bytes: usize) {
    let n = 1_000_u64;
    let series = |metric, unit| Series::new(metric, Shape::Plain, n, bytes, unit);
    let (mut median, mut p99) = (series("w4_latency_median", "ms"), series("w4_latency_p99", "ms"));
    let mut burst = series("w4_burst1000", "entries/s");
    for _ in 0..options.runs {
        let folder = tempfile::tempdir().unwrap();
        let mut second = Second::new(&folder.path().join("second"));
        let here = folder.path().join("first");
        build(&here, Shape::Plain, 0, bytes).await;
        let first = Running::start(&here, true).await;
        let code = invite(&first.node).await;
        second.ask_two(&format!("join {code}"));

        let mut samples = Vec::new();
        let before = cpu_seconds() + second.cpu();
        for _ in 0..n {
            second.ask("next");
            let called = clock_ns(ClockId::Monotonic) as f64;
            first.node.post_to_chain(CHAIN, content(bytes)).await.unwrap();
            samples.push((second.one() - called) / 1e6);
        }
        let cpu = cpu_seconds() + second.cpu() - before;
        samples.sort_by(f64::total_cmp);
        median.add(samples[samples.len() / 2], cpu);
        p99.add(samples[samples.len() * 99 / 100], cpu);

        let before = cpu_seconds() + second.cpu();
        second.ask(&format!("count {n}"));
        let called = clock_ns(ClockId::Monotonic) as f64;
        append(&first.node, n, bytes).await;
        let arrived = second.one();
        burst.add(n as f64 / ((arrived - called) / 1e9), cpu_seconds() + second.cpu() - before);
        second.end();
        first.stop().await;
    }
    for series in [median, p99, burst] {
        series.report(options);
    }
}

/// A chain of so many blocks in the store of a folder. A chain of many authors is written into the store itself.
async fn build(folder: &Path, shape: Shape, blocks: u64, bytes: usize) {
    let node = offline(folder);
    let chain = node.new_chain(CHAIN).await.unwrap().chain;
    if shape == Shape::Plain {
        append(&node, blocks, bytes).await;
    }
    node.shutdown().await;
    drop(node);
    if shape != Shape::Plain {
        insert(&open(folder), chain, shape, blocks, bytes);
    }
}

/// Writes blocks of many authors: 200 that take turns, each behind the one before, or 10,000 side by side, behind which
/// the rest follows.
fn insert(store: &Arc<dyn Store>, chain: ChainId, shape: Shape, blocks: u64, bytes: usize) {
    let mut view = Pending::new(Arc::clone(store));
    let side_by_side = 10_000_u64;
    let mut newest: Option<BlockId> = None;
    let authors: u64 = if shape == Shape::Heads { side_by_side.min(blocks) } else { 200 };
    let secrets: Vec<AuthorSecret> = (0..authors)
        .map(|number| {
            let mut seed = [7; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            AuthorSecret::from_seed(&seed)
        })
        .collect();
    for number in 0..blocks {
        let author = &secrets[usize::try_from(number % authors).unwrap()];
        let apart = shape == Shape::Heads && number < side_by_side;
        let parents = vec![newest.filter(|_| !apart).unwrap_or(chain.into())];
        let previous = chains::previous(&view, chain, author.public()).unwrap();
        let parents = if previous.is_some_and(|(id, _)| parents[0] == id) { Vec::new() } else { parents };
        let draft = Draft {
            kind: BlockKind::Content,
            place: Place::After { chain, parents, previous },
            foreign: Vec::new(),
            topics: Vec::new(),
            content: vec![b'x'; bytes],
        };
        let block = draft.sign_alone(author, now()).unwrap();
        newest = Some(chains::insert(&mut view, &block).unwrap().block.id());
        let full = number % 1_000 == 999 || number + 1 == blocks;
        if let Some((number, batch)) = full.then(|| view.close_step()).flatten() {
            store.commit(&batch).unwrap();
            view.committed(number);
        }
    }
}

async fn invite(node: &Node) -> String {
    node.invite_to_chain(CHAIN, None, Sharing::Inviter).await.unwrap().code.unwrap()
}

/// Appends blocks, 64 under way.
async fn append(node: &Node, blocks: u64, bytes: usize) {
    let mut under_way = VecDeque::new();
    for _ in 0..blocks {
        if under_way.len() >= IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            Posting::durable(oldest).await.unwrap();
        }
        under_way.push_back(node.enqueue_to_chain(CHAIN, content(bytes)).await.unwrap());
    }
    for posting in under_way {
        posting.durable().await.unwrap();
    }
}

fn content(bytes: usize) -> Post {
    Post::new(vec![b'x'; bytes])
}

/// The other process.
struct Second {
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Second {
    fn new(folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(SECOND)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        Self { child, ask, told }
    }

    fn tell(&mut self, line: &str) {
        writeln!(self.ask, "{line}").unwrap();
    }

    fn numbers(&mut self) -> Vec<f64> {
        // The runtime's other threads go on meanwhile.
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            self.told.read_line(&mut line).unwrap();
            line.split_whitespace().map(|number| number.parse().unwrap()).collect()
        })
    }

    fn one(&mut self) -> f64 {
        self.numbers()[0]
    }

    fn two(&mut self) -> (f64, f64) {
        let numbers = self.numbers();
        (numbers[0], numbers[1])
    }

    fn ask(&mut self, line: &str) -> f64 {
        self.tell(line);
        self.one()
    }

    fn ask_two(&mut self, line: &str) -> (f64, f64) {
        self.tell(line);
        self.two()
    }

    /// Processor time of the second so far, in seconds.
    fn cpu(&mut self) -> f64 {
        self.ask("cpu")
    }

    fn end(mut self) {
        drop(self.ask);
        self.child.wait().unwrap();
    }
}

/// Does what it is asked to, a line at a time, until its input ends.
async fn second_process(folder: &Path) {
    let mut lines = tokio::task::block_in_place(|| std::io::stdin().lock().lines());
    let mut running: Option<Running> = None;
    while let Some(line) = tokio::task::block_in_place(|| lines.next()) {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| -> u64 { words[place].parse().unwrap() };
        match words[0] {
            "cpu" => say(&[cpu_seconds()]),
            "wire" => say(&[running.as_ref().map_or(0, Running::frame_bytes) as f64]),
            "join" => {
                let now_running = Running::start(folder, false).await;
                let called = clock_ns(ClockId::Monotonic);
                now_running.node.join_chain(words[1], Some(CHAIN)).await.unwrap().finish().await.unwrap();
                let took = clock_ns(ClockId::Monotonic) - called;
                say(&[took as f64, now_running.frame_bytes() as f64]);
                running = Some(now_running);
            }
            // Writes while nobody hears it.
            "write" => {
                if let Some(running) = running.take() {
                    running.stop().await;
                }
                let node = offline(folder);
                append(&node, number(1), usize::try_from(number(2)).unwrap()).await;
                let blocks = node.chain(CHAIN).await.unwrap().summary.blocks;
                node.shutdown().await;
                say(&[blocks as f64]);
            }
            // Starts, and waits until so many blocks are here.
            "start" => {
                let called = clock_ns(ClockId::Monotonic);
                let now_running = Running::start(folder, false).await;
                let mut arriving = now_running.node.follow_chain(CHAIN).await.unwrap();
                // What was here before it followed need not arrive.
                for _ in arriving.from()..number(1) {
                    arriving.next().await.unwrap();
                }
                say(&[called as f64, clock_ns(ClockId::Monotonic) as f64]);
                running = Some(now_running);
            }
            // Says when so many more have arrived.
            what @ ("next" | "count") => {
                let node = &running.as_ref().unwrap().node;
                let mut arriving = node.follow_chain(CHAIN).await.unwrap();
                say(&[0.0]);
                for _ in 0..if what == "next" { 1 } else { number(1) } {
                    arriving.next().await.unwrap();
                }
                say(&[clock_ns(ClockId::Monotonic) as f64]);
            }
            other => eprintln!("{other}: not understood"),
        }
    }
    if let Some(running) = running {
        running.stop().await;
    }
}

fn say(numbers: &[f64]) {
    let line: Vec<String> = numbers.iter().map(f64::to_string).collect();
    writeln!(std::io::stdout().lock(), "{}", line.join(" ")).unwrap();
}

fn clock_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}

/// Processor time of this process so far, in seconds.
fn cpu_seconds() -> f64 {
    clock_ns(ClockId::ProcessCPUTime) as f64 / 1e9
}
