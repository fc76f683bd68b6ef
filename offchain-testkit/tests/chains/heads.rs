use std::collections::BTreeSet;

use walytis_core::chains::{self, MERGED_MAX};
use walytis_core::limits::PARENTS_MAX;
use walytis_core::{BlockId, BlockKind, Place};

use super::dag::{Dag, Step, Under, runner, steps};

fn check(dag: &Dag) {
    let (view, chain) = (&dag.view, dag.chain);
    let heads = chains::heads(view, chain).expect("a store");
    assert_eq!(heads, dag.heads_among(&dag.all()), "heads are the blocks that no other one names");
    assert_eq!(chains::head_count(view, chain), Ok(heads.len() as u64));
    let operations = chains::operation_heads(view, chain).expect("a store");
    assert_eq!(operations, dag.heads_among(&dag.operations()), "heads of operations are those below no other one");

    let by_position: BTreeSet<usize> = heads.iter().map(|head| dag.position(*head)).collect();
    for limit in [0, 1, 3, 1_000] {
        let latest = chains::latest_heads(view, chain, limit).expect("a store");
        let latest: Vec<usize> = latest.into_iter().map(|head| dag.position(head)).collect();
        assert_eq!(latest, by_position.iter().rev().take(limit).copied().collect::<Vec<_>>(), "the latest first");
        for from in [0, dag.blocks.len() / 2, dag.blocks.len() + 9] {
            let found = chains::heads_from(view, chain, from as u64, limit).expect("a store");
            let found: Vec<usize> = found.into_iter().map(|head| dag.position(head)).collect();
            let expected = by_position.range(from..).chain(by_position.range(..from)).take(limit);
            assert_eq!(found, expected.copied().collect::<Vec<_>>(), "heads from {from} on, then those before");
        }
    }
    let stored = dag.blocks.last().expect("a genesis");
    chains::recheck(view, stored).expect("what was computed holds");
    chains::recheck_heads(view, chain).expect("the heads are those of the blocks");
}

#[test]
fn heads_and_heads_of_operations_are_those_of_the_model() {
    for under in [Under::Memory, Under::Sealed] {
        runner(48)
            .run(&steps(0..60), |steps| {
                let mut dag = Dag::new(under);
                for step in &steps {
                    dag.grow(step);
                    check(&dag);
                }
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{error}"));
    }
}

/// A fan of blocks behind the genesis, every tenth an operation.
fn fan(count: usize) -> Dag {
    let mut dag = Dag::new(Under::Memory);
    for number in 0..count {
        dag.grow(&Step {
            author: number % 4,
            kind: if number % 10 == 0 { 0 } else { 9 },
            parents: Some(Vec::new()),
            forks: true,
            topics: Vec::new(),
            bytes: number,
            created_at_ms: 0,
            commits: false,
        });
    }
    dag
}

#[test]
fn the_next_parents_differ_between_authors() {
    let dag = fan(150);
    let mut of_authors: BTreeSet<Vec<BlockId>> = BTreeSet::new();
    for author in &dag.authors {
        let place = chains::next_place(&dag.view, dag.chain, author.public()).expect("a store");
        let Place::After { parents, previous, .. } = place else { panic!("it is no genesis") };
        assert_eq!(previous, chains::previous(&dag.view, dag.chain, author.public()).expect("a store"));
        of_authors.insert(parents);
    }
    assert!(of_authors.len() > 1);
}

/// A private block leaves the heads of operations what they are, and is behind all of them each time.
#[test]
fn the_next_parents_are_bounded_and_merge_everything_whatever_a_block_is() {
    for (kind, count, rounds_max) in
        [(BlockKind::Operation, 150, 24), (BlockKind::Private, 150, 150), (BlockKind::Private, 250, 250)]
    {
        let mut dag = fan(count);
        let mut rounds = 0;
        loop {
            let heads: BTreeSet<BlockId> = chains::heads(&dag.view, dag.chain).expect("a store").into_iter().collect();
            let operations = chains::operation_heads(&dag.view, dag.chain).expect("a store");
            let place = chains::next_place(&dag.view, dag.chain, dag.authors[0].public()).expect("a store");
            let Place::After { parents, .. } = place else { panic!("it is no genesis") };
            if heads.len() <= PARENTS_MAX {
                assert_eq!(parents.len(), heads.len());
            } else {
                assert_eq!(parents.len(), MERGED_MAX.max(operations.len() + 2));
                assert_eq!(parents[..operations.len()], operations[..], "operations come first");
            }
            assert!(parents.iter().all(|parent| heads.contains(parent) || operations.contains(parent)));
            if heads.len() == 1 {
                break;
            }
            rounds += 1;
            assert!(rounds < rounds_max, "{} heads are left after {rounds} blocks", heads.len());
            dag.merge(kind);
        }
    }
}
