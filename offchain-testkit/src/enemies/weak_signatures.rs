//! Signatures that a lax verifier takes: with s beyond the group's order, and with points of low order. Aims at B3: strict
//! verification, or the same block would have several signatures, and weak keys anybody's.

use walytis_core::{AuthorKey, Header, RawBlock};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::member("weak_signatures", || Tricks::boxed(&[malleated, low_order, weak_key]));

/// The order of the group of Ed25519, RFC 8032, lowest byte first.
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The same signature with s + order instead of s.
fn malleated(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"malleated")?;
    let mut signature = raw.signature.clone();
    let mut carry = 0_u16;
    for (byte, add) in signature.get_mut(32..)?.iter_mut().zip(ORDER) {
        let sum = u16::from(*byte).saturating_add(u16::from(add)).saturating_add(carry);
        let [low, high] = sum.to_le_bytes();
        (*byte, carry) = (low, u16::from(high));
    }
    turn.forge(to, RawBlock { signature, ..raw }, Some(&attachment))
}

/// The identity point and 0.
fn identity_point() -> Vec<u8> {
    let mut signature = vec![0; 64];
    if let Some(first) = signature.first_mut() {
        *first = 1;
    }
    signature
}

fn low_order(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let (raw, attachment) = turn.unkept(b"low order")?;
    turn.forge(to, RawBlock { signature: identity_point(), ..raw }, Some(&attachment))
}

/// By the identity point as a key, under which (identity, 0) signs anything.
fn weak_key(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let mut key = [0; 32];
    key[0] = 1;
    let (raw, attachment) = turn.changed(|header: &mut Header| {
        header.author = AuthorKey(key);
        header.parents.extend(header.previous.take());
        header.parents.sort_unstable();
        header.sequence = 0;
    })?;
    turn.forge(to, RawBlock { signature: identity_point(), ..raw }, Some(&attachment))
}
