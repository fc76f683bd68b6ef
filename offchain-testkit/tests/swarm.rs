//! Two to five production engines in a simulated world.

mod common;

use common::*;
use walytis_offchain::Command;

#[test]
fn a_block_reaches_the_other_side() {
    let mut world = calm(1);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, "friends", a, &[b]);
    let id = post(&mut world, a, "friends", b"hello from a");
    converge(&mut world, "friends", &[a, b]);
    let listing = list(&mut world, b, "friends");
    assert_eq!(listing.len(), 1);
    assert_eq!(listing[0].id, id);
    assert_eq!(listing[0].content.as_ref().map(|content| content.bytes.as_slice()), Some(&b"hello from a"[..]));
    let status = ok(world.call(b, Command::Status, 1_000));
    println!("{status:?}");
}
