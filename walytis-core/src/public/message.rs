//! What nodes say to each other about public chains, outside of any session: the transport has proven both PeerIds.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::compact::{Packed, pack, unpack};
use super::limits::CHAINS_MAX;
use crate::codec::{self, CodecError};
use crate::sync::{SyncMessage, WireBlock};
use crate::{Address, ChainId, Hash, PeerId};

/// The first byte of every frame about public chains.
pub const FRAME_KIND: u8 = 5;

/// The version of messages.
const MESSAGE_VERSION: u8 = 1;

/// The most addresses that a peer is believed to have.
pub const ADDRESSES_MAX: usize = 8;

/// Why a joiner was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum JoinRefusal {
    /// The inviter has no such invitation: it was revoked, or never made there.
    #[error("the inviter has no such invitation, or not any more: ask for a new one")]
    Unknown,
    /// The invitation was used as often as it allows.
    #[error("the invitation is spent: ask for a new one")]
    Spent,
    /// The inviter does not let this peer in.
    #[error("the inviter does not let this node in")]
    Blocked,
    /// The inviter serves only those whom it invited, and remembers no more of them.
    #[error("the inviter has let in as many as it serves: ask somebody else who follows the chain")]
    Full,
}

/// One message about public chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicMessage {
    /// Marks of the chains that I follow. Who follows one of them, too, knows its mark; to others it says nothing.
    Greeting {
        /// At most [`CHAINS_MAX`] marks, ascending, each once.
        marks: Vec<Hash>,
    },
    /// Where I can be dialled.
    Addresses {
        /// At most [`ADDRESSES_MAX`] addresses.
        addresses: Vec<Address>,
    },
    /// Let me in: I know the secret of an invitation.
    Join {
        /// The chain.
        chain: ChainId,
        /// What only who knows the secret can make, for these two peers.
        proof: Hash,
    },
    /// You are let in.
    Joined {
        /// The chain.
        chain: ChainId,
    },
    /// You are not let in; also the answer to whatever is about a chain that the sender does not follow.
    Refused {
        /// The chain.
        chain: ChainId,
        /// Why.
        reason: JoinRefusal,
    },
    /// About a chain's blocks. Blocks of public chains have neither attachments nor blocks of other chains beside them.
    Sync(SyncMessage),
    /// New blocks of mine that became durable together: as so many [`SyncMessage::Push`].
    Pushed {
        /// The chain.
        chain: ChainId,
        /// At least two, in the order in which they were made.
        blocks: Vec<WireBlock>,
    },
}

/// A message as it travels: blocks without what their receiver can restore.
#[derive(Serialize, Deserialize)]
enum Framed<M> {
    /// Any message without blocks.
    Plain(M),
    /// [`SyncMessage::Portion`].
    Portion { chain: ChainId, left: u64, blocks: Vec<Packed> },
    /// [`SyncMessage::Push`]: one block.
    Push { chain: ChainId, block: Packed },
    /// [`PublicMessage::Pushed`].
    Pushed { chain: ChainId, blocks: Vec<Packed> },
}

impl PublicMessage {
    /// New blocks of mine, of which there is at least one.
    pub(super) fn pushed(chain: ChainId, mut blocks: Vec<WireBlock>) -> Self {
        match (blocks.len(), blocks.pop()) {
            (1, Some(block)) => Self::Sync(SyncMessage::Push { chain, block }),
            (_, last) => {
                blocks.extend(last);
                Self::Pushed { chain, blocks }
            }
        }
    }

    /// The frame: kind, version, message.
    #[must_use]
    pub fn frame(&self) -> Vec<u8> {
        let mut bytes = vec![FRAME_KIND, MESSAGE_VERSION];
        bytes.extend_from_slice(&self.encode());
        bytes
    }

    fn encode(&self) -> Vec<u8> {
        let framed = match self {
            // With something beside them, they travel as no honest peer sends them.
            Self::Sync(SyncMessage::Portion { chain, blocks, left }) if blocks.iter().all(WireBlock::is_bare) => {
                let blocks = pack(*chain, blocks.iter().map(|wire| &wire.block));
                Framed::Portion { chain: *chain, left: *left, blocks }
            }
            Self::Sync(SyncMessage::Push { chain, block }) if block.is_bare() => {
                match pack(*chain, std::iter::once(&block.block)).pop() {
                    Some(packed) => Framed::Push { chain: *chain, block: packed },
                    None => Framed::Plain(self),
                }
            }
            Self::Pushed { chain, blocks } if blocks.iter().all(WireBlock::is_bare) => {
                Framed::Pushed { chain: *chain, blocks: pack(*chain, blocks.iter().map(|wire| &wire.block)) }
            }
            _ => Framed::Plain(self),
        };
        codec::encode(&framed)
    }

    /// Reads a message from a frame without its kind.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not the one encoding of a message, or a list exceeds its bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::expect_version(bytes, MESSAGE_VERSION)?;
        let bare = |block| WireBlock { block, attachment: None, foreign: Vec::new() };
        let encoded = bytes.get(1..).unwrap_or_default();
        let message = match codec::decode::<Framed<Self>>(encoded)? {
            Framed::Plain(Self::Sync(SyncMessage::Portion { .. } | SyncMessage::Push { .. }) | Self::Pushed { .. }) => {
                return Err(CodecError::Malformed);
            }
            Framed::Plain(message) => message,
            Framed::Portion { chain, left, blocks } => {
                let blocks = unpack(chain, blocks)?.into_iter().map(bare).collect();
                Self::Sync(SyncMessage::Portion { chain, blocks, left })
            }
            Framed::Push { chain, block } => {
                let block = unpack(chain, vec![block])?.pop().map(bare).ok_or(CodecError::Malformed)?;
                Self::Sync(SyncMessage::Push { chain, block })
            }
            Framed::Pushed { chain, blocks } => {
                Self::Pushed { chain, blocks: unpack(chain, blocks)?.into_iter().map(bare).collect() }
            }
        };
        let bounded = match &message {
            Self::Greeting { marks } => {
                (marks.len() <= CHAINS_MAX && marks.is_sorted_by(|a, b| a < b)) || crate::mutant!(HearAnyMarks)
            }
            Self::Addresses { addresses } => {
                addresses.len() <= ADDRESSES_MAX
                    && addresses.iter().all(|address| address.as_str().len() <= Address::BYTES_MAX)
            }
            Self::Join { .. } | Self::Joined { .. } | Self::Refused { .. } => true,
            Self::Sync(SyncMessage::WantAttachments { .. } | SyncMessage::Attachment { .. }) => false,
            // What has a shorter form is sent in it: one message, one encoding.
            Self::Sync(SyncMessage::Push { .. } | SyncMessage::Portion { .. }) => message.encode() == encoded,
            Self::Pushed { blocks, .. } => blocks.len() > 1 && message.encode() == encoded,
            Self::Sync(sync) => sync.is_bounded(),
        };
        if bounded { Ok(message) } else { Err(CodecError::Malformed) }
    }
}

/// The mark of a chain in a greeting from one peer to another. It tells the chain to who knows it, and to nobody else;
/// and nobody can pass it on as its own.
#[must_use]
pub(super) fn mark(from: PeerId, to: PeerId, chain: ChainId) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 public chain greeting");
    hasher.update(if crate::mutant!(MarkForAnyone) { &[0; 32] } else { &from.0 });
    hasher.update(&to.0);
    hasher.update(&chain.0);
    Hash(*hasher.finalize().as_bytes())
}

/// The marks of chains, as a greeting has them.
pub(super) fn marks(from: PeerId, to: PeerId, chains: impl Iterator<Item = ChainId>) -> Vec<Hash> {
    let marks: BTreeSet<Hash> = chains.take(CHAINS_MAX).map(|chain| mark(from, to, chain)).collect();
    marks.into_iter().collect()
}

/// What a joiner shows to an inviter instead of the secret: it is worth nothing to anybody else.
#[must_use]
pub(super) fn proof(secret: &[u8; 16], joiner: PeerId, inviter: PeerId, chain: ChainId) -> Hash {
    let key = blake3::derive_key("walytis v1 public chain invitation", secret);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(if crate::mutant!(ProveForAnyone) { &[0; 32] } else { &joiner.0 });
    hasher.update(&inviter.0);
    hasher.update(&chain.0);
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_have_one_encoding_and_bounds() {
        let check = |message: &PublicMessage, fits: bool| {
            let frame = message.frame();
            assert_eq!(frame.first(), Some(&FRAME_KIND));
            assert_eq!(PublicMessage::decode(&frame[1..]).as_ref().ok(), fits.then_some(message));
        };
        let chain = ChainId([1; 32]);
        check(&PublicMessage::Greeting { marks: vec![Hash([1; 32]), Hash([2; 32])] }, true);
        check(&PublicMessage::Greeting { marks: vec![Hash([2; 32]), Hash([1; 32])] }, false);
        check(&PublicMessage::Join { chain, proof: Hash([7; 32]) }, true);
        check(&PublicMessage::Refused { chain, reason: JoinRefusal::Spent }, true);
        check(&PublicMessage::Sync(SyncMessage::More { chain }), true);
        check(&PublicMessage::Sync(SyncMessage::WantAttachments { chain, ids: Vec::new() }), false);
        check(&PublicMessage::Addresses { addresses: vec![Address::new("/a").unwrap(); 9] }, false);
        assert_eq!(PublicMessage::decode(&[2]), Err(CodecError::Version { found: 2, known: 1 }));
    }

    #[test]
    fn a_mark_and_a_proof_are_for_two_peers_and_one_chain() {
        let (a, b, chain) = (PeerId([1; 32]), PeerId([2; 32]), ChainId([3; 32]));
        let (c, other) = (PeerId([4; 32]), ChainId([5; 32]));
        for told in [mark(b, a, chain), mark(c, b, chain), mark(a, c, chain), mark(a, b, other)] {
            assert_ne!(mark(a, b, chain), told);
        }
        for (joiner, inviter, of) in [(b, a, chain), (c, b, chain), (a, c, chain), (a, b, other)] {
            assert_ne!(proof(&[0; 16], a, b, chain), proof(&[0; 16], joiner, inviter, of));
        }
        assert_ne!(proof(&[0; 16], a, b, chain), proof(&[1; 16], a, b, chain));
    }
}
