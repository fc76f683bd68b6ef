//! Each planted bug is alive: a small scenario comes out as it should without it, and otherwise with it. Built with
//! `RUSTFLAGS="--cfg planted"` and a target folder of its own; else this file is empty.

#![cfg(planted)]
#![expect(clippy::expect_used, clippy::panic, reason = "a helper that cannot go on fails its test")]

#[path = "../common/mod.rs"]
mod common;
mod public;

use std::sync::Arc;

use common::*;
use offchain_testkit::{NodeId, Puppet, World, WorldConfig};
use serde_bytes::ByteBuf;
use walytis_core::planted::{Fault, activate};
use walytis_core::{
    AuthorSecret, BlockId, BlockKind, ChainId, Draft, Hash, Header, Pending, Place, RawBlock, Store, StoreError,
    StoredBlock, Suite, chains,
};
use walytis_engine::public::{ChainCode, ChainCommand, ChainInviter, PublicMessage};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_identities::{Entry as Writing, History, OpenInvitation, Operation, Role};
use walytis_offchain::{Answer, Attachment, Command, Delivery, Message, OpenContent};

const GROUP: &str = "friends";
const SOON_MS: u64 = 200;
const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60_000;

/// Whether the world behaves as it should, in a scenario in which it would not with this fault.
fn holds(fault: Fault) -> bool {
    match fault {
        Fault::SkipSignature => !takes(|enemy| {
            let mut raw = enemy.private(b"forged").0;
            raw.signature[5] ^= 1;
            wire(raw, None)
        }),
        Fault::SkipHybridHalf => !takes(|enemy| {
            let mut raw = enemy.operation(&Operation::Merge);
            raw.signature[64 + 5] ^= 1;
            wire(raw, None)
        }),
        Fault::TrustLength => !takes(|enemy| enemy.changed(|header| header.content_bytes += 1)),
        Fault::SkipContentHash => !takes(|enemy| {
            let (raw, other) = (enemy.private(b"one").0, enemy.private(b"two").0);
            wire(RawBlock { content: other.content, ..raw }, None)
        }),
        Fault::AcceptOverlong => !takes(|enemy| {
            let raw = enemy.private(b"long").0;
            // The content's length is the last number, before its hash.
            let mut header = raw.header.clone();
            let at = header.len() - 33;
            header[at] |= 0x80;
            header.insert(at + 1, 0);
            enemy.signed(header, raw.content)
        }),
        Fault::MistakeKind => {
            let mut world = calm(9);
            let [member, stranger] = nodes(&mut world);
            group_of(&mut world, GROUP, member, &[]);
            let chain = group_id(&mut world, member, GROUP);
            let mut stranger = Puppet::possess(&mut world, stranger).expect("a store");
            let peer = world.identity(stranger.node()).peer;
            let inviters = vec![ChainInviter { peer, addresses: vec![world.address(stranger.node())] }];
            let code = ChainCode { chain, secret: [7; 16].into(), shareable: false, inviters }.to_text();
            world.ask(member, Command::Chain(ChainCommand::Join { code, name: None }));
            world.run_for(SOON_MS);
            stranger.connect(&mut world, member);
            for message in
                [PublicMessage::Joined { chain }, PublicMessage::Sync(SyncMessage::Pull { chain, have: Vec::new() })]
            {
                stranger.send(&mut world, member, message.frame());
            }
            world.run_for(SECOND_MS);
            world.leaks().is_empty()
        }
        Fault::SkipSequence => !takes(|enemy| enemy.changed(|header| header.sequence += 1)),
        Fault::SkipAuthor => !takes(|enemy| {
            let stranger = AuthorSecret::from_seed(&[7; 32]);
            let raw = enemy.private(b"by a stranger").0;
            let parents = chains::heads(&enemy.puppet.view, enemy.group).expect("a store");
            let place = Place::After { chain: enemy.group, parents, previous: None };
            let draft =
                Draft { kind: BlockKind::Private, place, foreign: vec![], topics: vec![], content: raw.content };
            let now = enemy.world.wall_clock(enemy.puppet.node());
            let Puppet { device, rng, .. } = &mut enemy.puppet;
            let block = draft.sign(&stranger, &device.secret, now, rng).expect("a well-formed block");
            wire(block.raw().clone(), None)
        }),
        Fault::SkipRole => !takes(|enemy| {
            let open = OpenInvitation { invitation: Hash([9; 32]), role: Role::Write, uses: 1, expires_at_ms: None };
            wire(enemy.operation(&Operation::OpenInvitation(open)), None)
        }),
        Fault::TakeUnnamed => !takes(|enemy| {
            let genesis = chains::block_at(&enemy.puppet.view, enemy.puppet.device.identity, 0);
            let foreign = genesis.expect("a store").expect("its own chain").block.raw().clone();
            WireBlock { foreign: vec![foreign], ..wire(enemy.private(b"with company").0, None) }
        }),
        Fault::SkipCommitment => !takes(|enemy| {
            let raw = enemy.private(b"one").0;
            let other = OpenContent::new(vec![], b"two".to_vec(), &mut enemy.puppet.rng).expect("small content");
            wire(raw, Some(&Attachment::Open(ByteBuf::from(other.encode()))))
        }),
        Fault::SealWithoutBlock => !takes(|enemy| {
            let (first, attachment) = enemy.kept(b"moved");
            enemy.push(wire(first.block.raw().clone(), None));
            let content = first.block.content().to_vec();
            let entry = Writing { kind: BlockKind::Private, content, foreign: vec![] };
            let (device, mut desk) = enemy.puppet.desk(&enemy.world);
            let second = device.append(&mut desk, enemy.group, entry).expect("a member may write");
            wire(second.block.raw().clone(), Some(&attachment))
        }),
        Fault::TakeOrphan => {
            let mut enemy = Enemy::new();
            let orphan = enemy.orphan();
            enemy.push(orphan.clone());
            !enemy.has(&orphan)
        }
        Fault::DropOrphan => {
            let mut enemy = Enemy::new();
            let orphan = enemy.orphan();
            enemy.push(orphan);
            enemy.heard(|message| matches!(message, SyncMessage::Pull { .. }))
        }
        Fault::IgnoreHeads => {
            let (world, [a, b]) = pair();
            let mut enemy = Enemy::over(world, a, b);
            enemy.tell(SyncMessage::Heads { chain: enemy.group, heads: vec![BlockId([0xEE; 32])] });
            enemy.heard(|message| matches!(message, SyncMessage::Pull { .. }))
        }
        Fault::SilentReconnect => {
            let mut enemy = Enemy::new();
            enemy.world.cut(enemy.victim, enemy.puppet.node());
            enemy.world.mend(enemy.victim, enemy.puppet.node());
            enemy.world.run_for(SOON_MS);
            enemy.puppet.listen(&mut enemy.world, SOON_MS);
            enemy.puppet.open_session(&mut enemy.world, enemy.victim, enemy.group);
            enemy.heard(|message| matches!(message, SyncMessage::Heads { .. }))
        }
        Fault::KeepRolledBack => {
            let mut enemy = Enemy::new();
            let block = WireBlock { attachment: Some(ByteBuf::from(vec![0xFF])), ..wire(enemy.private(b"x").0, None) };
            let id = Header::id_of(&block.block.header);
            enemy.push(block);
            !details(&mut enemy.world, enemy.victim, GROUP).heads.contains(&id)
        }
        Fault::JudgeByView => takes(|enemy| {
            invite(&mut enemy.world, enemy.victim, GROUP, 1);
            let (device, mut desk) = enemy.puppet.desk(&enemy.world);
            let epoch = device.begin_epoch(&mut desk, enemy.group).expect("a member may write");
            let stored = chains::block(&enemy.puppet.view, epoch).expect("a store").expect("it is there");
            enemy.puppet.wire(&stored).expect("a store")
        }),
        Fault::ReuseNonce => {
            let mut enemy = Enemy::new();
            enemy.puppet.listen(&mut enemy.world, SOON_MS);
            let mut heads: Vec<Vec<u8>> = Vec::new();
            for text in [b"one", b"two"] {
                post(&mut enemy.world, enemy.victim, GROUP, text);
                for (_, message) in enemy.puppet.listen(&mut enemy.world, SOON_MS) {
                    let Message::Sync(SyncMessage::Push { block, .. }) = message else { continue };
                    let Some(Ok(Attachment::Sealed(sealed))) = block.attachment.map(|bytes| Attachment::decode(&bytes))
                    else {
                        continue;
                    };
                    heads.push(sealed[2..58].to_vec());
                }
            }
            assert_eq!(heads.len(), 2, "it gets what is posted");
            heads[0] != heads[1]
        }
        Fault::DeliverTwice => {
            let mut enemy = Enemy::new();
            let subscription = subscribe(&mut enemy.world, enemy.victim, GROUP);
            let block = wire(enemy.private(b"once").0, None);
            enemy.push(block.clone());
            enemy.push(block);
            delivered(&enemy.world, enemy.victim, subscription).len() == 1
        }
        Fault::ForgetContentDelivery => {
            let mut enemy = Enemy::new();
            let subscription = subscribe(&mut enemy.world, enemy.victim, GROUP);
            let (stored, attachment) = enemy.kept(b"later");
            let id = stored.block.id();
            enemy.push(wire(stored.block.raw().clone(), None));
            let attachment = ByteBuf::from(attachment.encode());
            enemy.tell(SyncMessage::Attachment { chain: enemy.group, id, attachment });
            let deliveries = delivered(&enemy.world, enemy.victim, subscription);
            assert!(list(&mut enemy.world, enemy.victim, GROUP).iter().all(|entry| entry.content.is_some()));
            matches!(deliveries[..], [Delivery::Block(_), Delivery::Content(_)])
        }
        Fault::ForgetMissing => {
            let mut enemy = Enemy::new();
            let block = wire(enemy.private(b"without content").0, None);
            enemy.push(block);
            let missing = |enemy: &mut Enemy| details(&mut enemy.world, enemy.victim, GROUP).summary.missing;
            assert_eq!(missing(&mut enemy), 1);
            enemy.world.kill(enemy.victim);
            enemy.world.start(enemy.victim).expect("its store is sound");
            missing(&mut enemy) == 1
        }
        Fault::ServeStranger => {
            let mut world = calm(1);
            let [a, b, m] = nodes(&mut world);
            group_of(&mut world, GROUP, a, &[m]);
            group_of(&mut world, "own", a, &[b]);
            post(&mut world, a, "own", b"a secret");
            let (shared, own) = (group_id(&mut world, a, GROUP), group_id(&mut world, a, "own"));
            let mut puppet = Puppet::possess(&mut world, m).expect("a store");
            assert!(puppet.open_session(&mut world, a, shared));
            puppet.tell(&mut world, a, &Message::Sync(SyncMessage::Pull { chain: own, have: vec![] }));
            let heard = puppet.listen(&mut world, SECOND_MS);
            !heard.iter().any(|(_, message)| matches!(message, Message::Sync(sync) if sync.chain() == own))
        }
        Fault::ServeHistory => {
            let [old, _] = read_by_newcomer(1);
            !old
        }
        // The older epoch is taken if its id is the lower one.
        Fault::ForgetRotation => (0..4).all(|seed| read_by_newcomer(seed)[1]),
        Fault::ClockDecides => {
            let (mut world, [a, b]) = pair();
            world.skew(b, 10 * 60_000);
            let id = post(&mut world, b, GROUP, b"from the future");
            world.run_for(SECOND_MS);
            ids(&list(&mut world, a, GROUP)).contains(&id)
        }
        Fault::ForgetHead => {
            let (mut world, [a, b]) = fork([1, 1]);
            details(&mut world, a, GROUP).heads == details(&mut world, b, GROUP).heads
        }
        Fault::LastParentsGeneration => {
            let (mut world, [a, _]) = fork([3, 1]);
            let merge = post(&mut world, a, GROUP, b"on top of both");
            list(&mut world, a, GROUP).last().is_some_and(|entry| entry.id == merge)
        }
        Fault::OrderByArrival => {
            let (mut world, [a, b]) = fork([1, 1]);
            ids(&list(&mut world, a, GROUP)) == ids(&list(&mut world, b, GROUP))
        }
        Fault::DeliverChildFirst => {
            let (mut world, [a, b]) = pair();
            let subscription = subscribe(&mut world, b, GROUP);
            world.cut(a, b);
            let posted: Vec<BlockId> = (0..3_u8).map(|number| post(&mut world, a, GROUP, &[number])).collect();
            meet(&mut world, a, b);
            let deliveries = delivered(&world, b, subscription);
            let blocks = deliveries.iter().filter_map(|delivery| match delivery {
                Delivery::Block(entry) => Some(entry.id),
                _ => None,
            });
            blocks.eq(posted)
        }
        Fault::RepeatLast => {
            let (mut world, [a, _]) = pair();
            for number in 0..3_u8 {
                post(&mut world, a, GROUP, &[number]);
            }
            let last = list(&mut world, a, GROUP).pop().expect("three entries");
            let command = Command::Since { group: GROUP.into(), from: last.position, limit: 7 };
            let Answer::Page(page) = ok(world.call(a, command, LONG_MS)) else { panic!("not a page") };
            ids(&page.entries) == [last.id]
        }
        Fault::AcknowledgeEarly => {
            let (mut world, [a, _]) = pair();
            world.fail_commit(a, 0, full());
            let answer = world.call(a, posting(), LONG_MS).expect("everybody gets an answer");
            answer.is_err()
        }
        Fault::TellEarly => {
            // A commit takes longer than the way of a frame.
            let (mut world, [a, b]) = pair_in(WorldConfig { commit_us: 20_000, ..WorldConfig::calm(1) });
            world.fail_commit(a, 0, full());
            assert!(world.call(a, posting(), LONG_MS).expect("everybody gets an answer").is_err());
            world.run_for(SECOND_MS);
            list(&mut world, b, GROUP).is_empty()
        }
        Fault::SplitBatch => {
            let (mut world, [a, _]) = pair();
            world.fail_commit(a, 1, full());
            world.call(a, posting(), LONG_MS);
            world.kill(a);
            world.start(a).expect("its store can be opened");
            list(&mut world, a, GROUP).iter().all(|entry| entry.content.is_some())
        }
        Fault::ForgetAddresses => {
            let (mut world, [a, b]) = pair();
            for node in [a, b] {
                world.kill(node);
            }
            for node in [a, b] {
                world.start(node).expect("its store is sound");
            }
            world.run_until(MINUTE_MS, |world| world.connected(a, b))
        }
        Fault::ForgetStalled => {
            let mut world = calm(7);
            let [b, c, m] = nodes(&mut world);
            group_of(&mut world, GROUP, b, &[c, m]);
            post(&mut world, b, GROUP, b"first");
            converge(&mut world, GROUP, &[b, c, m]);
            let mut enemy = Enemy::over(world, b, m);
            enemy.tell(SyncMessage::Heads { chain: enemy.group, heads: vec![BlockId([0xEE; 32])] });
            // While the enemy is being asked, the other one comes back with news.
            enemy.world.cut(b, c);
            let news = post(&mut enemy.world, c, GROUP, b"news");
            meet(&mut enemy.world, c, b);
            let known = |enemy: &mut Enemy| details(&mut enemy.world, b, GROUP).heads.contains(&news);
            assert!(!known(&mut enemy), "it waits for the enemy");
            let mut garbage = enemy.puppet.wire_chain(enemy.group).expect("a store").remove(0);
            garbage.block.header.push(0);
            enemy.tell(SyncMessage::Portion { chain: enemy.group, blocks: vec![garbage], left: 0 });
            known(&mut enemy)
        }
        fault => public::holds(fault).unwrap_or_else(|| panic!("{} has no scenario", fault.name())),
    }
}

/// A member in the hands of an enemy, with a session to another.
struct Enemy {
    world: World,
    victim: NodeId,
    other: NodeId,
    puppet: Puppet,
    group: ChainId,
}

impl Enemy {
    fn new() -> Self {
        let mut world = calm(1);
        let [a, b, m] = nodes(&mut world);
        group_of(&mut world, GROUP, a, &[b, m]);
        post(&mut world, m, GROUP, b"first");
        converge(&mut world, GROUP, &[a, b, m]);
        Self { other: b, ..Self::over(world, a, m) }
    }

    fn over(mut world: World, victim: NodeId, enemy: NodeId) -> Self {
        let group = group_id(&mut world, victim, GROUP);
        let mut puppet = Puppet::possess(&mut world, enemy).expect("a store");
        assert!(puppet.open_session(&mut world, victim, group), "a member is spoken to");
        puppet.listen(&mut world, SOON_MS);
        Self { world, victim, other: victim, puppet, group }
    }

    /// A private block that it keeps, too.
    fn kept(&mut self, text: &[u8]) -> (StoredBlock, Attachment) {
        self.puppet.private(&self.world, self.group, text).expect("a member may write")
    }

    /// A private block that it does not keep, so that the next one has the same place.
    fn private(&mut self, text: &[u8]) -> (RawBlock, Attachment) {
        let before = self.puppet.view.savepoint();
        let (stored, attachment) = self.kept(text);
        self.puppet.view.rollback(before);
        self.puppet.fold.forget();
        (stored.block.raw().clone(), attachment)
    }

    fn operation(&mut self, operation: &Operation) -> RawBlock {
        unjudged(&mut self.puppet, &self.world, self.group, operation, vec![])
    }

    /// An honest private block but for its header, signed anew.
    fn changed(&mut self, change: impl FnOnce(&mut Header)) -> WireBlock {
        let raw = self.private(b"changed").0;
        let mut header = Header::decode(&raw.header).expect("an honest header");
        change(&mut header);
        self.signed(header.encode(), raw.content)
    }

    fn signed(&self, header: Vec<u8>, content: Vec<u8>) -> WireBlock {
        let author = self.puppet.author(self.group).expect("a member");
        let signature = author.sign(&transcript(Suite::Ed25519, &header)).to_vec();
        wire(RawBlock { header, signature, content }, None)
    }

    /// A block whose parent, another member's, the victim has not seen.
    fn orphan(&mut self) -> WireBlock {
        self.world.cut(self.victim, self.other);
        self.world.run_for(SOON_MS);
        let parent = post(&mut self.world, self.other, GROUP, b"unseen");
        let stored = block(&self.world, self.other, parent).expect("it was posted");
        self.puppet.take_in(&[stored.block.raw().clone()]).expect("it is honest");
        wire(self.private(b"behind it").0, None)
    }

    fn tell(&mut self, message: SyncMessage) {
        assert!(self.puppet.tell(&mut self.world, self.victim, &Message::Sync(message)), "a session is open");
        self.world.run_for(SOON_MS);
    }

    fn push(&mut self, block: WireBlock) {
        self.tell(SyncMessage::Push { chain: self.group, block });
    }

    fn has(&self, wire: &WireBlock) -> bool {
        block(&self.world, self.victim, Header::id_of(&wire.block.header)).is_some()
    }

    /// Whether the victim said such a thing.
    fn heard(&mut self, such: impl Fn(&SyncMessage) -> bool) -> bool {
        let heard = self.puppet.listen(&mut self.world, SOON_MS);
        heard.iter().any(|(_, message)| matches!(message, Message::Sync(sync) if such(sync)))
    }
}

/// Whether a member takes in what an enemy pushes.
fn takes(forge: impl FnOnce(&mut Enemy) -> WireBlock) -> bool {
    let mut enemy = Enemy::new();
    let block = forge(&mut enemy);
    enemy.push(block.clone());
    enemy.has(&block)
}

/// What a node's store holds of a block.
fn block(world: &World, node: NodeId, id: BlockId) -> Option<StoredBlock> {
    let store: Arc<dyn Store> = world.store(node);
    chains::block(&Pending::new(store), id).expect("a sound store")
}

/// Two members of a group.
fn pair() -> (World, [NodeId; 2]) {
    pair_in(WorldConfig::calm(1))
}

fn pair_in(config: WorldConfig) -> (World, [NodeId; 2]) {
    let mut world = World::new(config);
    let all: [NodeId; 2] = nodes(&mut world);
    group_of(&mut world, GROUP, all[0], &all[1..]);
    converge(&mut world, GROUP, &all);
    (world, all)
}

/// Two members who each wrote so many blocks alone, and have met again.
fn fork(blocks: [u8; 2]) -> (World, [NodeId; 2]) {
    let (mut world, all) = pair();
    world.cut(all[0], all[1]);
    for (node, count) in all.into_iter().zip(blocks) {
        for number in 0..count {
            post(&mut world, node, GROUP, &[number]);
        }
    }
    meet(&mut world, all[0], all[1]);
    (world, all)
}

fn meet(world: &mut World, a: NodeId, b: NodeId) {
    world.mend(a, b);
    world.link(a, b);
    world.run_for(2 * SECOND_MS);
}

/// Whether a newcomer to a group whose history begins with joining reads what was written before and after.
fn read_by_newcomer(seed: u64) -> [bool; 2] {
    let mut world = calm(seed);
    let [a, b] = nodes(&mut world);
    ok(world.call(a, Command::NewGroup { name: GROUP.into(), history: History::SinceJoin }, LONG_MS));
    let before = post(&mut world, a, GROUP, b"before");
    let code = invite(&mut world, a, GROUP, 1);
    join(&mut world, b, &code, GROUP).expect("an open invitation");
    let after = post(&mut world, a, GROUP, b"after");
    world.run_for(SECOND_MS);
    let entries = list(&mut world, b, GROUP);
    [before, after].map(|id| entries.iter().any(|entry| entry.id == id && entry.content.is_some()))
}

fn posting() -> Command {
    Command::Post { group: GROUP.into(), topics: vec![], content: b"in question".to_vec() }
}

fn full() -> StoreError {
    StoreError::Full { reason: "no space left".to_owned() }
}

#[test]
fn every_planted_bug_is_alive() {
    let mut dead = Vec::new();
    for fault in Fault::ALL {
        assert_eq!(activate(None), None);
        assert!(holds(*fault), "{}: the scenario fails without it", fault.name());
        activate(Some(*fault));
        if holds(*fault) {
            dead.push(fault.name());
        }
        activate(None);
    }
    assert!(dead.is_empty(), "these change nothing: {dead:?}");
}
