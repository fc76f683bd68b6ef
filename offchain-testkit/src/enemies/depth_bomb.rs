//! Chains nested deeper than any may be, sent along as what an operation rests on. Aims at R2 and R4: no recursion without
//! a bound, and nothing of it is kept.

use walytis_core::limits::NESTING_MAX;
use walytis_core::{AuthorSecret, BlockKind, ChainId, Draft, ForeignHead, Header, Place, chains};
use walytis_engine::sync::WireBlock;
use walytis_identities::{Founder, Genesis, History, Operation, Purpose, keyring};

use super::{Class, Enemy, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("depth_bomb", || Box::new(DepthBomb { made: None }));

struct DepthBomb {
    made: Option<WireBlock>,
}

impl Enemy for DepthBomb {
    fn act(&mut self, turn: &mut Turn<'_>) -> Outcome {
        if self.made.is_none() {
            self.made = turn.scratch(bomb);
        }
        let mut acted = false;
        for victim in turn.victims {
            if turn.session(*victim).is_some()
                && let Some(bomb) = self.made.clone()
            {
                acted |= turn.push(*victim, bomb).is_some();
            }
        }
        turn.listen(100);
        Outcome::of(acted)
    }
}

/// An operation that names the uppermost of so many identities, each founded by the one below.
fn bomb(turn: &mut Turn<'_>) -> Option<WireBlock> {
    let mut path = vec![turn.puppet.device.user, turn.puppet.device.identity];
    for _ in 0..NESTING_MAX.saturating_add(4) {
        let founded = nested(turn, &path)?;
        path.insert(0, founded);
    }
    let uppermost = *path.first()?;
    let foreign = vec![ForeignHead { chain: uppermost, block: uppermost.into() }];
    let block = turn.operation(Operation::Merge.encode(), foreign.clone())?;
    turn.deeds.forged.insert(Header::id_of(&block.header));
    turn.deeds.forged.insert(uppermost.into());
    let foreign = chains::foreign_ancestors(&turn.puppet.view, &foreign).ok()??;
    Some(WireBlock { block, attachment: None, foreign })
}

/// A new identity above those of a path, put into the puppet's view without being judged.
fn nested(turn: &mut Turn<'_>, path: &[ChainId]) -> Option<ChainId> {
    let below = *path.first()?;
    let head = *chains::heads(&turn.puppet.view, below).ok()?.first()?;
    let place = turn.random_id().0;
    let author = AuthorSecret::generate(&mut turn.puppet.rng);
    let signed = turn.puppet.device.bind(path.to_vec(), &place, &author, None, &mut turn.puppet.rng);
    let founder = Founder::Identity(Box::new(signed));
    let genesis = Operation::Genesis(Genesis { purpose: Purpose::Identity, founder, history: History::All });
    let draft = Draft {
        kind: BlockKind::Operation,
        place: Place::Genesis(place),
        foreign: vec![ForeignHead { chain: below, block: head }],
        topics: vec![],
        content: genesis.encode(),
    };
    let (device, desk) = turn.puppet.desk(turn.world);
    let block = draft.sign(&author, &device.secret, desk.now, desk.rng).ok()?;
    chains::insert(desk.view, &block).ok()?;
    keyring::put_author(desk.view, block.chain(), &author);
    Some(block.chain())
}
