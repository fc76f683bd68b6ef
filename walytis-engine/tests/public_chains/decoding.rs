//! What strangers send is paid for before it is decoded.

use walytis_core::{ChainId, FRAME_BYTES_MAX};
use walytis_engine::public::{ChainLimit, PublicMessage};
use walytis_engine::sync::SyncMessage;

use crate::attacks::portion_frame;
use crate::net::Net;
use crate::upload::line;

/// A2: behind a frame of 2 MiB a stranger is not read for a minute, whatever it sends.
#[test]
fn a_stranger_is_read_no_further_than_it_has_paid() {
    let mut net = Net::new(211, 3);
    net.found(0);
    let chain = net.details(0).summary.chain;
    for stranger in 1..3 {
        net.take_over(stranger);
        net.link(stranger, 0);
    }
    net.run(50);
    let answered = |net: &mut Net, stranger: usize| {
        net.mail(stranger);
        net.send(stranger, 0, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() }).frame());
        net.run(100);
        !net.mail(stranger).is_empty()
    };
    // Blocks of a chain that is not here: one stray.
    let elsewhere = ChainId([4; 32]);
    let blocks: Vec<_> = line(elsewhere, 2, 1_000_000).iter().map(|block| block.raw().clone()).collect();
    let frame = portion_frame(elsewhere, &blocks);
    assert!((2_000_000..=FRAME_BYTES_MAX).contains(&frame.len()));
    net.send(1, 0, frame);
    net.run(100);
    assert!(!answered(&mut net, 1), "its question is not read");
    assert_eq!(net.engine(0).public().limits_reached().get(&ChainLimit::Work), Some(&1));
    assert!(answered(&mut net, 2), "another's is");
    net.run(65_000);
    net.link(1, 0);
    net.run(100);
    assert!(answered(&mut net, 1), "and its own later");
}
