use std::sync::Arc;

use super::*;
use walytis_core::{Batch, Record, Store, StoreError};

/// A store without rows.
struct NoStore;

impl Store for NoStore {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn scan(&self, _: Table, _: KeyRange<'_>, _: usize) -> Result<Vec<Record>, StoreError> {
        Ok(Vec::new())
    }

    fn by_prefix(&self, _: Table, _: &[u8], _: [u8; 4], _: usize) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(Vec::new())
    }

    fn commit(&self, _: &Batch) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A node with many chains, whose store has no room: what is remembered of peers does not wait for it in memory.
#[test]
fn peers_met_while_there_is_no_room_are_written_once_there_is() {
    let mut view = Pending::new(Arc::new(NoStore));
    view.set_full();
    let peers = BTreeMap::new();
    let mut chains: Vec<Followed> = (0..300_u32)
        .map(|number| {
            let id = ChainId(*blake3::hash(&number.to_be_bytes()).as_bytes());
            Followed::new(number, id, "c".into(), AuthorSecret::from_seed(&[1; 32]), Standing::Followed)
        })
        .collect();
    for followed in &mut chains {
        followed.dirty = false;
        for peer in 1..4 {
            let peer = PeerId([peer; 32]);
            let address = Address::new(format!("/memory/1/p2p/{peer}")).unwrap();
            followed.rules.admitted.push(peer);
            followed.admitted(&mut view, peer, Timestamp(1));
            followed.was_here(&mut view, peer, Timestamp(HERE_AGAIN_MS + 1));
            followed.learn(&mut view, peer, &[address], Meeting { peers: &peers, now: Timestamp(2) });
        }
        followed.write(&mut view);
        assert!(view.close_step().is_none() && !view.holds_too_much());
    }
    assert!(view.take_held().is_none(), "nothing waits");
    for followed in &mut chains {
        followed.write(&mut view);
    }
    let (_, batch) = view.close_step().unwrap();
    assert_eq!(batch.changes().len(), 3 * chains.len(), "each row once");
}
