//! What epochs cost: as much as is asked for, however many there are.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

mod common;

use std::sync::Arc;

use common::counting::Counting;
use common::*;
use offchain_testkit::{Puppet, World};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{BlockId, Hash, Pending, Store, Timestamp, chains};
use walytis_identities::{Fold, Operation, give_wrap};
use walytis_offchain::{Answer, Command, Effect, Engine, Event, Ticket};

const GROUP: &str = "friends";

#[test]
fn r2_a_wrap_that_is_served_costs_one_short_row() {
    let mut world = calm(1);
    let [a, b, c, d, e, f] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[b, c, d, e, f]);
    let group = group_id(&mut world, a, GROUP);
    let epoch = details(&mut world, a, GROUP).epoch.expect("one of its own");
    let store = Counting::over(world.store(a));
    let view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
    let mut fold = Fold::default();
    let membership = fold.current(&view, group).expect("a group");
    let stored = chains::block(&view, epoch).expect("a store").expect("it is here");
    let Ok(Operation::BeginEpoch(begin)) = Operation::decode(stored.block.content()) else { panic!("an epoch") };
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for (author, device) in &membership.devices {
        let before = store.wraps().0;
        let given = give_wrap(&view, &mut fold, &mut rng, group, (epoch, &begin), (author, device)).expect("a store");
        let given = given.expect("the epoch names it");
        assert_eq!(Some(*given.leaf()), device.leaf.as_ref().map(walytis_identities::LeafKey::id));
        assert_eq!(given.verify(&begin), Ok(()), "the maker's own, with its proof");
        assert_eq!(store.wraps().0 - before, 1);
    }
    assert!(store.wraps().1 < membership.devices.len() * 1_400);
}

/// What the reads are for which a node, begun anew, finds that none of so many epochs fits the readers. They stand beside
/// the newcomer's admission, or below it.
fn reads_of_a_search(epochs: usize, beside: bool) -> usize {
    let mut world: World = calm(2);
    let [a, j] = nodes(&mut world);
    group_of(&mut world, GROUP, a, &[]);
    let code = code_of(&mut world, a, GROUP, 1);
    let group = *code.group();
    let mut founder = Puppet::possess(&mut world, a).expect("a store");
    let mut joiner = Puppet::possess(&mut world, j).expect("a store");
    let session = Hash([5; 32]);
    let request = joiner.join_request(group, code.secret(), &session).expect("a store");
    let (admit, foreign) = founder.admission(&request, session).expect("sound identities");
    let admit = Operation::Admit(Box::new(admit));
    let before = beside.then(|| unjudged(&mut founder, &world, group, &admit, foreign.clone()));
    for _ in 0..epochs {
        let (device, mut desk) = founder.desk(&world);
        device.begin_epoch(&mut desk, group).expect("the founder may");
    }
    match before {
        Some(raw) => founder.take_in(&[raw]).expect("valid over its own past"),
        None => drop(founder.operation(&world, group, &admit, foreign).expect("a manager")),
    }
    let (_, batch) = founder.view.close_step().expect("there is something");
    let rows = world.store(a);
    rows.commit(&batch).expect("a store");
    let store = Counting::over(rows);
    let rng = Box::new(ChaCha20Rng::seed_from_u64(3));
    let mut engine = Engine::open(Arc::clone(&store) as Arc<dyn Store>, Timestamp(1), rng).expect("a sound store");
    let mut out = Vec::new();
    let command = Command::Group { group: GROUP.into() };
    engine.handle(Timestamp(1), Event::Command { ticket: Ticket(1), command }, &mut out);
    let found = out.into_iter().find_map(|effect| match effect {
        Effect::Reply { answer: Ok(Answer::GroupDetails(details)), .. } => Some(details.epoch),
        _ => None,
    });
    assert_eq!(found, Some(None::<BlockId>), "none fits");
    store.reads()
}

#[test]
fn r2_finding_the_epoch_in_use_costs_no_more_for_each_the_more_there_are() {
    for beside in [false, true] {
        let (few, many) = (reads_of_a_search(40, beside), reads_of_a_search(160, beside));
        assert!(many < 5 * few, "{few} reads for 40 epochs, {many} for 160, beside: {beside}");
    }
}
