//! What those who prove nothing cost a node's thread, as JSON lines.
//!
//! - `h_stranger_frame`: the processor time of the dearest frame of 2 MiB that a stranger may send, the best of its runs;
//!   each to a node that follows a chain, to one that follows none and to one with groups, each frame the first that this
//!   node hears of that stranger.
//! - `h_first_flight`: that of a first flight of a device that nobody knows, to a node with 600 groups; the median of 400.

#![expect(clippy::expect_used, reason = "a benchmark that cannot run should stop")]

#[cfg(unix)]
mod measure {
    use std::io::Write;
    use std::sync::Arc;

    use offchain_testkit::MemoryStore;
    use offchain_testkit::strangers::{Host, Listener, UnknownDevice, longest_frames};
    use rustix::time::{ClockId, clock_gettime};
    use walytis_core::{Dialer, FRAME_BYTES_MAX};
    use walytis_offchain::Event;

    const FRAME: &str = "h_stranger_frame";
    const FLIGHT: &str = "h_first_flight";
    const GROUPS: u64 = 600;

    /// Processor time of this thread, in microseconds.
    fn thread_us() -> f64 {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        (time.tv_sec as f64).mul_add(1e6, time.tv_nsec as f64 / 1e3)
    }

    fn tell(metric: &str, n: u64, bytes: usize, value_us: f64) {
        let (ms, seconds) = (value_us / 1e3, value_us / 1e6);
        writeln!(
            std::io::stdout(),
            r#"{{"system":"walytis","metric":"{metric}","n":{n},"bytes":{bytes},"value":{ms:.4},"unit":"ms","cpu_s":{seconds:.6}}}"#
        )
        .expect("written");
    }

    /// The dearest frame, by the best and by the worst of its runs.
    fn frames(runs: usize) {
        let nodes: [fn() -> Listener; 3] = [
            || Listener::public(true).expect("an empty store"),
            || Listener::public(false).expect("an empty store"),
            || Listener::groups().expect("an empty store"),
        ];
        let (mut best, mut worst) = (0.0_f64, 0.0_f64);
        for open in nodes {
            for frame in longest_frames() {
                let took = |_| {
                    let mut listener = open();
                    listener.meet();
                    let bytes = frame.clone();
                    let before = thread_us();
                    listener.hear(bytes);
                    thread_us() - before
                };
                let all: Vec<f64> = (0..runs).map(took).collect();
                best = best.max(all.iter().copied().fold(f64::INFINITY, f64::min));
                worst = worst.max(all.iter().copied().fold(0.0, f64::max));
            }
        }
        tell(FRAME, 1, FRAME_BYTES_MAX, best);
        tell(&format!("{FRAME}_worst"), 1, FRAME_BYTES_MAX, worst);
    }

    fn first_flights(strangers: u64) {
        let mut host = Host::with_groups(Arc::new(MemoryStore::new()), GROUPS).expect("an empty store");
        let (mut took, mut bytes) = (Vec::new(), 0);
        for mut stranger in (0..strangers).map(UnknownDevice::new) {
            let peer = stranger.peer;
            host.hear(Event::Connected { peer, dialer: Dialer::Peer, address: None }).expect("memory");
            for _ in 0..4 {
                let flight = stranger.flight(host.peer, &host.device).expect("sound keys");
                bytes = flight.len();
                let before = thread_us();
                host.hear(Event::Frame { peer, bytes: flight }).expect("memory");
                took.push(thread_us() - before);
            }
            host.hear(Event::Disconnected(peer)).expect("memory");
        }
        took.sort_by(f64::total_cmp);
        tell(FLIGHT, GROUPS, bytes, took.get(took.len() / 2).copied().expect("some were sent"));
        tell(&format!("{FLIGHT}_worst"), GROUPS, bytes, took.last().copied().expect("some were sent"));
    }

    pub(super) fn main() {
        let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let picks: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
        let is_picked = |metric: &str| {
            picks.is_empty() || picks.iter().any(|pick| metric.starts_with(pick.as_str()) || pick.starts_with(metric))
        };
        if is_picked(FRAME) {
            frames(if quick { 1 } else { 5 });
        }
        if is_picked(FLIGHT) {
            first_flights(if quick { 10 } else { 100 });
        }
    }
}

#[cfg(unix)]
fn main() {
    measure::main();
}

#[cfg(not(unix))]
fn main() {}
