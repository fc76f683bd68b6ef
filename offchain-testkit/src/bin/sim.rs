//! Runs the simulated swarm; `cargo xtask sim` builds and starts it.
#![expect(clippy::print_stdout, reason = "a command's results go to standard output")]

fn main() -> std::process::ExitCode {
    let seeds: u64 = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(10);
    let from: u64 = std::env::args().nth(2).and_then(|text| text.parse().ok()).unwrap_or(0);
    let ranges = offchain_testkit::swarm::Ranges { nodes_min: 5, nodes_max: 12, enemies: Vec::new() };
    let mut totals = offchain_testkit::swarm::Totals::default();
    for seed in from..from + seeds {
        let plan = offchain_testkit::swarm::Plan::drawn(seed, &ranges);
        match offchain_testkit::swarm::run(&plan) {
            Ok(outcome) => totals.add(seed, &outcome),
            Err(failure) => {
                println!("seed {seed}: {failure}");
                if std::env::args().nth(3).is_some() && let Some((plan, failure)) = offchain_testkit::swarm::shrunk(&plan) {
                    println!("{failure}\n{plan}");
                }
            }
        }
    }
    println!("{totals}");
    std::process::ExitCode::SUCCESS
}
