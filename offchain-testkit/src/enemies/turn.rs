//! What an enemy has in its turn: the world, the node in its hands, and how it forges.

use std::collections::BTreeSet;

use rand_core::Rng as _;
use walytis_core::{
    BlockId, BlockKind, ChainId, Draft, FORMAT_VERSION, ForeignHead, Hash, Header, HybridKey, PeerId, Pending,
    RawBlock, Suite, Transcript, chains,
};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::{EpochContext, InvitationSecret, Operation, keyring};
use walytis_offchain::{Attachment, Message, OpenContent, PrivateBody, SealedPlace};

use super::Standing;
use crate::{NodeId, Puppet, World};

/// The most virtual milliseconds that pass in one turn.
pub const TURN_MS_MAX: u64 = 12_000;

/// The most virtual milliseconds that opening a session takes, whoever is at the other end.
const SESSION_MS_MAX: u64 = 2_100;

/// How long it waits to be asked for what it tells of, and how often it looks, in virtual milliseconds.
const ASKED_MS: u64 = 600;
const ASKED_STEP_MS: u64 = 20;

/// For how long it keeps whoever asked waiting, at most, in virtual milliseconds.
const KEPT_WAITING_MS: usize = 800;

/// What an enemy did in all of its turns so far, for whoever checks what became of it.
#[derive(Debug, Default)]
pub struct Deeds {
    /// Blocks that must not be in any honest node's set.
    pub forged: BTreeSet<BlockId>,
    /// Blocks that may be: what a member may write, however annoying.
    pub valid: BTreeSet<BlockId>,
    /// Blocks that may be, and of which no application may be told: nobody can read them.
    pub unreadable: BTreeSet<BlockId>,
    /// Whether somebody admitted an enemy that had no right to it.
    pub admitted: bool,
}

/// One turn of an enemy.
#[derive(Debug)]
pub struct Turn<'a> {
    /// The world.
    pub world: &'a mut World,
    /// The node in the enemy's hands.
    pub puppet: &'a mut Puppet,
    /// Honest nodes that run.
    pub victims: &'a [NodeId],
    /// The group that the enemy is after.
    pub group: ChainId,
    /// The secret of an invitation to the group that came into the enemy's hands. If the enemy shall stay a stranger, it
    /// is one whose uses are spent.
    pub invitation: Option<&'a InvitationSecret>,
    /// What the enemy did so far.
    pub deeds: &'a mut Deeds,
    ends_us: u64,
}

impl<'a> Turn<'a> {
    /// A turn that begins now.
    pub fn new(
        world: &'a mut World,
        puppet: &'a mut Puppet,
        victims: &'a [NodeId],
        group: ChainId,
        deeds: &'a mut Deeds,
    ) -> Self {
        let ends_us = world.now_us().saturating_add(TURN_MS_MAX * 1_000);
        Self { world, puppet, victims, group, invitation: None, deeds, ends_us }
    }

    /// The same with an invitation's secret. See [`Turn::invitation`].
    #[must_use]
    pub const fn with_invitation(mut self, invitation: &'a InvitationSecret) -> Self {
        self.invitation = Some(invitation);
        self
    }

    /// Whether the enemy is a member of the group, as far as its store says.
    #[must_use]
    pub fn standing(&mut self) -> Standing {
        let Ok(membership) = self.puppet.fold.current(&self.puppet.view, self.group) else { return Standing::Stranger };
        match self.puppet.author(self.group) {
            Ok(author) if membership.devices.contains_key(&author.public()) => Standing::Member,
            _ => Standing::Stranger,
        }
    }

    fn left_ms(&self) -> u64 {
        self.ends_us.saturating_sub(self.world.now_us()) / 1_000
    }

    /// A number below `below`.
    pub fn pick(&mut self, below: usize) -> usize {
        let below = u64::try_from(below).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.puppet.rng.next_u64() % below).unwrap_or_default()
    }

    /// So many random bytes.
    pub fn random(&mut self, bytes: usize) -> Vec<u8> {
        let mut random = vec![0; bytes];
        self.puppet.rng.fill_bytes(&mut random);
        random
    }

    /// An id that is nobody's.
    pub fn random_id(&mut self) -> BlockId {
        let mut id = [0; 32];
        self.puppet.rng.fill_bytes(&mut id);
        BlockId(id)
    }

    /// Connects to a node. `None` if it cannot be reached, or the turn is over.
    pub fn connect(&mut self, to: NodeId) -> Option<()> {
        (self.left_ms() > 1 && self.puppet.connect(self.world, to)).then_some(())
    }

    /// Opens a session as a member, or finds it open. `None` if there is none to be had, or the turn is nearly over.
    pub fn session(&mut self, with: NodeId) -> Option<()> {
        if self.puppet.has_session(self.world, with) {
            return Some(());
        }
        (self.left_ms() > SESSION_MS_MAX && self.puppet.open_session(self.world, with, self.group)).then_some(())
    }

    /// Whether there is time for another handshake.
    #[must_use]
    pub fn has_time(&self) -> bool {
        self.left_ms() > SESSION_MS_MAX
    }

    /// Lets time pass, within the turn, and gives what was said meanwhile.
    pub fn listen(&mut self, ms: u64) -> Vec<(PeerId, Message)> {
        let ms = ms.min(self.left_ms());
        self.puppet.listen(self.world, ms)
    }

    /// Lets time pass, within the turn. What arrives is not looked at.
    pub fn wait(&mut self, ms: u64) {
        let ms = ms.min(self.left_ms());
        self.world.run_for(ms);
    }

    /// Sends a frame as it is. `None` if there is no connection.
    pub fn frame(&mut self, to: NodeId, frame: Vec<u8>) -> Option<()> {
        let connected = self.world.connected(self.puppet.node(), to);
        self.puppet.send(self.world, to, frame);
        connected.then_some(())
    }

    /// Says any bytes in an open session.
    pub fn say(&mut self, to: NodeId, bytes: &[u8]) -> Option<()> {
        self.puppet.tell_bytes(self.world, to, bytes).then_some(())
    }

    /// Says something about a chain in an open session.
    pub fn sync(&mut self, to: NodeId, message: SyncMessage) -> Option<()> {
        self.say(to, &Message::Sync(message).encode())
    }

    /// Pushes a block to a node, whatever it is.
    pub fn push(&mut self, to: NodeId, block: WireBlock) -> Option<()> {
        self.puppet.push(self.world, to, self.group, block).then_some(())
    }

    /// Gives a block that must not get into anybody's set: unasked, or as the answer to a question that it provoked.
    pub fn forge(&mut self, to: NodeId, block: RawBlock, attachment: Option<&Attachment>) -> Option<()> {
        let id = Header::id_of(&block.header);
        self.deeds.forged.insert(id);
        let block = wire(block, attachment);
        if self.pick(3) > 0 {
            return self.push(to, block);
        }
        self.be_asked(to, id)?;
        self.sync(to, SyncMessage::Portion { chain: self.group, blocks: vec![block], left: 0 })
    }

    /// Tells of a head until it is asked for it, and keeps the asker waiting for a moment. `None` if there is no session any
    /// more. Who waits for another peer's answer does not ask.
    pub fn be_asked(&mut self, to: NodeId, head: BlockId) -> Option<()> {
        self.sync(to, SyncMessage::Heads { chain: self.group, heads: vec![head] })?;
        let asker = self.world.identity(to).peer;
        for _ in 0..ASKED_MS / ASKED_STEP_MS {
            let heard = self.listen(ASKED_STEP_MS);
            if heard
                .iter()
                .any(|(from, message)| *from == asker && matches!(message, Message::Sync(SyncMessage::Pull { .. })))
            {
                let moment_ms = u64::try_from(self.pick(KEPT_WAITING_MS)).unwrap_or_default();
                self.listen(moment_ms);
                break;
            }
        }
        self.puppet.has_session(self.world, to).then_some(())
    }

    /// Pushes a block with sealed content that is not its own. Who cannot read the epoch cannot know, keeps the block
    /// without it and passes it on; if all can, it must not get into anybody's set.
    pub fn forge_sealed(&mut self, to: NodeId, block: RawBlock, attachment: &Attachment) -> Option<()> {
        let epoch = PrivateBody::decode(&block.content).ok()?.epoch;
        let reads = |victim: &NodeId| {
            let store = self.world.reading(*victim);
            store.is_ok_and(|store| keyring::epoch(&Pending::new(store), epoch).is_ok_and(|seed| seed.is_some()))
        };
        if self.victims.iter().all(reads) {
            return self.forge(to, block, Some(attachment));
        }
        self.push(to, wire(block, Some(attachment)))
    }

    /// Pushes a block that a member may write.
    pub fn offer(&mut self, to: NodeId, block: RawBlock, attachment: Option<&Attachment>) -> Option<()> {
        self.deeds.valid.insert(Header::id_of(&block.header));
        self.push(to, wire(block, attachment))
    }

    /// Pushes a block that a member may write, and that nobody can read.
    pub fn offer_unreadable(&mut self, to: NodeId, block: RawBlock, attachment: Option<&Attachment>) -> Option<()> {
        self.deeds.unreadable.insert(Header::id_of(&block.header));
        self.offer(to, block, attachment)
    }

    /// Does something, and forgets what the puppet wrote in the course of it.
    pub fn scratch<T>(&mut self, work: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let before = self.puppet.view.savepoint();
        let done = work(self);
        self.puppet.view.rollback(before);
        self.puppet.fold.forget();
        done
    }

    /// A valid private block behind the heads that the puppet knows, which it keeps.
    pub fn kept(&mut self, content: &[u8]) -> Option<(RawBlock, Attachment)> {
        let (stored, attachment) = self.puppet.private(self.world, self.group, content).ok()?;
        Some((stored.block.raw().clone(), attachment))
    }

    /// A valid private block behind the heads that the puppet knows. It does not keep it, so the next one is a sibling.
    pub fn unkept(&mut self, content: &[u8]) -> Option<(RawBlock, Attachment)> {
        self.scratch(|turn| turn.kept(content))
    }

    /// The bytes of a header, signed by the puppet's own keys as its kind asks for.
    pub fn signed(&mut self, header: Vec<u8>, suite: Suite, content: Vec<u8>) -> Option<RawBlock> {
        let author = self.puppet.author(self.group).ok()?;
        let transcript = transcript(suite, &header);
        let mut signature = author.sign(&transcript).to_vec();
        if suite == Suite::Hybrid {
            signature.extend_from_slice(&self.puppet.device.secret.sign_ml_dsa(&transcript, &mut self.puppet.rng));
        }
        Some(RawBlock { header, signature, content })
    }

    /// The content of a block in the form in which members pass it on, which any block may have that commits to it. Sealed
    /// content is one block's alone: whatever else is wrong with a block, it would be refused for that.
    pub fn opened(&mut self, raw: &RawBlock, attachment: &Attachment) -> Option<Attachment> {
        let Attachment::Sealed(sealed) = attachment else { return None };
        let body = PrivateBody::decode(&raw.content).ok()?;
        let seed = keyring::epoch(&self.puppet.view, body.epoch).ok()??;
        let membership = self.puppet.fold.current(&self.puppet.view, self.group).ok()?;
        let key = seed.epoch_key(&EpochContext::new(self.group, &membership.epochs.get(&body.epoch)?.view));
        let place = SealedPlace { chain: self.group, block: Header::id_of(&raw.header), epoch: body.epoch };
        let content = OpenContent::open(sealed, &key, &place, &body).ok()?;
        Some(Attachment::Open(content.encode().into()))
    }

    /// A valid block whose header says something else, signed anew by the puppet's own keys, and its content.
    pub fn changed(&mut self, change: impl FnOnce(&mut Header)) -> Option<(RawBlock, Attachment)> {
        let (raw, attachment) = self.unkept(b"changed")?;
        let mut header = Header::decode(&raw.header).ok()?;
        change(&mut header);
        let attachment = self.opened(&raw, &attachment)?;
        Some((self.signed(header.encode(), header.suite, raw.content)?, attachment))
    }

    /// A valid block whose content on the chain says something else, with the header and the signature for it.
    pub fn rewritten(&mut self, change: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<(RawBlock, Attachment)> {
        let (mut raw, attachment) = self.unkept(b"rewritten")?;
        let attachment = self.opened(&raw, &attachment)?;
        change(&mut raw.content)?;
        let mut header = Header::decode(&raw.header).ok()?;
        header.content_hash = Hash(*blake3::hash(&raw.content).as_bytes());
        header.content_bytes = u64::try_from(raw.content.len()).ok()?;
        Some((self.signed(header.encode(), header.suite, raw.content)?, attachment))
    }

    /// A signed block with any operation behind the heads that the puppet knows, which nobody has judged.
    pub fn operation(&mut self, content: Vec<u8>, foreign: Vec<ForeignHead>) -> Option<RawBlock> {
        let (device, desk) = self.puppet.desk(self.world);
        let (author, place) = device.place(&desk, self.group).ok()?;
        let draft = Draft { kind: BlockKind::Operation, place, foreign, topics: vec![], content };
        let block = draft.sign(&author, &device.secret, desk.now, desk.rng).ok()?;
        Some(block.parsed().raw().clone())
    }

    /// A valid operation that every member may write.
    pub fn merge(&mut self) -> Option<RawBlock> {
        self.operation(Operation::Merge.encode(), Vec::new())
    }

    /// The first blocks of the group, as the puppet knows them.
    pub fn known(&self, most: u64) -> Vec<RawBlock> {
        let at = |position| chains::block_at(&self.puppet.view, self.group, position).ok().flatten();
        (0..most).map_while(at).map(|stored| stored.block.raw().clone()).collect()
    }

    /// The heads of the group, as the puppet knows them.
    pub fn heads(&self) -> Vec<BlockId> {
        chains::heads(&self.puppet.view, self.group).unwrap_or_default()
    }

    /// The public key of a node's device. It is no secret.
    pub fn key_of(&self, node: NodeId) -> Option<HybridKey> {
        let store = self.world.reading(node).ok()?;
        let device = keyring::device(&Pending::new(store)).ok().flatten()?;
        Some(device.secret.public().clone())
    }
}

/// A block as it goes over the wire.
pub(super) fn wire(block: RawBlock, attachment: Option<&Attachment>) -> WireBlock {
    WireBlock { block, attachment: attachment.map(|attachment| attachment.encode().into()), foreign: Vec::new() }
}

/// What a block's signature is over.
pub(super) fn transcript(suite: Suite, header: &[u8]) -> Transcript {
    Transcript::new("block", suite).field(&[FORMAT_VERSION]).field(&Header::id_of(header).0)
}
