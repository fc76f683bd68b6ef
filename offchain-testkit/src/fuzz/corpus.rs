//! Honest inputs of every target: what fuzzing begins with.

use std::collections::BTreeMap;

use walytis_core::{
    Address, AuthorSecret, BlockId, BlockKind, ChainId, Draft, Format, FormatVersion, Hash, Header, PeerId, Place,
    Timestamp, codec,
};
use walytis_engine::public::{ArchiveHead, ArchiveKind, ChainCode, ChainInviter, PublicMessage, archived};
use walytis_engine::sync::{SyncMessage, WANTED_MAX, WireBlock};
use walytis_identities::{History, InvitationCode, InvitationSecret, Inviter};
use walytis_offchain::{Answer, Command, JoinRefusal, Message};

use super::comparison::Sets;
use super::fixture::{Fixture, GROUP};
use crate::{NodeId, Puppet, World, WorldConfig};

/// Longer than anything takes in a calm world, in virtual milliseconds.
const LONG_MS: u64 = 10_000;

/// So many inputs of each target are enough: the rest are like them.
const INPUTS_MAX: usize = 16;

/// Honest inputs of each target, by its name; the same in every run.
#[must_use]
pub fn corpus() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut corpus = Corpus::default();
    corpus.group();
    corpus.public();
    corpus.comparison();
    corpus.fixture();
    corpus.0
}

#[derive(Default)]
struct Corpus(BTreeMap<&'static str, Vec<Vec<u8>>>);

impl Corpus {
    fn add(&mut self, target: &'static str, bytes: Vec<u8>) {
        let inputs = self.0.entry(target).or_default();
        if inputs.len() < INPUTS_MAX && !inputs.contains(&bytes) {
            inputs.push(bytes);
        }
    }

    /// What a group of two has, with a fork in its history, and what its members say to each other.
    fn group(&mut self) {
        let mut world = World::new(WorldConfig::calm(21));
        let (Ok(a), Ok(b)) = (world.add_node(), world.add_node()) else { unreachable!("new stores take identities") };
        let call = |world: &mut World, node: NodeId, command| match world.call(node, command, LONG_MS) {
            Some(Ok(answer)) => answer,
            _ => unreachable!("members may all of it"),
        };
        let new_group = Command::NewGroup { name: GROUP.to_owned(), history: History::All };
        let Answer::Group(group) = call(&mut world, a, new_group) else { unreachable!("a group was made") };
        let invite = Command::Invite { group: GROUP.to_owned(), uses: 1 };
        let Answer::Invitation(code) = call(&mut world, a, invite) else { unreachable!("a founder may invite") };
        self.add("invitation_code", code.to_ascii_uppercase().into_bytes());
        self.add("invitation_code", code.clone().into_bytes());
        call(&mut world, b, Command::Join { code, name: Some(GROUP.to_owned()) });
        for (node, content) in [(a, [1; 40]), (b, [2; 40]), (a, [3; 40])] {
            let topics = vec![b"topic".to_vec()];
            call(&mut world, node, Command::Post { group: GROUP.to_owned(), topics, content: content.to_vec() });
        }
        world.run_for(LONG_MS);
        let Ok(mut puppet) = Puppet::possess(&mut world, a) else { unreachable!("its store is sound") };
        let other = world.identity(b).peer;
        self.blocks_and_messages(&mut world, &mut puppet, group.group, other);
    }

    fn blocks_and_messages(&mut self, world: &mut World, puppet: &mut Puppet, group: ChainId, to: PeerId) {
        let Ok(mut wire) = puppet.wire_chain(group) else { unreachable!("its store is sound") };
        for wired in &mut wire {
            let Ok(wrap) = puppet.wrap_for(&wired.block, to) else { unreachable!("its store is sound") };
            wired.attachment = wrap;
            self.add("block", codec::encode(wired));
            for raw in wired.foreign.iter().chain([&wired.block]) {
                self.add("header", raw.header.clone());
                let operation = Header::decode(&raw.header).is_ok_and(|header| header.kind == BlockKind::Operation);
                self.add(if operation { "operation" } else { "private_body" }, raw.content.clone());
            }
            if let Some(attachment) = &wired.attachment {
                self.add("attachment", attachment.to_vec());
            }
        }
        let (Ok((_, sealed)), Ok(request)) = (
            puppet.private(world, group, b"text"),
            puppet.join_request(group, &InvitationSecret::from_bytes(&[1; 16]), &Hash([2; 32])),
        ) else {
            unreachable!("it is a member")
        };
        self.add("attachment", sealed.encode());
        let peer = puppet.device.peer();
        let Some(address) = Address::new(format!("/memory/1/p2p/{peer}")) else { unreachable!("it is short") };
        let inviter = Inviter { peer, addresses: vec![address.clone(); 2] };
        if let Ok(code) = InvitationCode::new(group, InvitationSecret::from_bytes(&[3; 16]), vec![inviter]) {
            self.add("invitation_code", code.to_text().into_bytes());
        }
        let ids: Vec<BlockId> = (0..5).map(|number| BlockId([number; 32])).collect();
        let (blocks, block) = (wire.iter().rev().take(2).cloned().collect(), wire.last().cloned());
        let mut messages = vec![
            Message::Hello { addresses: vec![address] },
            Message::Joined,
            Message::JoinRefused(JoinRefusal::Spent),
            Message::Join(Box::new(request)),
            Message::Sync(SyncMessage::Heads { chain: group, heads: ids.clone() }),
            Message::Sync(SyncMessage::Pull { chain: group, have: ids.clone() }),
            Message::Sync(SyncMessage::More { chain: group }),
            Message::Sync(SyncMessage::Portion { chain: group, blocks, left: 300 }),
            Message::Sync(SyncMessage::WantAttachments {
                chain: group,
                ids: ids.iter().copied().take(WANTED_MAX).collect(),
            }),
            Message::Sync(SyncMessage::Attachment {
                chain: group,
                id: BlockId([0; 32]),
                attachment: vec![7; 9].into(),
            }),
        ];
        messages.extend(block.map(|block| Message::Sync(SyncMessage::Push { chain: group, block })));
        messages.iter().for_each(|message| self.add("message", message.encode()));
    }

    /// What nodes say to each other about a public chain.
    fn public(&mut self) {
        let (chain, peer) = (ChainId([4; 32]), PeerId([5; 32]));
        let Some(address) = Address::new(format!("/memory/1/p2p/{peer}")) else { unreachable!("it is short") };
        let place = Place::After { chain, parents: vec![chain.into()], previous: None };
        let topics = vec![b"topic".to_vec()];
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics, content: b"words".to_vec() };
        let wire = |block: walytis_core::VerifiedBlock| WireBlock {
            block: block.raw().clone(),
            attachment: None,
            foreign: Vec::new(),
        };
        // Of version 2: one with a root over its ancestors, and one without.
        let newer = [Some(Hash([9; 32])), None].map(|ancestry| {
            let format = Format { version: FormatVersion::V2, ancestry };
            let signed = draft.clone().sign_alone_in(format, &AuthorSecret::from_seed(&[6; 32]), Timestamp(8));
            let Ok(block) = signed else { unreachable!("it keeps the rules") };
            wire(block)
        });
        for newer in &newer {
            self.add("block", codec::encode(newer));
            self.add("header", newer.block.header.clone());
            self.add(
                "archive",
                [&ArchiveHead { kind: ArchiveKind::Blocks, chain, blocks: 1 }.encode()[..], &archived(&newer.block)]
                    .concat(),
            );
        }
        let Ok(block) = draft.sign_alone(&AuthorSecret::from_seed(&[6; 32]), Timestamp(7)) else {
            unreachable!("it keeps the rules")
        };
        let block = wire(block);
        self.add("block", codec::encode(&block));
        self.add("header", block.block.header.clone());
        for (kind, blocks) in [(ArchiveKind::Chain, 3), (ArchiveKind::Blocks, 1)] {
            let head = ArchiveHead { kind, chain, blocks }.encode();
            let blocks = (0..blocks).flat_map(|_| archived(&block.block));
            self.add("archive", head.into_iter().chain(blocks).collect());
        }
        let ids: Vec<BlockId> = (0..5).map(|number| BlockId([number; 32])).collect();
        let messages = [
            PublicMessage::Greeting { marks: vec![Hash([1; 32]), Hash([2; 32])] },
            PublicMessage::Addresses { addresses: vec![address.clone()] },
            PublicMessage::Join { chain, proof: Hash([3; 32]) },
            PublicMessage::Joined { chain },
            PublicMessage::Refused { chain, reason: walytis_engine::public::JoinRefusal::Spent },
            PublicMessage::Sync(SyncMessage::Heads { chain, heads: ids.clone() }),
            PublicMessage::Sync(SyncMessage::Pull { chain, have: ids }),
            PublicMessage::Sync(SyncMessage::More { chain }),
            PublicMessage::Sync(SyncMessage::Portion { chain, blocks: vec![block.clone(); 2], left: 300 }),
            PublicMessage::Sync(SyncMessage::Portion {
                chain,
                blocks: std::iter::once(block.clone()).chain(newer).collect(),
                left: 0,
            }),
            PublicMessage::Pushed { chain, blocks: vec![block.clone(); 2] },
            PublicMessage::Sync(SyncMessage::Push { chain, block }),
        ];
        messages.iter().for_each(|message| self.add("public_message", message.frame().split_off(1)));
        let inviters = vec![ChainInviter { peer, addresses: vec![address] }];
        for (shareable, inviters) in [(false, inviters.clone()), (true, Vec::new()), (true, inviters)] {
            let code = ChainCode { chain, secret: [8; 16].into(), shareable, inviters }.to_text();
            self.add("chain_code", code.to_ascii_uppercase().into_bytes());
            self.add("chain_code", code.into_bytes());
        }
    }

    /// What is said while two sets are compared.
    fn comparison(&mut self) {
        let chain = ChainId([4; 32]);
        let (told, answers) = Sets::shared().conversation();
        for compare in told {
            self.add("compare", codec::encode(&compare));
            let sync = SyncMessage::Compare { chain, heads: vec![BlockId([1; 32])], compare };
            self.add("message", Message::Sync(sync.clone()).encode());
            self.add("public_message", PublicMessage::Sync(sync).frame().split_off(1));
        }
        for differ in answers {
            self.add("differ", codec::encode(&differ));
            let sync = SyncMessage::Differ { chain, differ };
            self.add("message", Message::Sync(sync.clone()).encode());
            self.add("public_message", PublicMessage::Sync(sync).frame().split_off(1));
        }
    }

    fn fixture(&mut self) {
        let fixture = Fixture::shared();
        self.add("open_content", fixture.open.clone());
        self.add("sealed_content", fixture.sealed.clone());
        self.add("wraps", fixture.wraps.clone());
        self.add("given_wrap", fixture.given_wrap.clone());
        fixture.first_flights.iter().for_each(|flight| self.add("first_flight", flight.clone()));
        self.add("second_flight", fixture.second_flight.clone());
        // Rows of every table: the last ones of each are like the first.
        for (row, value) in (0_u8..).zip(fixture.rows.values()) {
            let inputs = self.0.entry("stored_row").or_default();
            inputs.push([&[row], value.as_slice()].concat());
        }
    }
}
