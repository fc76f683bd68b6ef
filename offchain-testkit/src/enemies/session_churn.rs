//! Opens a session in place of the one that is open, over and over, and speaks in the old and in the new one. Aims at R2 and
//! R3: a peer has one session, and what belongs to none costs it the connection.

use walytis_engine::sync::SyncMessage;
use walytis_offchain::{FrameKind, Message};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("session_churn", || Tricks::boxed(&[anew, numbers]));

/// How many sessions it opens with a victim in a turn.
const SESSIONS: usize = 8;

fn heads(turn: &Turn<'_>) -> Vec<u8> {
    Message::Sync(SyncMessage::Heads { chain: turn.group, heads: turn.heads() }).encode()
}

fn anew(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let said = heads(turn);
    for _ in 0..SESSIONS {
        let late = turn.puppet.sealed(turn.world, to, &said)?;
        if !turn.has_time() || !turn.puppet.reopen_session(turn.world, to, turn.group) {
            return None;
        }
        // What was on its way in the session before, then a word in the new one.
        turn.frame(to, late)?;
        turn.say(to, &said)?;
    }
    Some(())
}

/// Every number that a session can have, but for a few.
fn numbers(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    for number in 2..=u8::MAX {
        turn.frame(to, vec![FrameKind::Data as u8, number, 1, 2, 3])?;
    }
    Some(())
}
