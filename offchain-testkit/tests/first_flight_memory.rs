//! A first flight, which anybody can send, costs nothing where its device is not known. One test in this file: it counts
//! the whole process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::sync::Arc;

use common::counting::Counting;
use offchain_testkit::MemoryStore;
use offchain_testkit::strangers::UnknownDevice;
use peak_alloc::PeakAlloc;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{Dialer, Pending, Store, Timestamp};
use walytis_identities::{History, keyring};
use walytis_offchain::{Command, Effect, Engine, Event, Ticket};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Commits what an engine wants committed, and drops the rest.
fn run(engine: &mut Engine, store: &Arc<Counting>, event: Event, effects: &mut Vec<Effect>) {
    let mut events = vec![event];
    while let Some(event) = events.pop() {
        engine.handle(Timestamp(1), event, effects);
        for effect in effects.drain(..) {
            if let Effect::Commit { number, batch } = effect {
                store.commit(&batch).expect("memory");
                events.insert(0, Event::Committed(number));
            }
        }
    }
}

#[test]
fn f4_a_first_flight_of_an_unknown_device_reads_folds_and_keeps_nothing() {
    let store = Counting::over(Arc::new(MemoryStore::new()));
    let as_store = || Arc::clone(&store) as Arc<dyn Store>;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let identity = Engine::create(&as_store(), Timestamp(0), &mut rng).expect("an empty store");
    let mut engine = Engine::open(as_store(), Timestamp(0), Box::new(rng)).expect("its own store");
    let mut effects = Vec::new();
    for number in 0..600 {
        let command = Command::NewGroup { name: format!("group {number}"), history: History::All };
        run(&mut engine, &store, Event::Command { ticket: Ticket(number), command }, &mut effects);
    }
    run(&mut engine, &store, Event::Online, &mut effects);
    let view = Pending::new(as_store());
    let device = keyring::device(&view).expect("a store").expect("it was made");
    let mut strangers: Vec<UnknownDevice> = (0..8).map(UnknownDevice::new).collect();
    let mut sent = 0_u32;
    let mut turn = |engine: &mut Engine, stranger: &mut UnknownDevice, effects: &mut Vec<Effect>| {
        let peer = stranger.peer;
        run(engine, &store, Event::Connected { peer, dialer: Dialer::Peer, address: None }, effects);
        for _ in 0..4 {
            let bytes = stranger.flight(identity.peer, &device.secret).expect("sound keys");
            let (reads, folded, held) = (store.reads(), engine.memberships_computed(), MEMORY.current_usage());
            let length = bytes.len();
            run(engine, &store, Event::Frame { peer, bytes }, effects);
            assert_eq!(store.reads() - reads, 0, "rows read");
            assert_eq!(engine.memberships_computed() - folded, 0, "memberships computed");
            // The frame was handed over.
            assert!(
                MEMORY.current_usage() + length <= held,
                "{} bytes are held",
                MEMORY.current_usage() + length - held
            );
            sent += 1;
        }
        run(engine, &store, Event::Disconnected(peer), effects);
    };
    for stranger in &mut strangers {
        turn(&mut engine, stranger, &mut effects);
    }
    assert_eq!(sent, 32);
    assert!(engine.limits_reached().is_empty(), "none of it was out of place: {:?}", engine.limits_reached());
}
