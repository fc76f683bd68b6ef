//! R1: what floods make a node hold, counted by the allocator. One test in this file: it counts the whole process.

mod common;

use common::*;
use offchain_testkit::enemies::{self, Deeds, Outcome, Standing, Turn};
use offchain_testkit::{NodeId, Puppet, World};
use peak_alloc::PeakAlloc;
use walytis_core::ChainId;
use walytis_engine::ORPHAN_BYTES_PER_PEER_MAX;
use walytis_engine::public::ChainCommand;
use walytis_offchain::Command;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const GROUP: &str = "friends";
const KIB: usize = 1024;

/// Floods, and how many bytes each flooder may make its victim hold.
const FLOODS: &[(&str, usize)] = &[
    ("orphan_flood", ORPHAN_BYTES_PER_PEER_MAX + 1024 * KIB),
    ("want_flood", 512 * KIB),
    ("empty_promises", 512 * KIB),
    ("lying_portions", 512 * KIB),
    ("unasked_answers", 512 * KIB),
    ("withheld_parents", 512 * KIB),
    ("oversized_frames", 128 * KIB),
    ("lying_lengths", 128 * KIB),
    ("noise", 128 * KIB),
    ("handshake_flood", 128 * KIB),
    ("stalled_handshakes", 128 * KIB),
    ("session_churn", 128 * KIB),
    ("public_orphans", ORPHAN_BYTES_PER_PEER_MAX + 1024 * KIB),
    ("public_promises", 512 * KIB),
];

/// How many flooders there are: each has its own budget, and all of them together the sum.
const FLOODERS: usize = 2;

fn turns(world: &mut World, puppets: &mut [(Puppet, Box<dyn enemies::Enemy>)], victim: NodeId, group: ChainId) -> u32 {
    let mut acted = 0;
    for (puppet, enemy) in puppets {
        let mut deeds = Deeds::default();
        let mut turn = Turn::new(world, puppet, std::slice::from_ref(&victim), group, &mut deeds);
        acted += u32::from(enemy.act(&mut turn) == Outcome::Acted);
        drop(puppet.raw_mail(world));
    }
    // What is under way arrives, and whoever is shunned is forgiven.
    world.run_for(FORGIVEN_MS);
    acted
}

#[test]
fn r1_what_a_flood_makes_a_node_hold_stays_within_each_peers_budget() {
    let all = enemies::all();
    for (number, (name, budget)) in FLOODS.iter().enumerate() {
        let class = all.iter().find(|class| class.name == *name).expect("a class of this name");
        let mut world = calm(8_000 + u64::try_from(number).expect("few"));
        let [victim, one, other] = nodes(&mut world);
        let members: &[NodeId] = if class.needs == Standing::Member { &[one, other] } else { &[] };
        group_of(&mut world, GROUP, victim, members);
        let group = group_id(&mut world, victim, GROUP);
        if name.starts_with("public_") {
            let new = Command::Chain(ChainCommand::New { name: "public".into() });
            world.call(victim, new, LONG_MS).expect("an answer").expect("a chain");
        }
        let mut puppets: Vec<_> =
            [one, other].map(|node| (Puppet::possess(&mut world, node).expect("a sound store"), (class.make)())).into();
        assert_eq!(puppets.len(), FLOODERS);
        turns(&mut world, &mut puppets, victim, group);
        let mut held = vec![MEMORY.current_usage()];
        let mut acted = 0;
        for _ in 0..8 {
            acted += turns(&mut world, &mut puppets, victim, group);
            held.push(MEMORY.current_usage());
        }
        // A turn comes to nothing if the victim asks somebody else.
        assert!(acted >= 4, "{name}: {acted} turns");
        let most = held.iter().max().expect("some").saturating_sub(held[0]);
        assert!(most <= FLOODERS * budget, "{name}: {most} bytes more, over {} for each: {held:?}", budget);
    }
}
