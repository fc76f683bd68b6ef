//! Named subscriptions on whole nodes: what was handled stays handled, whatever happens to the node.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use offchain_testkit::{NodeId, NodeSwarm};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use tokio::time::Instant;
use walytis_node::{
    ChainEntry, ChainReader, DeliveryError, EngineError, NodeError, Post, PublicError, Reading, Retry, StoreError,
};

const TRIES: NonZeroU32 = NonZeroU32::new(3).unwrap();

fn text(entry: &ChainEntry) -> &str {
    std::str::from_utf8(&entry.content).unwrap()
}

/// A node with a chain of blocks "0", "1" and so on; every third is about fish.
async fn with_chain(swarm: &NodeSwarm, blocks: u32) -> NodeId {
    let id = swarm.add().await.unwrap();
    let node = swarm.node(id).unwrap();
    node.new_chain("news").await.unwrap();
    for number in 0..blocks {
        post(swarm, id, number).await;
    }
    id
}

async fn post(swarm: &NodeSwarm, id: NodeId, number: u32) {
    let post = Post::new(number.to_string());
    let post = if number.is_multiple_of(3) { post.topic("fish") } else { post };
    swarm.node(id).unwrap().post_to_chain("news", post).await.unwrap();
}

async fn open(swarm: &NodeSwarm, id: NodeId) -> ChainReader {
    swarm.node(id).unwrap().read_chain("news", Reading::named("index")).await.unwrap()
}

/// Takes blocks that wait, acknowledges them, and gives their contents.
async fn take(reader: &mut ChainReader, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let Some(entry) = reader.next_here().await.unwrap() else { break };
        reader.acknowledger().acknowledge(&entry).await.unwrap();
        taken.push(text(&entry).to_owned());
    }
    taken
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn delivery_error<T: std::fmt::Debug>(outcome: Result<T, NodeError>) -> DeliveryError {
    match outcome {
        Err(NodeError::Engine(EngineError::Public(PublicError::Delivery(error)))) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_block_comes_once_and_what_was_missed_comes_after_a_restart() {
    NodeSwarm::new(1).run(async |swarm| {
        let id = with_chain(&swarm, 5).await;
        let mut reader = open(&swarm, id).await;
        assert_eq!(take(&mut reader, 3).await, numbers(0..3));
        drop(reader);
        let mut reader = open(&swarm, id).await;
        assert_eq!(take(&mut reader, 1).await, numbers(3..4));
        // Handed out, and not acknowledged before the power fails: it comes again, and nothing else does.
        assert_eq!(text(&reader.next().await.unwrap().unwrap()), "4");
        swarm.kill(id).await;
        assert_eq!(reader.next().await.unwrap(), None);
        swarm.start(id).await.unwrap();
        post(&swarm, id, 5).await;
        let mut reader = open(&swarm, id).await;
        assert_eq!(take(&mut reader, 9).await, numbers(4..6));
        // What arrives later is waited for.
        let later = async {
            swarm.pass(Duration::from_secs(5)).await;
            post(&swarm, id, 6).await;
        };
        let (next, ()) = tokio::join!(reader.next(), later);
        assert_eq!(text(&next.unwrap().unwrap()), "6");
        // A name that begins now, and one that begins at the beginning.
        let node = swarm.node(id).unwrap();
        let mut fresh = node.read_chain("news", Reading::named("fresh").from_now()).await.unwrap();
        assert_eq!(take(&mut fresh, 9).await, numbers(0..0));
        let mut other = node.read_chain("news", Reading::named("other")).await.unwrap();
        assert_eq!(take(&mut other, 9).await, numbers(0..7));
        let all = node.chain_subscriptions("news").await.unwrap();
        let all: Vec<_> = all.iter().map(|each| (each.name.as_str(), each.behind, each.live)).collect();
        assert_eq!(all, [("index", 1, true), ("fresh", 0, true), ("other", 0, true)]);
    });
}

#[test]
fn an_acknowledgement_that_was_not_written_is_none() {
    NodeSwarm::new(2).run(async |swarm| {
        let id = with_chain(&swarm, 2).await;
        let mut reader = open(&swarm, id).await;
        let entry = reader.next().await.unwrap().unwrap();
        swarm.fail_commit(id, 0, StoreError::Poisoned);
        let acknowledged = reader.acknowledger().acknowledge(&entry).await;
        assert!(acknowledged.is_err(), "{acknowledged:?}");
        swarm.kill(id).await;
        swarm.start(id).await.unwrap();
        assert_eq!(take(&mut open(&swarm, id).await, 9).await, numbers(0..2));
    });
}

#[test]
fn a_failing_handler_is_tried_again_with_growing_pauses_before_the_next_block() {
    NodeSwarm::new(3).run(async |swarm| {
        let id = with_chain(&swarm, 3).await;
        let mut reader = open(&swarm, id).await;
        let begun = Instant::now();
        let mut seen = Vec::new();
        let retry = Retry::default();
        let delivering = reader.deliver(retry, async |entry| {
            seen.push((text(entry).to_owned(), begun.elapsed().as_millis()));
            if text(entry) == "1" && seen.len() < 5 { Err("not yet") } else { Ok(()) }
        });
        assert!(tokio::time::timeout(Duration::from_secs(3600), delivering).await.is_err(), "it waits for more");
        let expected = [("0", 0), ("1", 0), ("1", 200), ("1", 600), ("1", 1400), ("2", 1400)];
        assert!(seen.iter().map(|(text, at)| (text.as_str(), *at)).eq(expected), "{seen:?}");
        assert_eq!(retry.pause(1_000), retry.longest);
    });
}

#[test]
fn failures_are_counted_over_restarts_and_end_in_a_dead_letter() {
    NodeSwarm::new(4).run(async |swarm| {
        let id = with_chain(&swarm, 3).await;
        for tries in 1..=3 {
            let mut reader = open(&swarm, id).await;
            let entry = reader.next().await.unwrap().unwrap();
            assert_eq!(text(&entry), "0");
            let failed = reader.acknowledger().fail(&entry, format!("try {tries}"), TRIES).await.unwrap();
            assert_eq!(failed, Some(tries).filter(|tries| *tries < 3));
            swarm.kill(id).await;
            swarm.start(id).await.unwrap();
        }
        let node = swarm.node(id).unwrap();
        let mut reader = open(&swarm, id).await;
        assert_eq!(take(&mut reader, 9).await, numbers(1..3), "a dead letter holds nothing up");
        let (letters, next) = node.chain_letters("news", "index", 0).await.unwrap();
        assert_eq!((letters.len(), next, letters[0].tries, letters[0].reason.as_str()), (1, None, 3, "try 3"));
        assert_eq!(node.chain_subscriptions("news").await.unwrap()[0].letters, 1);

        // Replayed to whoever reads, it comes between; it stays a letter until it is acknowledged.
        let position = letters[0].entry.position;
        let replaying = async {
            swarm.pass(Duration::from_secs(1)).await;
            assert_eq!(node.replay_chain_letters("news", "index", Some(position)).await.unwrap(), 1);
        };
        let (again, ()) = tokio::join!(reader.next(), replaying);
        let again = again.unwrap().unwrap();
        assert_eq!(text(&again), "0");
        assert_eq!(reader.next_here().await.unwrap(), None, "once to one reader");
        drop(reader);
        let mut reader = open(&swarm, id).await;
        assert_eq!(text(&reader.next_here().await.unwrap().unwrap()), "0", "again to the next reader");
        for tries in 1..=3 {
            let failed = reader.acknowledger().fail(&again, "still", TRIES).await.unwrap();
            assert_eq!(failed, Some(tries).filter(|tries| *tries < 3));
        }
        assert_eq!(reader.next_here().await.unwrap(), None);
        assert_eq!(node.replay_chain_letters("news", "index", None).await.unwrap(), 1);
        assert_eq!(take(&mut reader, 9).await, numbers(0..1));
        assert_eq!(node.chain_letters("news", "index", 0).await.unwrap().0, []);
        assert_eq!(
            delivery_error(node.discard_chain_letters("news", "index", Some(position)).await),
            DeliveryError::NoLetter(position)
        );
    });
}

#[test]
fn only_blocks_with_a_wanted_topic_come() {
    NodeSwarm::new(5).run(async |swarm| {
        let id = with_chain(&swarm, 10).await;
        let node = swarm.node(id).unwrap();
        let fish = Reading::named("fish").topic("fish");
        let mut reader = node.read_chain("news", fish.clone()).await.unwrap();
        assert_eq!(take(&mut reader, 2).await, ["0", "3"]);
        drop(reader);
        let mut reader = node.read_chain("news", fish.topic("birds")).await.unwrap();
        assert_eq!(take(&mut reader, 9).await, ["6", "9"]);
        let many = (0..33).fold(Reading::named("many"), |reading, number| reading.topic(number.to_string()));
        let mut reader = node.read_chain("news", many).await.unwrap();
        assert_eq!(delivery_error(reader.next().await), DeliveryError::TooManyTopics);
    });
}

#[test]
fn a_name_has_one_reader_and_bounds() {
    NodeSwarm::new(6).run(async |swarm| {
        let id = with_chain(&swarm, 1).await;
        let node = swarm.node(id).unwrap();
        let read = async |name: &str| node.read_chain("news", Reading::named(name)).await;
        let reader = read("index").await.unwrap();
        assert_eq!(delivery_error(read("index").await), DeliveryError::Live("index".to_owned()));
        assert_eq!(
            delivery_error(node.forget_chain_subscription("news", "index").await),
            DeliveryError::Live("index".to_owned())
        );
        drop(reader);
        drop(read("index").await.unwrap());
        for name in ["", " a", "a\n", &"x".repeat(65)] {
            assert_eq!(delivery_error(read(name).await), DeliveryError::BadName, "{name:?}");
        }
        for number in 1..64 {
            drop(read(&number.to_string()).await.unwrap());
        }
        assert_eq!(delivery_error(read("one more").await), DeliveryError::TooMany);
        node.forget_chain_subscription("news", "7").await.unwrap();
        drop(read("one more").await.unwrap());
        assert_eq!(delivery_error(node.chain_letters("news", "7", 0).await), DeliveryError::Unknown("7".to_owned()));
    });
}

#[test]
fn when_there_are_as_many_dead_letters_as_may_be_nothing_is_passed_over() {
    NodeSwarm::new(7).run(async |swarm| {
        let id = with_chain(&swarm, 1030).await;
        let node = swarm.node(id).unwrap();
        let mut reader = open(&swarm, id).await;
        let retry = Retry { tries: NonZeroU32::MIN, ..Retry::default() };
        let full = reader.deliver(retry, async |_| Err("a\u{e9}".repeat(400))).await;
        assert_eq!(delivery_error(full), DeliveryError::LettersFull("index".to_owned()));
        drop(reader);
        let listed = node.chain_subscriptions("news").await.unwrap().remove(0);
        assert_eq!((listed.letters, listed.behind), (1024, 6));
        let letters = node.chain_letters("news", "index", 0).await.unwrap().0;
        assert!(letters.iter().all(|letter| (510..=512).contains(&letter.reason.len())));
        assert_eq!(node.discard_chain_letters("news", "index", None).await.unwrap(), 1024);
        assert_eq!(take(&mut open(&swarm, id).await, 9).await, numbers(1024..1030));
    });
}

#[test]
fn cursors_and_dead_letters_go_with_their_chain() {
    NodeSwarm::new(8).run(async |swarm| {
        let id = with_chain(&swarm, 700).await;
        let node = swarm.node(id).unwrap();
        let before = swarm.store(id).snapshot();
        let retry = Retry { tries: NonZeroU32::MIN, ..Retry::default() };
        let mut reader = open(&swarm, id).await;
        let waiting = tokio::time::timeout(Duration::from_secs(60), reader.deliver(retry, async |_| Err("no"))).await;
        assert!(waiting.is_err());
        assert_ne!(before, swarm.store(id).snapshot());
        node.new_chain("other").await.unwrap();
        let other = node.read_chain("other", Reading::named("index")).await.unwrap();
        let (deleted, ended) = tokio::join!(node.delete_chain("news"), reader.next());
        assert_eq!((deleted.unwrap(), ended.unwrap()), (701, None));
        drop(other);
        assert_eq!(node.chain_subscriptions("other").await.unwrap().len(), 1, "another chain's stay");
        node.delete_chain("other").await.unwrap();
        let rows = swarm.store(id).snapshot();
        let left = rows.tables().filter(|table| table.starts_with("public.")).collect::<Vec<_>>();
        assert_eq!(left, [""; 0]);
    });
}

#[test]
fn a_stream_reads_as_fast_as_it_is_taken_from() {
    NodeSwarm::new(9).run(async |swarm| {
        let id = with_chain(&swarm, 300).await;
        let (mut stream, acknowledger) = open(&swarm, id).await.into_stream();
        for number in 0..300 {
            let entry = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await.unwrap().unwrap();
            assert_eq!(text(&entry), number.to_string());
            // Every hundredth stands for those before it.
            if number % 100 == 99 && number < 250 {
                acknowledger.acknowledge(&entry).await.unwrap();
            }
        }
        drop(stream);
        assert!(acknowledger.acknowledge(&open(&swarm, id).await.next().await.unwrap().unwrap()).await.is_err());
        let (mut stream, _) = open(&swarm, id).await.into_stream();
        let entry = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await.unwrap().unwrap();
        assert_eq!(text(&entry), "200");
        swarm.stop(id).await;
        while let Some(entry) = poll_fn(|cx| Pin::new(&mut stream).poll_next(cx)).await {
            entry.unwrap();
        }
    });
}

/// Invariant: in whatever order blocks are posted, handed out, acknowledged and failed, and the reader and the node end
/// and begin again, a block that is acknowledged never comes again, blocks first come in their order, and each is handled
/// in the end.
#[test]
fn under_random_schedules_each_block_is_handled_and_none_after_its_acknowledgement() {
    for seed in 0..64 {
        let handled = NodeSwarm::new(seed).run(async |swarm| random_schedule(&swarm, seed).await);
        assert!(handled > 20, "seed {seed} shows too little: {handled}");
    }
}

async fn random_schedule(swarm: &NodeSwarm, seed: u64) -> usize {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let id = with_chain(swarm, 1).await;
    let (mut posted, mut reader) = (1_u32, None);
    let (mut acknowledged, mut letters, mut highest) = (BTreeSet::new(), BTreeSet::new(), None);
    for step in 0..400 {
        // In the end everything is taken.
        let draw = if step < 300 { rng.next_u32() % 16 } else { 6 };
        match draw {
            0..=2 => {
                post(swarm, id, posted).await;
                posted += 1;
            }
            3 => drop(reader.take()),
            4 => {
                swarm.kill(id).await;
                swarm.start(id).await.unwrap();
                reader = None;
            }
            5 => {
                let replayed = swarm.node(id).unwrap().replay_chain_letters("news", "index", None).await;
                assert!(replayed.is_ok() || acknowledged.is_empty(), "{replayed:?}");
            }
            _ => {
                if reader.is_none() {
                    reader = Some(open(swarm, id).await);
                }
                let Some(entry) = reader.as_mut().unwrap().next_here().await.unwrap() else { continue };
                let place = entry.position;
                assert!(!acknowledged.contains(&place), "seed {seed}, step {step}: {place} was acknowledged");
                let next = highest.map_or(1, |highest| highest + 1);
                assert!(place <= next, "seed {seed}, step {step}: {next} was passed over");
                highest = highest.max(Some(place));
                let acknowledger = reader.as_ref().unwrap().acknowledger();
                match if step < 300 { rng.next_u32() % 8 } else { 0 } {
                    0..=4 => {
                        acknowledger.acknowledge(&entry).await.unwrap();
                        acknowledged.insert(place);
                        letters.remove(&place);
                    }
                    5..=6 => match acknowledger.fail(&entry, "no", TRIES).await.unwrap() {
                        None => drop(letters.insert(place)),
                        // Whoever reads on without trying again has skipped it: here nobody does.
                        Some(_) => drop(reader.take()),
                    },
                    // The power fails while it is handled.
                    _ => {
                        swarm.kill(id).await;
                        swarm.start(id).await.unwrap();
                        reader = None;
                    }
                }
            }
        }
    }
    drop(reader);
    let node = swarm.node(id).unwrap();
    node.replay_chain_letters("news", "index", None).await.unwrap();
    let left = take(&mut open(swarm, id).await, 1000).await;
    let left: BTreeSet<u64> = left.iter().map(|text| text.parse::<u64>().unwrap() + 1).collect();
    assert_eq!(left.intersection(&acknowledged).count(), 0, "seed {seed}");
    acknowledged.extend(left);
    assert!(acknowledged.iter().copied().eq(1..=u64::from(posted)), "seed {seed}: {acknowledged:?} of {posted}");
    assert_eq!(node.chain_subscriptions("news").await.unwrap()[0].letters, 0, "seed {seed}");
    acknowledged.len()
}
