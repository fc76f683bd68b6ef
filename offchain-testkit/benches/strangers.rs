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
    use offchain_testkit::strangers::{Listener, UnknownDevice, longest_frames};
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;
    use rustix::time::{ClockId, clock_gettime};
    use walytis_core::{Dialer, FRAME_BYTES_MAX, Pending, Store, Timestamp};
    use walytis_identities::{History, keyring};
    use walytis_offchain::{Command, Effect, Engine, Event, Ticket};

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

    /// Commits what an engine wants committed, and drops the rest.
    fn run(engine: &mut Engine, store: &Arc<MemoryStore>, event: Event) {
        let (mut events, mut effects) = (vec![event], Vec::new());
        while let Some(event) = events.pop() {
            engine.handle(Timestamp(1), event, &mut effects);
            for effect in effects.drain(..) {
                if let Effect::Commit { number, batch } = effect {
                    store.commit(&batch).expect("memory");
                    events.insert(0, Event::Committed(number));
                }
            }
        }
    }

    fn first_flights(strangers: u64) {
        let store = Arc::new(MemoryStore::new());
        let as_store = || Arc::clone(&store) as Arc<dyn Store>;
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let identity = Engine::create(&as_store(), Timestamp(0), &mut rng).expect("an empty store");
        let mut engine = Engine::open(as_store(), Timestamp(0), Box::new(rng)).expect("its own store");
        for number in 0..GROUPS {
            let command = Command::NewGroup { name: format!("group {number}"), history: History::All };
            run(&mut engine, &store, Event::Command { ticket: Ticket(number), command });
        }
        run(&mut engine, &store, Event::Online);
        let device = keyring::device(&Pending::new(as_store())).expect("a store").expect("it was made");
        let (mut took, mut bytes) = (Vec::new(), 0);
        for mut stranger in (0..strangers).map(UnknownDevice::new) {
            let peer = stranger.peer;
            run(&mut engine, &store, Event::Connected { peer, dialer: Dialer::Peer, address: None });
            for _ in 0..4 {
                let flight = stranger.flight(identity.peer, &device.secret).expect("sound keys");
                bytes = flight.len();
                let before = thread_us();
                run(&mut engine, &store, Event::Frame { peer, bytes: flight });
                took.push(thread_us() - before);
            }
            run(&mut engine, &store, Event::Disconnected(peer));
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
