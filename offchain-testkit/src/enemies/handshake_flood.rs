//! Begins handshakes and drops them, as fast as it can. Aims at R2 and attack 18: who proves nothing begins only so many.

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::stranger("handshake_flood", || Tricks::outside(&[flood]));

/// How many it begins with each victim in a turn: more than are borne.
const FLIGHTS: usize = 20;

fn flood(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let key = turn.key_of(to)?;
    let peer = turn.world.identity(to).peer;
    for _ in 0..FLIGHTS {
        let flight = turn.puppet.first_flight(peer, key.clone())?;
        turn.frame(to, flight)?;
    }
    Some(())
}
