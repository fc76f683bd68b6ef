use offchain_testkit::MemoryStore;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::StoreError;

use super::*;

const GROUP: ChainId = ChainId([1; 32]);

fn engine() -> Engine {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    Engine::create(&store, Timestamp(0), &mut rng).expect("an empty store takes an identity");
    Engine::open(store, Timestamp(0), Box::new(rng)).expect("its own store")
}

#[test]
fn f12_what_a_discarded_step_put_into_memory_is_discarded_with_it() {
    let mut engine = engine();
    let (kept, added) = (BlockId([2; 32]), BlockId([3; 32]));
    engine.missing.add(&mut engine.parts.view, GROUP, kept);
    engine.parts.view.close_step();
    engine.missing.settle();

    let start = engine.mark();
    engine.missing.add(&mut engine.parts.view, GROUP, added);
    engine.missing.found(&mut engine.parts.view, GROUP, kept);
    engine.add_name(GROUP, "friends".to_owned());
    engine.own_operation(GROUP, added);
    let peer = PeerId([4; 32]);
    assert_eq!(engine.settle(start, Err(EngineError::NotWriter), Some(peer)), Ok(()), "no reason to stop");
    assert_eq!(engine.missing.of(GROUP).collect::<Vec<_>>(), [kept], "what is missing is what the store says");
    assert!(engine.names.is_empty() && engine.fresh.is_empty());
    assert!(engine.parts.view.close_step().is_none(), "nothing is written");
    assert!(engine.shunned.contains(&peer));

    // Whoever else it was for, or if the store is the reason, the step stands or the node stops.
    let start = engine.mark();
    engine.missing.add(&mut engine.parts.view, GROUP, added);
    assert_eq!(engine.settle(start, Ok(()), Some(peer)), Ok(()));
    assert!(engine.missing.contains(GROUP, added));
    let failed = EngineError::from(StoreError::Poisoned);
    assert_eq!(engine.settle(engine.mark(), Err(failed.clone()), Some(peer)), Err(failed));
}
