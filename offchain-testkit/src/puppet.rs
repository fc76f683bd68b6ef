//! A node in the hands of a test: with the real secrets of its device it can say whatever a malicious member could.

use std::collections::BTreeMap;

use rand_chacha::ChaCha20Rng;
use serde_bytes::ByteBuf;
use walytis_core::{
    AuthorSecret, BlockKind, ChainError, ChainId, ForeignHead, Hash, Header, HybridKey, ParsedBlock, PeerId, Pending,
    RawBlock, StoredBlock, chains,
};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::session::{self, Directory, Initiator, Ready, Responder, Session};
use walytis_identities::{
    Admit, Binding, Desk, Entry, EpochContext, Fold, InvitationId, InvitationSecret, LeafSecret, LocalDevice,
    Operation, Refusal, SignedBinding, WriteError, give_wrap, join_transcript, keyring,
};
use walytis_offchain::{Attachment, FrameKind, JoinRequest, Message, OpenContent, PrivateBody, SealedPlace};

use crate::{NodeId, World};

/// How long a puppet waits for an answer, in virtual milliseconds.
const PATIENCE_MS: u64 = 2_000;

/// Version, suite, salt and nonce, with which sealed content begins.
const SEALED_HEAD_BYTES: usize = 2 + 32 + 24;

/// A puppet: it lives at a node of a [`World`] in its engine's place, and has the device and all of its secrets.
///
/// It keeps a view of its own over the node's store. What it writes there is never committed, so starting the node again
/// brings the honest one back as it was.
pub struct Puppet {
    node: NodeId,
    /// The node's device, with its secrets.
    pub device: LocalDevice,
    /// The node's store, and what the puppet wrote over it.
    pub view: Pending,
    /// The puppet's own fold.
    pub fold: Fold,
    /// The puppet's randomness.
    pub rng: ChaCha20Rng,
    /// By peer: the session, its number on its connection, and the connection.
    sessions: BTreeMap<PeerId, (Session, u8, u64)>,
    answered: BTreeMap<PeerId, Responder>,
    heard: Vec<(PeerId, Message)>,
    /// By chain: how many messages about it were sent here and opened.
    served: BTreeMap<ChainId, u64>,
    /// Salt and nonce of all sealed content that was sent here, each with the hash of what is sealed under them.
    sealed: BTreeMap<Vec<u8>, Hash>,
    /// How much sealed content had the salt and the nonce of other content.
    repeated: u64,
}

/// A puppet answers everybody: members by the keys of its view, and joiners by whatever invitation they name.
struct Anybody(Vec<(PeerId, HybridKey)>);

impl Directory for Anybody {
    fn device(&self, key: &Hash, peer: &PeerId) -> Option<HybridKey> {
        self.0.iter().find(|(known, device)| known == peer && device.id() == *key).map(|(_, device)| device.clone())
    }

    fn invites(&self, _: &ChainId, _: &InvitationId) -> bool {
        true
    }
}

impl std::fmt::Debug for Puppet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Puppet").field("node", &self.node).finish_non_exhaustive()
    }
}

impl Puppet {
    /// Takes over a node. Its engine stops; it stays reachable.
    ///
    /// # Errors
    /// The store's error; a store of the world has none.
    pub fn possess(world: &mut World, node: NodeId) -> Result<Self, WriteError> {
        world.possess(node);
        let store = world.reading(node).map_err(ChainError::from)?;
        let view = Pending::new(store);
        let device = keyring::device(&view)?.ok_or(WriteError::NoRight)?;
        let rng = world.puppet_rng(node);
        Ok(Self {
            node,
            device,
            view,
            fold: Fold::default(),
            rng,
            sessions: BTreeMap::new(),
            answered: BTreeMap::new(),
            heard: Vec::new(),
            served: BTreeMap::new(),
            sealed: BTreeMap::new(),
            repeated: 0,
        })
    }

    /// Where it lives.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// What it needs to write as its device does.
    pub fn desk(&mut self, world: &World) -> (&LocalDevice, Desk<'_>) {
        let now = world.wall_clock(self.node);
        (&self.device, Desk { view: &mut self.view, fold: &mut self.fold, now, rng: &mut self.rng })
    }

    /// The key under which its device writes on a chain.
    ///
    /// # Errors
    /// [`WriteError::Keyring`] if it has none there.
    pub fn author(&self, chain: ChainId) -> Result<AuthorSecret, WriteError> {
        Ok(keyring::author(&self.view, chain)?)
    }

    /// Connects to a node, or finds that it is connected, with no session. Returns whether it is.
    pub fn connect(&mut self, world: &mut World, to: NodeId) -> bool {
        self.forget_lost(world);
        if !world.connected(self.node, to) {
            world.link(self.node, to);
            world.run_for(1);
        }
        world.connected(self.node, to)
    }

    /// Forgets the sessions of connections that are gone.
    fn forget_lost(&mut self, world: &World) {
        let node = self.node;
        self.sessions.retain(|peer, (_, _, link)| {
            world.node_of(*peer).and_then(|other| world.link_between(node, other)) == Some(*link)
        });
    }

    /// Sends any bytes as a frame.
    pub fn send(&mut self, world: &mut World, to: NodeId, frame: Vec<u8>) {
        world.send_for(self.node, to, frame);
    }

    /// The raw frames that it was sent, unopened.
    pub fn raw_mail(&mut self, world: &mut World) -> Vec<(PeerId, Vec<u8>)> {
        world.take_mail(self.node)
    }

    /// Whether a session with a node is open.
    #[must_use]
    pub fn has_session(&mut self, world: &World, with: NodeId) -> bool {
        self.forget_lost(world);
        self.sessions.contains_key(&world.identity(with).peer)
    }

    /// Opens a session as a member, with the other's key as the puppet's view of `chain` has it.
    pub fn open_session(&mut self, world: &mut World, to: NodeId, chain: ChainId) -> bool {
        let peer = world.identity(to).peer;
        if !self.connect(world, to) {
            return false;
        }
        // If the other end began one already, that is as good.
        let mut heard = self.listen(world, 20);
        self.heard.append(&mut heard);
        if self.sessions.contains_key(&peer) {
            return true;
        }
        self.reopen_session(world, to, chain)
    }

    /// Opens a session as a member, up to the third flight.
    pub fn begin_session(&mut self, world: &mut World, to: NodeId, chain: ChainId) -> Option<Ready> {
        let peer = world.identity(to).peer;
        let membership = self.fold.current(&self.view, chain).ok()?;
        let key = membership.device_of_peer(&peer).map(|(_, device)| device.key.clone())?;
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let begun = Initiator::member(me, peer, key, Vec::new(), &mut self.rng).ok()?;
        self.second_flight(world, to, begun)
    }

    /// Opens a session as a member, in place of the one that may be open.
    pub fn reopen_session(&mut self, world: &mut World, to: NodeId, chain: ChainId) -> bool {
        let peer = world.identity(to).peer;
        let Some(ready) = self.begin_session(world, to, chain) else {
            // Theirs may have crossed ours, and stays if their PeerId is the lower one.
            return self.sessions.contains_key(&peer);
        };
        self.finish(world, to, ready, &Message::Hello { addresses: Vec::new() })
    }

    /// Opens a session as a joiner, up to the point where it could ask.
    pub fn begin_join(
        &mut self,
        world: &mut World,
        to: NodeId,
        group: ChainId,
        invitation: &InvitationSecret,
    ) -> Option<Ready> {
        if !self.connect(world, to) {
            return None;
        }
        let peer = world.identity(to).peer;
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let begun = Initiator::join(me, peer, group, invitation, &mut self.rng).ok()?;
        self.second_flight(world, to, begun)
    }

    /// Sends a first flight and waits for the second.
    fn second_flight(&mut self, world: &mut World, to: NodeId, begun: (Initiator, Vec<u8>)) -> Option<Ready> {
        let peer = world.identity(to).peer;
        let (initiator, flight) = begun;
        let before = self.session_hash(&peer);
        let mut frame = vec![FrameKind::Flight1 as u8];
        frame.extend_from_slice(&flight);
        self.send(world, to, frame);
        let mut flights = Vec::new();
        for _ in 0..PATIENCE_MS {
            world.run_for(1);
            for (from, frame) in world.take_mail(self.node) {
                match frame.split_first() {
                    Some((kind, rest)) if from == peer && *kind == FrameKind::Flight2 as u8 => {
                        flights.push(rest.to_vec())
                    }
                    _ => self.take_frame(world, from, &frame),
                }
            }
            if let Some(second) = flights.pop() {
                return initiator.receive(peer, &second).ok();
            }
            // Either the other end would have none of it, or a session that it began itself stays.
            if !world.connected(self.node, to) || self.session_hash(&peer) != before {
                return None;
            }
        }
        None
    }

    /// Ends a handshake with the third flight and a first message of any kind.
    pub fn finish(&mut self, world: &mut World, to: NodeId, ready: Ready, first: &Message) -> bool {
        let peer = world.identity(to).peer;
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let Ok((flight, session)) = ready.finish(me, &first.encode(), &mut self.rng) else { return false };
        let mut frame = vec![FrameKind::Flight3 as u8];
        frame.extend_from_slice(&flight);
        self.send(world, to, frame);
        self.opened(world, peer, session);
        true
    }

    fn opened(&mut self, world: &World, peer: PeerId, session: Session) {
        self.forget_lost(world);
        let link = world.node_of(peer).and_then(|other| world.link_between(self.node, other));
        let Some(link) = link else { return };
        let number = self.sessions.get(&peer).map_or(0, |(_, number, _)| number.wrapping_add(1));
        self.sessions.insert(peer, (session, number, link));
    }

    /// Says something in an open session. Returns whether there is one.
    pub fn tell(&mut self, world: &mut World, to: NodeId, message: &Message) -> bool {
        self.tell_bytes(world, to, &message.encode())
    }

    /// Says any bytes in an open session.
    pub fn tell_bytes(&mut self, world: &mut World, to: NodeId, bytes: &[u8]) -> bool {
        let Some(frame) = self.sealed(world, to, bytes) else { return false };
        self.send(world, to, frame);
        true
    }

    /// The frame in which these bytes would go next in an open session. It is not sent.
    pub fn sealed(&mut self, world: &World, to: NodeId, bytes: &[u8]) -> Option<Vec<u8>> {
        self.forget_lost(world);
        let (session, number, _) = self.sessions.get_mut(&world.identity(to).peer)?;
        let sealed = session.seal(bytes).ok()?;
        let mut frame = vec![FrameKind::Data as u8, *number];
        frame.extend_from_slice(&sealed);
        Some(frame)
    }

    /// The frame of a first flight to a member whose device has this key. It is not sent.
    pub fn first_flight(&mut self, to: PeerId, key: HybridKey) -> Option<Vec<u8>> {
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let (_, flight) = Initiator::member(me, to, key, Vec::new(), &mut self.rng).ok()?;
        Some([&[FrameKind::Flight1 as u8][..], &flight].concat())
    }

    /// How many messages about the blocks of a chain it was sent in sessions so far.
    #[must_use]
    pub fn served(&self, chain: ChainId) -> u64 {
        self.served.get(&chain).copied().unwrap_or_default()
    }

    /// Lets time pass and takes in what arrives: answers handshakes, and gives what was said since the last call.
    pub fn listen(&mut self, world: &mut World, ms: u64) -> Vec<(PeerId, Message)> {
        let end = world.now_us().saturating_add(ms.saturating_mul(1_000));
        loop {
            for (from, frame) in world.take_mail(self.node) {
                self.take_frame(world, from, &frame);
            }
            let left = end.saturating_sub(world.now_us()) / 1_000;
            if left == 0 {
                return std::mem::take(&mut self.heard);
            }
            let node = self.node;
            world.run_until(left, |world| world.has_mail(node));
        }
    }

    fn take_frame(&mut self, world: &mut World, from: PeerId, frame: &[u8]) {
        let Some((kind, rest)) = frame.split_first() else { return };
        match FrameKind::from_byte(*kind) {
            Some(FrameKind::Flight1) => self.answer(world, from, rest),
            Some(FrameKind::Flight3) => {
                let Some(responder) = self.answered.remove(&from) else { return };
                let Ok((session, first)) = responder.receive(from, rest) else { return };
                self.opened(world, from, session);
                self.hear(from, &first);
            }
            Some(FrameKind::Data) => {
                let Some((session, number, _)) = self.sessions.get_mut(&from) else { return };
                let Some((named, sealed)) = rest.split_first() else { return };
                if named != number {
                    return;
                }
                let Ok(bytes) = session.open(sealed) else { return };
                self.hear(from, &bytes);
            }
            _ => {}
        }
    }

    /// How much content it was sent in sealed form, and how much of that under salt and nonce of other content.
    #[must_use]
    pub fn sealed_here(&self) -> (usize, u64) {
        (self.sealed.len(), self.repeated)
    }

    /// Notes salt and nonce of sealed content. They stand behind two numbers.
    fn note_sealed(&mut self, attachment: &[u8]) {
        let Ok(Attachment::Sealed(sealed)) = Attachment::decode(attachment) else { return };
        let Some(head) = sealed.get(2..SEALED_HEAD_BYTES) else { return };
        let hash = Hash(*blake3::hash(&sealed).as_bytes());
        if self.sealed.insert(head.to_vec(), hash).is_some_and(|before| before != hash) {
            self.repeated = self.repeated.saturating_add(1);
        }
    }

    fn hear(&mut self, from: PeerId, bytes: &[u8]) {
        let Ok(message) = Message::decode(bytes) else { return };
        if let Message::Sync(sync) = &message {
            if let SyncMessage::Push { block: WireBlock { attachment: Some(attachment), .. }, .. } = sync {
                self.note_sealed(attachment);
            }
            let served = self.served.entry(sync.chain()).or_default();
            *served = served.saturating_add(1);
        }
        self.heard.push((from, message));
    }

    fn answer(&mut self, world: &mut World, from: PeerId, flight: &[u8]) {
        let Some(to) = world.node_of(from) else { return };
        let mut devices = Vec::new();
        for chain in chains::all_chains(&self.view).unwrap_or_default() {
            let Ok(membership) = self.fold.current(&self.view, chain) else { continue };
            devices.extend(membership.devices.values().map(|device| (device.peer, device.key.clone())));
        }
        let me = session::LocalDevice { secret: &self.device.secret, peer: self.device.peer() };
        let Ok((responder, second)) = Responder::answer(me, from, flight, &Anybody(devices), &mut self.rng) else {
            return;
        };
        self.answered.insert(from, responder);
        let mut frame = vec![FrameKind::Flight2 as u8];
        frame.extend_from_slice(&second);
        self.send(world, to, frame);
    }

    /// The hash of the session with a peer: what a joiner's proof must name.
    #[must_use]
    pub fn session_hash(&self, peer: &PeerId) -> Option<Hash> {
        self.sessions.get(peer).map(|(session, _, _)| *session.hash())
    }

    /// Writes a private block as an honest engine does. Returns it and the attachment that belongs to it.
    ///
    /// # Errors
    /// [`WriteError`] if the device may not write there.
    pub fn private(
        &mut self,
        world: &World,
        group: ChainId,
        content: &[u8],
    ) -> Result<(StoredBlock, Attachment), WriteError> {
        let membership = self.fold.current(&self.view, group)?;
        let open = OpenContent::new(Vec::new(), content.to_vec(), &mut self.rng).map_err(|_| WriteError::NoRight)?;
        let mut opened = None;
        for (id, epoch) in &membership.epochs {
            if let Some(seed) = keyring::epoch(&self.view, *id)? {
                opened = Some((*id, seed.epoch_key(&EpochContext::new(group, &epoch.view))));
            }
        }
        let (epoch, key) = opened.ok_or(WriteError::NoRight)?;
        let body = PrivateBody::new(epoch, &open);
        let entry = Entry { kind: BlockKind::Private, content: body.encode(), foreign: Vec::new() };
        let (device, mut desk) = self.desk(world);
        let stored = device.append(&mut desk, group, entry)?;
        let place = SealedPlace { chain: group, block: stored.block.id(), epoch };
        let sealed = open.seal(&key, &place, &mut self.rng);
        Ok((stored, Attachment::Sealed(ByteBuf::from(sealed))))
    }

    /// The request with which this device would ask for admission in a session.
    ///
    /// # Errors
    /// [`WriteError`] if the store fails.
    pub fn join_request(
        &mut self,
        group: ChainId,
        invitation: &InvitationSecret,
        session: &Hash,
    ) -> Result<JoinRequest, WriteError> {
        let (author, leaf) = (AuthorSecret::generate(&mut self.rng), LeafSecret::generate(&mut self.rng));
        let path = vec![self.device.user, self.device.identity];
        let joiner = self.device.bind(path, &group.0, &author, Some(&leaf), &mut self.rng);
        keyring::put_author(&mut self.view, group, &author);
        keyring::put_leaf(&mut self.view, group, &leaf);
        let proof = Self::proof(group, &joiner, invitation, session, &mut self.rng);
        let mut identities = self.raw_chain(self.device.identity)?;
        identities.extend(self.raw_chain(self.device.user)?);
        Ok(JoinRequest { joiner, invitation: invitation.key().public().clone(), proof, identities })
    }

    /// Signs any binding with the keys that this device really has: its own, the one under which it writes on `chain`,
    /// and its transport key.
    ///
    /// # Errors
    /// [`WriteError::Keyring`] if it has no key on the chain.
    pub fn sign_binding(
        &mut self,
        binding: Binding,
        chain: ChainId,
        place: &[u8; 32],
    ) -> Result<SignedBinding, WriteError> {
        let author = self.author(chain)?;
        let transport = AuthorSecret::from_seed(&self.device.transport);
        Ok(binding.sign(place, &self.device.secret, &author, &transport, &mut self.rng))
    }

    /// The proof that an invitation's secret gives for a joiner in a session.
    pub fn proof(
        group: ChainId,
        joiner: &SignedBinding,
        invitation: &InvitationSecret,
        session: &Hash,
        rng: &mut ChaCha20Rng,
    ) -> walytis_core::HybridSignature {
        let binding = &joiner.binding;
        let member = binding.path.first().copied().unwrap_or(ChainId::ZERO);
        let transcript = join_transcript(&group, &member, &binding.device, &binding.hash(), session);
        invitation.key().sign(&transcript, rng)
    }

    /// Takes in what others wrote, if it may enter the set: the puppet deceives others, not itself.
    ///
    /// # Errors
    /// [`Refusal`] if it may not.
    pub fn take_in(&mut self, blocks: &[RawBlock]) -> Result<(), Refusal> {
        for raw in blocks {
            let block = ParsedBlock::parse(raw.clone())?;
            if !chains::contains(&self.view, block.id())? {
                let judged = self.fold.judge(&self.view, block)?;
                chains::insert(&mut self.view, &judged.block)?;
            }
        }
        Ok(())
    }

    /// The operation by which a manager admits who sent a request in a session, with the heads that it names.
    ///
    /// # Errors
    /// [`WriteError`] if the joiner's identities do not hold.
    pub fn admission(&mut self, request: &JoinRequest, session: Hash) -> Result<(Admit, Vec<ForeignHead>), WriteError> {
        self.take_in(&request.identities)?;
        let member = request.joiner.binding.path.first().copied().unwrap_or(ChainId::ZERO);
        let heads = chains::heads(&self.view, member)?;
        let foreign = heads.into_iter().map(|block| ForeignHead { chain: member, block }).collect();
        let admit = Admit {
            joiner: request.joiner.clone(),
            invitation: request.invitation.clone(),
            session,
            proof: request.proof.clone(),
        };
        Ok((admit, foreign))
    }

    /// Writes an operation as an honest engine does, judged by the puppet's own view.
    ///
    /// # Errors
    /// [`WriteError`] if it would not be accepted.
    pub fn operation(
        &mut self,
        world: &World,
        chain: ChainId,
        operation: &Operation,
        foreign: Vec<ForeignHead>,
    ) -> Result<StoredBlock, WriteError> {
        let entry = Entry { kind: BlockKind::Operation, content: operation.encode(), foreign };
        let (device, mut desk) = self.desk(world);
        device.append(&mut desk, chain, entry)
    }

    /// Every block of a chain in the order of arrival, as it would be sent: with the blocks of other chains that
    /// operations name. Private content and wraps are left out.
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn wire_chain(&self, chain: ChainId) -> Result<Vec<WireBlock>, ChainError> {
        let mut blocks = Vec::new();
        for position in 0..chains::length(&self.view, chain)? {
            let Some(stored) = chains::block_at(&self.view, chain, position)? else { break };
            blocks.push(self.wire(&stored)?);
        }
        Ok(blocks)
    }

    /// A block as it would be sent. See [`Puppet::wire_chain`].
    ///
    /// # Errors
    /// [`ChainError`] if the store fails.
    pub fn wire(&self, stored: &StoredBlock) -> Result<WireBlock, ChainError> {
        let foreign = chains::foreign_ancestors(&self.view, &stored.block.header().foreign)?.unwrap_or_default();
        Ok(WireBlock { block: stored.block.raw().clone(), attachment: None, foreign })
    }

    /// The attachment of a block for the device of a peer: its wrap, if the block is an epoch that names it.
    ///
    /// # Errors
    /// [`WriteError`] if the store fails.
    pub fn wrap_for(&mut self, block: &RawBlock, to: PeerId) -> Result<Option<ByteBuf>, WriteError> {
        let Ok(header) = Header::decode(&block.header) else { return Ok(None) };
        let Ok(Operation::BeginEpoch(begin)) = Operation::decode(&block.content) else { return Ok(None) };
        let group = header.chain;
        let membership = self.fold.current(&self.view, group)?;
        let Some((author, device)) = membership.device_of_peer(&to) else { return Ok(None) };
        let epoch = (Header::id_of(&block.header), &begin);
        let given = give_wrap(&self.view, &mut self.fold, &mut self.rng, group, epoch, (author, device))?;
        Ok(given.map(|given| Attachment::Wrap(ByteBuf::from(given.encode())).encode().into()))
    }

    fn raw_chain(&self, chain: ChainId) -> Result<Vec<RawBlock>, ChainError> {
        let mut blocks = Vec::new();
        for position in 0..chains::length(&self.view, chain)? {
            let Some(stored) = chains::block_at(&self.view, chain, position)? else { break };
            blocks.push(stored.block.raw().clone());
        }
        Ok(blocks)
    }

    /// Pushes a block to a node in an open session.
    pub fn push(&mut self, world: &mut World, to: NodeId, chain: ChainId, block: WireBlock) -> bool {
        self.tell(world, to, &Message::Sync(SyncMessage::Push { chain, block }))
    }
}
