//! The first process, and what is measured of both.

use std::path::Path;
use std::process::exit;

use walytis_core::ChainId;
use walytis_node::{Node, Sharing};

use crate::floor;
use crate::node::{CHAIN, Running, append, content};
use crate::options::{
    BURST_FLOOR, CATCH_UP, CATCH_UP_FLOOR, Figures, JOIN, JOIN_FLOOR, LATENCY_FLOOR, Options, PROPAGATION, clock_ns,
};
use crate::second::{OF_FLOOR, Second, WITH_NODE, with_node};
use crate::shape::{Shape, build};

/// How many blocks each side has that the other lacks.
pub(crate) const APART: u64 = 100;
/// How many blocks propagate.
pub(crate) const ROUNDS: u64 = 1_000;

pub(super) fn main() {
    let mut arguments = std::env::args().skip(1).peekable();
    if let Some(kind) = arguments.next_if(|argument| [WITH_NODE, OF_FLOOR].contains(&argument.as_str())) {
        let folder = arguments.next().unwrap();
        return match kind.as_str() {
            OF_FLOOR => floor::second_process(Path::new(&folder)),
            _ => runtime().block_on(with_node(Path::new(&folder))),
        };
    }
    let options = Options::read(arguments).unwrap_or_else(|(wrong, text)| {
        eprint!("{text}");
        exit(if wrong { 2 } else { 0 })
    });
    runtime().block_on(async {
        for (blocks, bytes) in options.sizes() {
            if options.propagates(blocks) && wants(&options, Shape::Plain, &[PROPAGATION, LATENCY_FLOOR, BURST_FLOOR]) {
                propagation(&options, blocks, bytes).await;
            }
            for shape in Shape::ALL {
                if wants(&options, shape, &[JOIN, CATCH_UP, JOIN_FLOOR, CATCH_UP_FLOOR]) {
                    join_and_catch_up(&options, shape, blocks, bytes).await;
                }
            }
        }
    });
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn wants(options: &Options, shape: Shape, groups: &[&[&str]]) -> bool {
    groups.iter().any(|metrics| options.want(metrics, shape))
}

async fn invite(node: &Node) -> String {
    node.invite_to_chain(CHAIN, None, Sharing::Inviter).await.unwrap().code.unwrap()
}

async fn join_and_catch_up(options: &Options, shape: Shape, blocks: u64, bytes: usize) {
    let want = |metrics| options.want(metrics, shape);
    let mut figures = Figures::new(shape, blocks, bytes);
    for run in 0..options.runs {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("first");
        let chain = build(&here, shape, blocks, bytes).await;
        if want(JOIN) || want(CATCH_UP) {
            // The share of parents is the same in each run.
            let reads = run == 0 && want(&["w3_wire_parents"]);
            nodes(&mut figures, folder.path(), (blocks, bytes), want(CATCH_UP), reads).await;
        }
        if want(JOIN_FLOOR) {
            floor::join(&mut figures, folder.path(), chain, blocks);
        }
        if want(CATCH_UP_FLOOR) {
            floor::catch_up(&mut figures, folder.path(), chain, bytes);
        }
    }
    figures.report(options);
}

/// A second node joins; both write while they do not hear each other, and catch up.
async fn nodes(figures: &mut Figures, folder: &Path, (blocks, bytes): (u64, usize), catches_up: bool, reads: bool) {
    let mut second = Second::start(WITH_NODE, &folder.join("second"));
    let first = Running::start(&folder.join("first"), true).await;
    let code = invite(&first.node).await;
    let before = second.cpu_of_both();
    let (took, wire) = second.ask_two(&format!("join {code}"));
    let cpu = second.cpu_of_both() - before;
    figures.add("w3_cold_join", "s", took / 1e9, cpu);
    figures.add("w3_join_cpu", "us", cpu * 1e6 / blocks as f64, cpu);
    figures.add("w3_wire", "B", wire / blocks as f64, cpu);
    if reads {
        // Another one joins, and its time does not count.
        first.read_frames(true);
        let mut third = Second::start(WITH_NODE, &folder.join("third"));
        third.ask_two(&format!("join {code}"));
        third.end();
        first.read_frames(false);
        figures.add("w3_wire_parents", "B", first.parent_bytes() as f64 / blocks as f64, 0.0);
    }
    if catches_up {
        let there = second.ask(&format!("write {APART} {bytes}")) as u64;
        append(&first.node, APART, bytes).await;
        // The second's blocks arrive here while the first's arrive there.
        let mut arriving = first.node.follow_chain(CHAIN).await.unwrap();
        let before = second.cpu_of_both();
        second.tell(&format!("start {}", there + APART));
        for _ in 0..APART {
            arriving.next().await.unwrap();
        }
        let here_ns = clock_ns() as f64;
        let (started, there_ns) = second.two();
        let cpu = second.cpu_of_both() - before;
        figures.add("w5_catchup", "s", (there_ns.max(here_ns) - started) / 1e9, cpu);
        figures.add("w5_catchup_cpu", "ms", cpu * 1e3, cpu);
        figures.add("w5_wire", "B", second.ask("wire"), cpu);
    }
    second.end();
    first.stop().await;
}

async fn propagation(options: &Options, blocks: u64, bytes: usize) {
    let want = |metrics| options.want(metrics, Shape::Plain);
    let mut figures = Figures::new(Shape::Plain, blocks, bytes);
    for _ in 0..options.runs {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path().join("first");
        let chain: ChainId = build(&here, Shape::Plain, blocks, bytes).await;
        if want(PROPAGATION) {
            propagate(&mut figures, folder.path(), bytes).await;
        }
        if want(LATENCY_FLOOR) {
            floor::latency(&mut figures, folder.path(), chain, bytes);
        }
        if want(BURST_FLOOR) {
            floor::burst(&mut figures, folder.path(), chain, bytes);
        }
    }
    figures.report(options);
}

/// Blocks on their way to a second node: one at a time, then many.
async fn propagate(figures: &mut Figures, folder: &Path, bytes: usize) {
    let mut second = Second::start(WITH_NODE, &folder.join("second"));
    let first = Running::start(&folder.join("first"), true).await;
    let code = invite(&first.node).await;
    second.ask_two(&format!("join {code}"));

    let mut samples = Vec::new();
    let before = second.cpu_of_both();
    for _ in 0..ROUNDS {
        second.ask("next");
        let called = clock_ns() as f64;
        first.node.post_to_chain(CHAIN, content(bytes)).await.unwrap();
        samples.push((second.one() - called) / 1e6);
    }
    let cpu = second.cpu_of_both() - before;
    add_percentiles(figures, ["w4_latency_median", "w4_latency_p99"], samples, cpu);

    let before = second.cpu_of_both();
    second.ask(&format!("count {ROUNDS}"));
    let called = clock_ns() as f64;
    append(&first.node, ROUNDS, bytes).await;
    let arrived = second.one();
    let cpu = second.cpu_of_both() - before;
    figures.add("w4_burst1000", "entries/s", ROUNDS as f64 / ((arrived - called) / 1e9), cpu);
    second.end();
    first.stop().await;
}

/// Adds the median and the 99th of 100 of times in milliseconds.
pub(crate) fn add_percentiles(figures: &mut Figures, metrics: [&'static str; 2], mut samples: Vec<f64>, cpu_s: f64) {
    samples.sort_by(f64::total_cmp);
    for (metric, per_cent) in metrics.into_iter().zip([50, 99]) {
        figures.add(metric, "ms", samples[samples.len() * per_cent / 100], cpu_s);
    }
}
