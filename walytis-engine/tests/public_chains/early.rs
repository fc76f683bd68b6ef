//! The second half of a chain's room: for those who were there early, a share for each. Keys are free, and one key is one author.

use walytis_core::{BlockId, ChainId, VerifiedBlock, chains};
use walytis_engine::public::ChainLimit;

use crate::hostile::{author, block, push, with_enemy};
use crate::net::Net;
use crate::rules::limits;

const ROOM: u64 = 2_000_000;
const HALF: u64 = ROOM / 2;
const SHARE: u64 = HALF / 16;

/// An author's blocks in a line, of 10 kB each.
struct Line {
    seed: u8,
    last: Option<(BlockId, u64)>,
}

impl Line {
    fn next(&mut self, chain: ChainId) -> VerifiedBlock {
        let parents = if self.last.is_none() { vec![chain.into()] } else { Vec::new() };
        let next = block(chain, parents, self.last, &author(self.seed), &[self.seed; 10_000]);
        self.last = Some((next.id(), next.header().sequence));
        next
    }
}

/// A node with room for so little of a chain, another one that wrote there first, and an enemy.
fn scene(seed: u64) -> (Net, ChainId, usize) {
    let (mut net, chain, enemy) = with_enemy(seed, 3);
    net.post(1, b"there before");
    net.run(1_000);
    limits(&mut net, 0, |limits| limits.chain_bytes_max = ROOM);
    net.cut(0, 1);
    (net, chain, enemy)
}

fn bytes(net: &mut Net) -> u64 {
    net.details(0).summary.bytes
}

fn push_some(net: &mut Net, enemy: usize, chain: ChainId, line: &mut Line, count: usize) {
    for _ in 0..count {
        let next = line.next(chain);
        push(net, enemy, 0, &next);
    }
    net.run(3_000);
}

/// A4: an author that wrote one block before the half goes on in a line, and stops at its share; over a restart, too. Who wrote
/// before does go on.
#[test]
fn one_author_that_was_there_early_has_a_share_of_the_second_half_and_no_more() {
    let (mut net, chain, enemy) = scene(601);
    let mut line = Line { seed: 50, last: None };
    push_some(&mut net, enemy, chain, &mut line, 150);
    let filled = bytes(&mut net);
    assert!((HALF..=HALF + SHARE + 10_300).contains(&filled), "{filled} bytes");
    assert!(net.engine(0).public().limits_reached().contains_key(&ChainLimit::HalfFull));

    net.kill(0);
    net.start(0);
    net.link(enemy, 0);
    net.run(100);
    let mut again = Line { seed: 50, last: None };
    for number in 0..150 {
        let next = again.next(chain);
        if number > 80 {
            push(&mut net, enemy, 0, &next);
        }
    }
    net.run(3_000);
    assert_eq!(bytes(&mut net), filled, "after a restart");

    net.mend();
    net.link(0, 1);
    net.run(2_000);
    for _ in 0..3 {
        net.post(1, &[1; 5_000]);
        net.post(0, &[2; 5_000]);
        net.run(2_000);
    }
    assert_eq!(net.heads(0), net.heads(1));
    assert!(bytes(&mut net) > filled + 30_000);
    assert!(net.connected(0, 1), "nobody is thought ill of");
    (0..2).for_each(|node| net.check(node));
}

/// Who wrote for the first time when a quarter was taken is a newcomer in the second half; where a person raises the limit, it has
/// room.
#[test]
fn who_came_after_a_quarter_has_no_room_in_the_second_half() {
    let (mut net, chain, enemy) = scene(602);
    let (mut line, mut late) = (Line { seed: 50, last: None }, Line { seed: 60, last: None });
    push_some(&mut net, enemy, chain, &mut line, 60);
    push_some(&mut net, enemy, chain, &mut late, 1);
    push_some(&mut net, enemy, chain, &mut line, 60);
    let filled = bytes(&mut net);
    assert!(filled > HALF, "{filled}");
    let refused = late.next(chain);
    push(&mut net, enemy, 0, &refused);
    net.run(2_000);
    assert_eq!(bytes(&mut net), filled);
    limits(&mut net, 0, |limits| limits.chain_bytes_max = 2 * ROOM);
    net.run(2_000);
    assert!(chains::block(&net.view(0), refused.id()).unwrap().is_some(), "the second half is elsewhere");
}

/// A4: an early author builds on blocks of as many keys as it likes: they have a share of the second half together.
#[test]
fn what_an_early_author_builds_on_has_a_share_too() {
    let (mut net, chain, enemy) = scene(603);
    let mut small = block(chain, vec![chain.into()], None, &author(70), b"early");
    push(&mut net, enemy, 0, &small);
    push_some(&mut net, enemy, chain, &mut Line { seed: 50, last: None }, 120);
    let filled = bytes(&mut net);
    assert!(filled > HALF, "{filled}");
    for seed in 100..180 {
        let large = block(chain, vec![chain.into()], None, &author(seed), &[seed; 10_000]);
        push(&mut net, enemy, 0, &large);
        small = block(chain, vec![large.id()], Some((small.id(), small.header().sequence)), &author(70), b"");
        push(&mut net, enemy, 0, &small);
        net.run(100);
    }
    net.run(3_000);
    let after = bytes(&mut net) - filled;
    assert!((100_000..=4 * SHARE + 80 * 400).contains(&after), "{after} bytes");
}
