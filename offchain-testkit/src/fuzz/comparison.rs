//! What is said while two sets are compared, against a set that is there.

use std::sync::{Arc, OnceLock};

use walytis_core::chains::{self, ChainIndex};
use walytis_core::reconcile::{Asking, Bound, Compare, Differ, Key, Next, Reply, Salt, reply};
use walytis_core::{AuthorSecret, BlockKind, ChainId, Draft, Pending, Place, Store, Timestamp, codec};

use super::{Verdict, paid, same_again};
use crate::MemoryStore;

const SALT: Salt = Salt([5; 8]);
/// Blocks that two sets have in common, and that each has alone: more than are listed at once.
const COMMON: u64 = 400;
const ALONE: u64 = 300;

/// Two sets of one chain.
pub(super) struct Sets {
    chain: ChainId,
    stores: [Arc<dyn Store>; 2],
}

impl Sets {
    pub(super) fn shared() -> &'static Self {
        static SETS: OnceLock<Sets> = OnceLock::new();
        SETS.get_or_init(Self::new)
    }

    fn new() -> Self {
        let genesis = Draft {
            kind: BlockKind::Content,
            place: Place::Genesis([1; 32]),
            foreign: Vec::new(),
            topics: Vec::new(),
            content: vec![1, 0],
        };
        let mut chain = None;
        let stores = [2, 3].map(|seed| {
            let store = Arc::new(MemoryStore::new());
            let mut view = Pending::new(Arc::clone(&store) as Arc<dyn Store>);
            let authors = [[1; 32], [seed; 32]].map(|seed| AuthorSecret::from_seed(&seed));
            let (mut last, mut previous) = (None, None);
            for number in 0..=COMMON + ALONE {
                let [common, alone] = &authors;
                let author = if number <= COMMON { common } else { alone };
                let place = match (chain, last) {
                    (Some(chain), Some(last)) => Place::After { chain, parents: vec![last], previous },
                    _ => genesis.place.clone(),
                };
                let draft = Draft { place, ..genesis.clone() };
                let Ok(block) = draft.sign_alone(author, Timestamp(number)) else { unreachable!("it keeps the rules") };
                let Ok(_) = chains::insert(&mut view, &block) else { unreachable!("its parents are there") };
                chain = Some(block.chain());
                last = Some(block.id());
                previous = (number != COMMON).then_some((block.id(), block.header().sequence));
            }
            let Some((_, batch)) = view.close_step() else { unreachable!("blocks were written") };
            let Ok(()) = store.commit(&batch) else { unreachable!("it is sound") };
            store as Arc<dyn Store>
        });
        let Some(chain) = chain else { unreachable!("there are two") };
        Self { chain, stores }
    }

    /// One of the sets, for a call.
    fn with<T>(&self, which: usize, call: impl FnOnce(&mut ChainIndex<'_>) -> T) -> T {
        let view = Pending::new(Arc::clone(&self.stores[which]));
        let Ok(Some(mut index)) = ChainIndex::open(&view, self.chain) else { unreachable!("it is kept") };
        call(&mut index)
    }

    fn begin(&self) -> (Asking, Compare) {
        let begun = self.with(0, |index| Asking::begin(index, self.chain, SALT, Bound::START));
        let Ok(Some(begun)) = begun else { unreachable!("there is not too much") };
        begun
    }

    fn reply(&self, compare: &Compare) -> Reply {
        let key = Key::new(self.chain, compare.salt);
        let Ok(reply) = self.with(1, |index| reply(index, &key, compare)) else { unreachable!("it is sound") };
        reply
    }

    fn go_on(&self, asking: &mut Asking, differ: &Differ) -> Next {
        let Ok(next) = self.with(0, |index| asking.go_on(index, differ)) else { unreachable!("it is sound") };
        next
    }

    /// Everything that is said until it is clear what is missing.
    pub(super) fn conversation(&self) -> (Vec<Compare>, Vec<Differ>) {
        let (mut asking, mut compare) = self.begin();
        let (mut told, mut answers) = (Vec::new(), Vec::new());
        loop {
            told.push(compare.clone());
            let Reply::Differ(differ) = self.reply(&compare) else { return (told, answers) };
            answers.push(differ.clone());
            let Next::Tell(next) = self.go_on(&mut asking, &differ) else { unreachable!("they differ") };
            compare = next;
        }
    }
}

/// What the side that lacks blocks says it has; answered if it is accepted.
///
/// # Panics
/// If it is accepted and encodes otherwise, or its answer does not keep to its bounds.
#[must_use]
pub fn compare(bytes: &[u8]) -> Verdict {
    let decoded = paid(bytes, || codec::decode::<Compare>(bytes).ok().filter(Compare::is_bounded)).ok_or(());
    if let Ok(compare) = &decoded {
        match Sets::shared().reply(compare) {
            Reply::Send(positions) => {
                assert!(positions.len() as u64 <= 1 + COMMON + ALONE, "each block is sent once");
            }
            Reply::Differ(differ) => assert!(differ.is_bounded(), "an answer keeps to its bounds"),
        }
    }
    same_again(bytes, &decoded, codec::encode)
}

/// What the other side says about where sets differ; gone on with if it is accepted.
///
/// # Panics
/// If it is accepted and encodes otherwise, or what is told then does not keep to its bounds.
#[must_use]
pub fn differ(bytes: &[u8]) -> Verdict {
    let decoded = paid(bytes, || codec::decode::<Differ>(bytes).ok().filter(Differ::is_bounded)).ok_or(());
    if let Ok(differ) = &decoded {
        let sets = Sets::shared();
        if let Next::Tell(next) = sets.go_on(&mut sets.begin().0, differ) {
            assert!(next.is_bounded(), "what is told keeps to its bounds");
        }
    }
    same_again(bytes, &decoded, codec::encode)
}
