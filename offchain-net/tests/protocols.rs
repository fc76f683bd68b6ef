//! Two builds that speak protocols of different numbers: both say both numbers in one sentence, and part without a ban.
#![expect(clippy::panic, clippy::expect_used, reason = "a test stops where it fails")]

mod common;

use common::{QUIC, TCP, guarded, key, listen, next, node_with, seeds_by_key};
use offchain_net::{Libp2pNetwork, NetConfig, PROTOCOL_NUMBER};
use walytis_core::{Merit, Network, NetworkEvent, OtherProtocol};

fn speaking(seed: u8, number: u32) -> Libp2pNetwork {
    let mut config = NetConfig::default();
    config.protocol = number;
    node_with(seed, config)
}

/// The first event of that kind.
async fn other(network: &Libp2pNetwork) -> OtherProtocol {
    loop {
        match next(network).await {
            NetworkEvent::OtherProtocol(other) => return other,
            NetworkEvent::DialFailed { .. } => {}
            event => panic!("{event:?} with a peer that speaks another protocol"),
        }
    }
}

async fn tell_each_other(place: &str, dialler: u8, listener: u8, theirs: u32) {
    let (here, there) = (speaking(dialler, PROTOCOL_NUMBER), speaking(listener, theirs));
    let at = listen(&there, place).await;
    // Of a stranger that comes nobody is told.
    there.set_merit(here.local_peer(), Merit::Invited).await;
    here.dial(at.clone()).await.expect("it can be dialled");
    let older = |ours: u32, theirs: u32| if theirs < ours { "that peer" } else { "this one" };
    let sentence = |seed: u8, theirs: u32, ours: u32| {
        let peer = key(seed).peer();
        let older = older(ours, theirs);
        format!(
            "peer {peer} speaks protocol {theirs}, and this build speaks {ours}: {older} needs a newer build of walytis"
        )
    };
    let (said_here, said_there) = tokio::join!(other(&here), other(&there));
    assert_eq!(said_here.to_string(), sentence(listener, theirs, PROTOCOL_NUMBER));
    assert_eq!(said_there.to_string(), sentence(dialler, PROTOCOL_NUMBER, theirs));
    // Whoever dialled is told why it came to nothing.
    let failed = NetworkEvent::DialFailed { address: at.clone(), reason: said_here.to_string() };
    assert_eq!(next(&here).await, failed);
    // Nobody is banned: the next try is told the same again.
    here.dial(at).await.expect("it can be dialled");
    assert_eq!(other(&here).await, said_here);
}

#[tokio::test]
async fn builds_of_different_numbers_tell_each_other_both() {
    let (low, high) = seeds_by_key();
    guarded(async {
        for place in [TCP, QUIC] {
            // Whichever dials, whichever opens streams, whichever is newer.
            for (dialler, listener) in [(low, high), (high, low)] {
                for theirs in [PROTOCOL_NUMBER - 1, PROTOCOL_NUMBER + 1] {
                    tell_each_other(place, dialler, listener, theirs).await;
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn of_a_stranger_that_comes_with_another_number_nobody_is_told() {
    guarded(async {
        let (here, there, friend) = (speaking(1, 1), speaking(2, PROTOCOL_NUMBER), speaking(3, 1));
        let at = listen(&there, TCP).await;
        here.dial(at.clone()).await.expect("it can be dialled");
        assert_eq!(other(&here).await.theirs, PROTOCOL_NUMBER);
        // The connection has ended, and with it all that the stranger could cause.
        assert!(matches!(next(&here).await, NetworkEvent::DialFailed { .. }));
        there.set_merit(friend.local_peer(), Merit::Member).await;
        friend.dial(at).await.expect("it can be dialled");
        assert_eq!(other(&there).await.peer, friend.local_peer(), "the first that is told");
    })
    .await;
}

#[tokio::test]
async fn builds_of_one_number_say_nothing_of_it() {
    guarded(async {
        let (here, there) = (speaking(1, 7), speaking(2, 7));
        let at = listen(&there, TCP).await;
        here.dial(at).await.expect("it can be dialled");
        assert!(matches!(next(&here).await, NetworkEvent::Connected { .. }));
        assert!(matches!(next(&there).await, NetworkEvent::Connected { .. }));
    })
    .await;
}
