//! What nodes say to each other about public chains, outside of any session: the transport has proven both PeerIds.

use serde::{Deserialize, Serialize};

use super::compact::{Packed, Parcel, pack};
use super::limits::CHAINS_MAX;
use crate::sync::{BLOCKS_MAX, SyncMessage, WireBlock};
use walytis_core::codec::{self, AtMost, CodecError, Reader};
use walytis_core::{Address, ChainId, Hash, PeerId};

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
    /// The inviter's disk is full, so that it cannot note that the invitation was used.
    #[error("the inviter's disk is full: try again once it has room, or ask somebody else who follows the chain")]
    NoRoom,
}

/// One message about public chains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicMessage {
    /// Marks of the chains that I follow, among marks of none. Who follows one of them, too, knows its mark; to others it says
    /// nothing, not even how many there are.
    Greeting {
        /// At most [`CHAINS_MAX`] marks, ascending, each once. This program sends 8, 16, 32 ... of them.
        #[serde(with = "AtMost::<CHAINS_MAX, 32>")]
        marks: Vec<Hash>,
    },
    /// Where I can be dialled.
    Addresses {
        /// At most [`ADDRESSES_MAX`] addresses.
        #[serde(with = "AtMost::<ADDRESSES_MAX, 1>")]
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
        #[serde(with = "AtMost::<BLOCKS_MAX, { walytis_core::RawBlock::BYTES_MIN }>")]
        blocks: Vec<WireBlock>,
    },
}

/// The highest number of a [`Framed`] that is known.
const FRAMED_MAX: u32 = 3;
/// The number of [`Framed::Plain`].
const PLAIN: u8 = 0;
/// The highest number of a [`PublicMessage`] that is known.
const MESSAGE_MAX: u32 = 6;
/// The number of [`PublicMessage::Refused`], which begins with a chain's id.
const REFUSED: u8 = 4;
/// The highest number of a [`JoinRefusal`] that is known.
const REFUSAL_MAX: u32 = 4;
/// The number of [`PublicMessage::Sync`].
const SYNC: u8 = 5;

/// Tells messages of a kind that this program does not know from those that nobody sends.
fn expect_known(encoded: &[u8]) -> Result<(), CodecError> {
    codec::expect_kind(encoded, FRAMED_MAX)?;
    let Some((&PLAIN, message)) = encoded.split_first() else { return Ok(()) };
    codec::expect_kind(message, MESSAGE_MAX)?;
    match message.split_first() {
        Some((&SYNC, sync)) => codec::expect_kind(sync, crate::sync::MESSAGE_MAX),
        Some((&REFUSED, refused)) => {
            codec::expect_kind(refused.get(size_of::<ChainId>()..).unwrap_or_default(), REFUSAL_MAX)
        }
        _ => Ok(()),
    }
}

/// A message as it travels: blocks without what their receiver can restore.
#[derive(Serialize)]
enum Framed<'a> {
    /// Any message without blocks.
    Plain(&'a PublicMessage),
    /// [`SyncMessage::Portion`].
    Portion { chain: ChainId, left: u64, blocks: Vec<Packed<'a>> },
    /// [`SyncMessage::Push`]: one block.
    Push { chain: ChainId, block: Packed<'a> },
    /// [`PublicMessage::Pushed`].
    Pushed { chain: ChainId, blocks: Vec<Packed<'a>> },
}

/// What a message begins with, as [`Framed`] numbers it, and as far as it can be read without looking at any block.
#[derive(Serialize, Deserialize)]
enum Head {
    Plain,
    Portion { chain: ChainId, left: u64, blocks: u32 },
    Push { chain: ChainId },
    Pushed { chain: ChainId, blocks: u32 },
}

/// A message as its receiver takes it: blocks stand as they came, and are not looked at until it is clear that they are
/// wanted. What was made of them, a frame of the smallest blocks took a hundred times its bytes.
#[derive(Clone, Debug)]
pub(super) enum Received<'a> {
    /// A message without blocks.
    Message(PublicMessage),
    /// [`SyncMessage::Portion`].
    Portion { chain: ChainId, left: u64, blocks: Parcel<'a> },
    /// [`SyncMessage::Push`] or [`PublicMessage::Pushed`].
    Pushed { chain: ChainId, blocks: Parcel<'a> },
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

    /// Reads a message from a frame without its kind, all of its blocks at once: for tools and tests. An engine unpacks blocks
    /// one at a time, once it is clear that they are wanted.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not the one encoding of a message, or a list exceeds its bound.
    pub fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let bare = |block| WireBlock { block, attachment: None, foreign: Vec::new() };
        let unpack = |blocks: &Parcel<'_>| -> Result<Vec<WireBlock>, CodecError> {
            blocks.check()?;
            blocks.unpack().map(|block| block.map(bare)).collect()
        };
        Ok(match Received::decode(bytes)? {
            Received::Message(message) => message,
            Received::Portion { chain, left, blocks } => {
                Self::Sync(SyncMessage::Portion { chain, blocks: unpack(&blocks)?, left })
            }
            Received::Pushed { chain, blocks } => Self::pushed(chain, unpack(&blocks)?),
        })
    }

    /// Decodes a message as an engine does, its blocks one at a time, of which none is kept: for what measures how much that
    /// takes. Gives how many blocks there are.
    ///
    /// # Errors
    /// As [`PublicMessage::decode`].
    pub fn walk(bytes: &[u8]) -> Result<usize, CodecError> {
        match Received::decode(bytes)? {
            Received::Message(_) => Ok(0),
            Received::Portion { blocks, .. } | Received::Pushed { blocks, .. } => {
                let blocks = blocks.into_owned();
                let count = blocks.check()?.blocks;
                blocks.unpack().try_fold(0_usize, |number, block| block.map(|_| number.saturating_add(1)))?;
                Ok(count)
            }
        }
    }

    /// Whether a message without blocks keeps to its bounds.
    fn is_bounded(&self) -> bool {
        match self {
            Self::Greeting { marks } => marks.is_sorted_by(|a, b| a < b) || walytis_core::mutant!(HearAnyMarks),
            Self::Addresses { .. } | Self::Join { .. } | Self::Joined { .. } | Self::Refused { .. } => true,
            // Blocks have a shorter form, and nothing of a public chain has attachments.
            Self::Sync(
                SyncMessage::WantAttachments { .. }
                | SyncMessage::Attachment { .. }
                | SyncMessage::Push { .. }
                | SyncMessage::Portion { .. },
            )
            | Self::Pushed { .. } => false,
            Self::Sync(sync) => sync.is_bounded(),
        }
    }
}

/// The number of [`Framed::Portion`].
const PORTION: u8 = 1;
/// The number of [`SyncMessage::Differ`].
const DIFFER: u8 = 8;
/// The number of [`PublicMessage::Pushed`] in its enumeration.
const PUSHED: u8 = 6;
/// The numbers of what in [`SyncMessage`] has blocks or attachments: no message about public chains says it so.
const LARGE: std::ops::RangeInclusive<u8> = 3..=6;

impl<'a> Received<'a> {
    /// Reads a message from a frame without its kind, as far as its blocks.
    ///
    /// # Errors
    /// [`CodecError`] if the bytes are not the one encoding of a message, or a list exceeds its bound. Of blocks this does
    /// not say so.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        codec::expect_version(bytes, MESSAGE_VERSION)?;
        let encoded = bytes.get(1..).unwrap_or_default();
        expect_known(encoded)?;
        let mut reader = Reader::new(encoded);
        let count = |blocks: u32| usize::try_from(blocks).unwrap_or(usize::MAX);
        Ok(match reader.read::<Head>()? {
            Head::Plain => match reader.rest() {
                // What is never said so is not decoded first.
                [SYNC, number, ..] if LARGE.contains(number) => return Err(CodecError::Malformed),
                [PUSHED, ..] => return Err(CodecError::Malformed),
                plain => {
                    let message: PublicMessage = codec::decode(plain)?;
                    if !message.is_bounded() {
                        return Err(CodecError::Malformed);
                    }
                    Self::Message(message)
                }
            },
            Head::Portion { chain, left, blocks } => {
                Self::Portion { chain, left, blocks: Parcel::new(chain, count(blocks), reader.rest())? }
            }
            Head::Push { chain } => Self::Pushed { chain, blocks: Parcel::new(chain, 1, reader.rest())? },
            // One alone is said in another way.
            Head::Pushed { blocks: ..=1, .. } => return Err(CodecError::Malformed),
            Head::Pushed { chain, blocks } => {
                Self::Pushed { chain, blocks: Parcel::new(chain, count(blocks), reader.rest())? }
            }
        })
    }

    /// The chain of which a frame without its kind begins as an answer to a pull. Nothing behind the first bytes is looked at.
    pub(super) fn answered(bytes: &[u8]) -> Option<ChainId> {
        let (&MESSAGE_VERSION, encoded) = bytes.split_first()? else { return None };
        match encoded {
            [PLAIN, SYNC, DIFFER, rest @ ..] => rest.first_chunk().map(|id| ChainId(*id)),
            [PORTION, rest @ ..] => rest.first_chunk().map(|id| ChainId(*id)),
            _ => None,
        }
    }

    /// Whether a frame without its kind is a greeting, and nothing that it could be answered with.
    pub(super) fn is_greeting(bytes: &[u8]) -> bool {
        matches!(bytes, [MESSAGE_VERSION, 0, 0, ..])
    }
}

/// The mark of a chain in a greeting from one peer to another. It tells the chain to who knows it, and to nobody else;
/// and nobody can pass it on as its own.
#[must_use]
pub(super) fn mark(from: PeerId, to: PeerId, chain: ChainId) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 public chain greeting");
    hasher.update(if walytis_core::mutant!(MarkForAnyone) { &[0; 32] } else { &from.0 });
    hasher.update(&to.0);
    hasher.update(&chain.0);
    Hash(*hasher.finalize().as_bytes())
}

/// What a joiner shows to an inviter instead of the secret: it is worth nothing to anybody else.
#[must_use]
pub(super) fn proof(secret: &[u8; 16], joiner: PeerId, inviter: PeerId, chain: ChainId) -> Hash {
    let key = blake3::derive_key("walytis v1 public chain invitation", secret);
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(if walytis_core::mutant!(ProveForAnyone) { &[0; 32] } else { &joiner.0 });
    hasher.update(&inviter.0);
    hasher.update(&chain.0);
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_answers_a_pull_is_known_by_its_first_bytes() {
        let chain = ChainId([9; 32]);
        let answered = |message: SyncMessage| {
            let frame = PublicMessage::Sync(message).frame();
            (Received::answered(&frame[1..]), Received::answered(&frame[1..20]))
        };
        let differ = walytis_core::reconcile::Differ {
            salt: walytis_core::reconcile::Salt([1; 8]),
            open: Vec::new().into(),
            cut: None,
        };
        assert_eq!(answered(SyncMessage::Portion { chain, blocks: Vec::new(), left: 3 }), (Some(chain), None));
        assert_eq!(answered(SyncMessage::Differ { chain, differ }), (Some(chain), None));
        assert_eq!(answered(SyncMessage::Heads { chain, heads: vec![chain.into()] }), (None, None));
        assert_eq!(answered(SyncMessage::More { chain }), (None, None));
        let greeting = PublicMessage::Greeting { marks: vec![Hash([1; 32]); 2] }.frame();
        assert_eq!(Received::answered(&greeting[1..]), None);
    }

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
    fn blocks_and_attachments_are_said_in_no_other_form() {
        let chain = ChainId([1; 32]);
        let raw = walytis_core::RawBlock { header: vec![7; 100], signature: vec![8; 64], content: vec![9; 3] };
        let block = WireBlock { block: raw, attachment: None, foreign: Vec::new() };
        let blocks = vec![block.clone(); 2];
        let plain = [
            PublicMessage::Sync(SyncMessage::Portion { chain, blocks: blocks.clone(), left: 0 }),
            PublicMessage::Sync(SyncMessage::Push { chain, block }),
            PublicMessage::Sync(SyncMessage::WantAttachments { chain, ids: Vec::new() }),
            PublicMessage::Sync(SyncMessage::Attachment { chain, id: chain.into(), attachment: vec![1].into() }),
            PublicMessage::Pushed { chain, blocks },
        ];
        for message in &plain {
            let said = [&[MESSAGE_VERSION][..], &codec::encode(&Framed::Plain(message))].concat();
            assert_eq!(PublicMessage::decode(&said), Err(CodecError::Malformed), "{message:?}");
            let number = matches!(message, PublicMessage::Pushed { .. }).then_some(PUSHED).unwrap_or(SYNC);
            assert_eq!(said.get(2), Some(&number));
            assert!(number == PUSHED || LARGE.contains(&said[3]), "refused before it is decoded");
        }
        // Several that are one.
        let one = [&[MESSAGE_VERSION, 3][..], &chain.0, &[1]].concat();
        assert_eq!(PublicMessage::decode(&one), Err(CodecError::Malformed));
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
