//! Who finds whom again.

mod common;

use common::*;

#[test]
fn an_inviter_remembers_who_joined_and_dials_first_when_it_comes_back() {
    let mut world = calm(301);
    let [a, b] = nodes(&mut world);
    group_of(&mut world, "g", a, &[b]);
    world.run_for(1_000);
    world.cut(a, b);
    world.kill(a);
    // By now b dials once a minute; whoever comes back must not wait for that.
    world.run_for(600_000);
    world.mend(a, b);
    assert!(world.start(a).is_ok());
    world.run_for(100);
    assert!(world.connected(a, b), "the one who comes back dials");
}
