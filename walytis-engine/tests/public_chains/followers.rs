//! Who has brought a block is no stranger, and a block costs nothing: what such peers are sent has a common bound, and each has so much
//! of its own that an honest one does not feel it.

use walytis_core::{ChainId, Hash, Merit};
use walytis_engine::public::{ChainLimit, PublicMessage, Rule};
use walytis_engine::sync::SyncMessage;

use crate::hostile::{author, block, push};
use crate::net::Net;
use crate::rules::rule;
use crate::upload::{node_with, received};

const OWN: usize = 16 * 1024 * 1024;
const BURST: usize = 128 * 1024 * 1024;
const PER_SECOND: usize = 4 * 1024 * 1024;

/// What a portion may be over a share, for each of five.
const OVERDRAWN: usize = 5 * 640 * 1024;

fn sync(message: SyncMessage) -> Vec<u8> {
    PublicMessage::Sync(message).frame()
}

/// A node of the test's own brings a block.
fn brings_one(net: &mut Net, enemy: usize, chain: ChainId) {
    net.link(enemy, 0);
    net.run(50);
    let seed = u8::try_from(100 + enemy).unwrap();
    push(net, enemy, 0, &block(chain, vec![chain.into()], None, &author(seed), &[seed; 200]));
    net.run(100);
    assert_eq!(net.merit(0, enemy), Merit::Follower);
}

/// A5: five keys with a block of 300 bytes each are sent no more together than the named rate; one that only catches up is not slowed
/// meanwhile, nor is one that a person allows.
#[test]
fn who_brought_one_block_shares_with_others_of_its_kind() {
    let (mut net, chain) = node_with(701, 8, 0, 250, 300_000);
    (1..8).for_each(|enemy| brings_one(&mut net, enemy, chain));
    let allowed = net.peer(7);
    rule(&mut net, 0, Rule::AllowPeer(allowed));
    (1..8).for_each(|enemy| drop(net.mail(enemy)));
    for enemy in 1..6 {
        net.send(enemy, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
    }
    let mut bytes = 0;
    for ms in (0..15_000).step_by(20) {
        (1..6).for_each(|enemy| net.send(enemy, 0, sync(SyncMessage::More { chain })));
        net.run(20);
        bytes += (1..6).map(|enemy| received(&mut net, enemy)).sum::<usize>();
        let seconds = PER_SECOND + 5 * 64 * 1024;
        let allowed = 5 * OWN + BURST + seconds * (ms + 1_000) / 1_000 + OVERDRAWN;
        assert!(bytes <= allowed, "{bytes} bytes within {ms} ms");
    }
    assert!(bytes >= 5 * OWN + BURST + 12 * PER_SECOND, "{bytes} bytes: they have it");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::Upload));

    for (other, most) in [(6, OWN), (7, 60_000_000)] {
        net.send(other, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
        let (mut of_other, begun) = (0, net.now());
        while of_other < most {
            (1..6).for_each(|enemy| net.send(enemy, 0, sync(SyncMessage::More { chain })));
            net.send(other, 0, sync(SyncMessage::More { chain }));
            net.run(10);
            of_other += received(&mut net, other);
            (1..6).for_each(|enemy| drop(net.mail(enemy)));
            assert!(net.now() - begun < 5_000, "{of_other} bytes for {other}");
        }
    }
}

/// A5: who has had the chain, goes and comes back behind a thousand keys that are used once has had it.
#[test]
fn keys_that_are_thrown_away_have_no_follower_forgotten() {
    let (mut net, chain) = node_with(702, 1_200, 0, 40, 100_000);
    brings_one(&mut net, 1, chain);
    let download = |net: &mut Net| {
        net.mail(1);
        net.send(1, 0, sync(SyncMessage::Pull { chain, have: Vec::new() }));
        let mut bytes = 0;
        for _ in 0..100 {
            net.send(1, 0, sync(SyncMessage::More { chain }));
            net.run(10);
            bytes += received(net, 1);
        }
        bytes
    };
    // A receiver may not have had room for it: twice.
    for _ in 0..2 {
        assert!(download(&mut net) > 4_000_000);
    }
    net.take_over(1);
    let shown = PublicMessage::Join { chain, proof: Hash([7; 32]) }.frame();
    for key in 2..1_200 {
        net.link(key, 0);
        net.run(2);
        (0..60).for_each(|_| net.send(key, 0, shown.clone()));
        net.run(41);
        net.take_over(key);
    }
    net.link(1, 0);
    net.run(50);
    let again = download(&mut net);
    assert!(again < 1_000_000, "{again} bytes once more");
}
