//! Says that it can be dialled where others live, or nowhere, over and over. Aims at R3: a peer changes its own entry in the
//! address book, in eight lines.

use walytis_core::Address;
use walytis_offchain::{ADDRESSES_MAX, Message};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("false_addresses", || Tricks::boxed(&[others, nowhere, too_many]));

fn hello(turn: &mut Turn<'_>, to: NodeId, addresses: Vec<Address>) -> Option<()> {
    turn.say(to, &Message::Hello { addresses }.encode())
}

fn nowhere_at(turn: &mut Turn<'_>, peer: walytis_core::PeerId) -> Option<Address> {
    let place = turn.pick(1_000_000);
    Address::new(format!("/memory/{}/p2p/{peer}", place.saturating_add(1_000_000)))
}

/// Other members' keys at places where nobody is.
fn others(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut addresses = Vec::new();
    for victim in turn.victims.iter().take(ADDRESSES_MAX) {
        let peer = turn.world.identity(*victim).peer;
        addresses.extend(nowhere_at(turn, peer));
    }
    hello(turn, to, addresses)
}

fn nowhere(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let me = turn.world.identity(turn.puppet.node()).peer;
    for _ in 0..20 {
        let addresses = (0..ADDRESSES_MAX).filter_map(|_| nowhere_at(turn, me)).collect();
        hello(turn, to, addresses)?;
    }
    Some(())
}

fn too_many(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let me = turn.world.identity(turn.puppet.node()).peer;
    let addresses = (0..=ADDRESSES_MAX).filter_map(|_| nowhere_at(turn, me)).collect();
    hello(turn, to, addresses)
}
