//! Operations that change nothing, side by side: more heads of operations than one block can have as parents, each of which
//! is a view of its own. Aims at R1, R2 and H1: others go on writing.

use walytis_core::{Hash, Header, RawBlock, Suite, chains};
use walytis_identities::{BeginEpoch, Operation};

use super::{Class, Outcome, Turn};

pub(super) const CLASS: Class = Class::member("operation_fan", || Box::new(act));

/// How many siblings it makes in a turn.
const SIBLINGS: u64 = 20;

fn act(turn: &mut Turn<'_>) -> Outcome {
    for victim in turn.victims {
        turn.session(*victim);
    }
    let mut acted = false;
    for number in 0..SIBLINGS {
        let Some(block) = sibling(turn, number) else { break };
        for victim in turn.victims {
            acted |= turn.offer(*victim, block.clone(), None).is_some();
        }
    }
    turn.listen(100);
    Outcome::of(acted)
}

/// A merge of nothing, or now and then an epoch whose wraps nobody ever sees.
fn sibling(turn: &mut Turn<'_>, number: u64) -> Option<RawBlock> {
    let view = chains::operation_heads(&turn.puppet.view, turn.group).ok()?;
    let [seed, wraps] = [(); 2].map(|()| Hash(turn.random_id().0));
    let epoch = Operation::BeginEpoch(BeginEpoch { view, seed, wraps });
    let operation = if number % 5 == 4 { epoch } else { Operation::Merge };
    let raw = turn.operation(operation.encode(), Vec::new())?;
    // A time of its own: otherwise it would be the same block again.
    let mut header = Header::decode(&raw.header).ok()?;
    header.created_at_ms = header.created_at_ms.saturating_sub(number);
    turn.signed(header.encode(), Suite::Hybrid, raw.content)
}
