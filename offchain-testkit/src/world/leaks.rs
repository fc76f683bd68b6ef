//! What honest nodes must not send outside of sessions: headers, contents and wraps of private chains, and their blocks' ids.
//!
//! A session's frames are sealed, so each of the others is read as whoever gets it could read it.

use std::collections::BTreeSet;

use walytis_core::{BlockKind, ChainId, Header};
use walytis_engine::public::PublicMessage;
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_offchain::{FrameKind, Message};

use super::node::Body;
use super::{NodeId, World};

/// How many leaks are kept: one is too many.
const LEAKS_MAX: usize = 16;

/// What stands before a guarded text where it is a public one.
const PUBLIC: &[u8] = b"public ";

/// What is guarded, and what left all the same.
#[derive(Default)]
pub(super) struct Leaks {
    chains: BTreeSet<ChainId>,
    texts: Vec<Vec<u8>>,
    found: Vec<(NodeId, &'static str)>,
    /// How many frames outside of sessions were looked at.
    looked_at: u64,
}

impl Leaks {
    fn in_frame(&self, frame: &[u8]) -> Option<&'static str> {
        let (kind, rest) = frame.split_first()?;
        let clear = match FrameKind::from_byte(*kind)? {
            FrameKind::Public => PublicMessage::decode(rest).ok().and_then(|message| self.in_message(message)),
            // What is sealed cannot be read, and what can be read is not sealed.
            FrameKind::Data => {
                return rest.get(1..).and_then(|sealed| Message::decode(sealed).ok()).map(|_| "a message of a session");
            }
            FrameKind::Flight1 | FrameKind::Flight2 | FrameKind::Flight3 => None,
        };
        clear.or_else(|| self.texts.iter().any(|text| shows(frame, text)).then_some("private content"))
    }

    fn in_message(&self, message: PublicMessage) -> Option<&'static str> {
        match message {
            PublicMessage::Pushed { blocks, .. } => in_blocks(&blocks),
            PublicMessage::Joined { chain } => {
                self.chains.contains(&chain).then_some("an admission to a private chain")
            }
            PublicMessage::Sync(sync) => self.in_sync(sync),
            _ => None,
        }
    }

    fn in_sync(&self, sync: SyncMessage) -> Option<&'static str> {
        let private = self.chains.contains(&sync.chain());
        match sync {
            SyncMessage::Portion { blocks, .. } => in_blocks(&blocks),
            SyncMessage::Push { block, .. } => in_blocks(&[block]),
            SyncMessage::Heads { heads: ids, .. } | SyncMessage::Pull { have: ids, .. } => {
                (private && !ids.is_empty()).then_some("ids of private blocks")
            }
            SyncMessage::Compare { .. } | SyncMessage::Differ { .. } => private.then_some("sums of private blocks"),
            SyncMessage::Attachment { .. } => Some("a private attachment"),
            SyncMessage::More { .. } | SyncMessage::WantAttachments { .. } => None,
        }
    }
}

fn in_blocks(blocks: &[WireBlock]) -> Option<&'static str> {
    let public =
        |wire: &WireBlock| Header::decode(&wire.block.header).map(|header| header.kind) == Ok(BlockKind::Content);
    if blocks.iter().any(|wire| wire.attachment.is_some()) {
        return Some("a private attachment");
    }
    (!blocks.iter().all(public)).then_some("a private header")
}

fn shows(frame: &[u8], text: &[u8]) -> bool {
    let mut places = frame.windows(text.len().max(1)).enumerate().filter(|(_, window)| *window == text);
    places.any(|(place, _)| !frame.get(..place).unwrap_or_default().ends_with(PUBLIC))
}

impl World {
    /// Lets a private chain be guarded, too: see [`World::leaks`].
    pub fn guard_chain(&mut self, chain: ChainId) {
        self.leaks.chains.insert(chain);
    }

    /// Lets a text be guarded that private contents have, and public ones behind the word "public" alone.
    pub fn guard_text(&mut self, text: &[u8]) {
        self.leaks.texts.push(text.to_vec());
    }

    /// What honest nodes sent outside of sessions and must not have: a header, content or wrap of any private chain, or ids of
    /// a guarded one's blocks.
    #[must_use]
    pub fn leaks(&self) -> &[(NodeId, &'static str)] {
        &self.leaks.found
    }

    /// How many frames of honest nodes outside of sessions were looked at for leaks.
    #[must_use]
    pub const fn looked_at_for_leaks(&self) -> u64 {
        self.leaks.looked_at
    }

    /// Looks at a frame that a node sends. Puppets may send what they like.
    pub(super) fn look_for_leaks(&mut self, from: NodeId, frame: &[u8]) {
        if !matches!(self.node(from).body, Body::Engine(_)) {
            return;
        }
        self.leaks.looked_at = self.leaks.looked_at.saturating_add(1);
        if let Some(what) = self.leaks.in_frame(frame)
            && self.leaks.found.len() < LEAKS_MAX
        {
            self.leaks.found.push((from, what));
        }
    }
}
