//! A first flight, which anybody can send, costs nothing where its device is not known. One test in this file: it counts
//! the whole process.

mod common;

use std::sync::Arc;

use common::counting::Counting;
use offchain_testkit::MemoryStore;
use offchain_testkit::strangers::{Host, UnknownDevice};
use peak_alloc::PeakAlloc;
use walytis_core::{Dialer, Store};
use walytis_offchain::Event;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

#[test]
fn f4_a_first_flight_of_an_unknown_device_reads_folds_and_keeps_nothing() {
    let store = Counting::over(Arc::new(MemoryStore::new()));
    let mut host = Host::with_groups(Arc::clone(&store) as Arc<dyn Store>, 600).expect("an empty store");
    let mut strangers: Vec<UnknownDevice> = (0..8).map(UnknownDevice::new).collect();
    let mut sent = 0_u32;
    for stranger in &mut strangers {
        let peer = stranger.peer;
        host.hear(Event::Connected { peer, dialer: Dialer::Peer, address: None }).expect("memory");
        for _ in 0..4 {
            let bytes = stranger.flight(host.peer, &host.device).expect("sound keys");
            let before = (store.reads(), host.engine.memberships_computed(), MEMORY.current_usage());
            let length = bytes.len();
            host.hear(Event::Frame { peer, bytes }).expect("memory");
            let (reads, folded, held) = before;
            assert_eq!(store.reads() - reads, 0, "rows read");
            assert_eq!(host.engine.memberships_computed() - folded, 0, "memberships computed");
            // The frame was handed over.
            let holds = MEMORY.current_usage() + length;
            assert!(holds <= held, "{} bytes are held", holds - held);
            sent += 1;
        }
        host.hear(Event::Disconnected(peer)).expect("memory");
    }
    assert_eq!(sent, 32);
    let reached = host.engine.limits_reached();
    assert!(reached.is_empty(), "none of it was out of place: {reached:?}");
}
