//! How many seeds of the simulated swarm a second takes, one at a time: `sim_seeds_per_second`, as JSON lines.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

use std::io::Write;
use std::time::Instant;

use offchain_testkit::enemies;
use offchain_testkit::swarm::{self, Plan, Ranges};

const METRIC: &str = "sim_seeds_per_second";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let mut picks = arguments.iter().filter(|argument| !argument.starts_with("--")).peekable();
    if picks.peek().is_some() && !picks.any(|pick| METRIC.starts_with(pick.as_str())) {
        return;
    }
    let seeds = if quick { 10 } else { 60 };
    let enemies = enemies::all().into_iter().map(|class| class.name.to_owned()).collect();
    let ranges = Ranges { nodes_min: 5, nodes_max: 12, enemies };
    let began = Instant::now();
    for seed in 0..seeds {
        swarm::run(&Plan::drawn(seed, &ranges)).expect("the gate's seeds pass");
    }
    // One thread that never waits: what it took is what it worked.
    let seconds = began.elapsed().as_secs_f64();
    let value = f64::from(u32::try_from(seeds).expect("few")) / seconds;
    writeln!(
        std::io::stdout(),
        r#"{{"system":"walytis","metric":"{METRIC}","n":{seeds},"bytes":0,"value":{value:.3},"unit":"1/s","cpu_s":{seconds:.3}}}"#
    )
    .expect("written");
}
