//! Has members join their group's id as a public chain, imports it as one, and asks for it in public frames. Aims at S9: whose
//! a chain is does not depend on who asks for it, so nothing private leaves, and nothing of a stranger's comes in.

use walytis_core::{BlockId, Header, RawBlock};
use walytis_engine::public::{ArchiveCommand, ChainCode, ChainCommand, ChainInviter, PublicMessage};
use walytis_engine::sync::{SyncMessage, WireBlock};
use walytis_offchain::Command;

use super::openly::{author, block, forge};
use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::stranger("false_codes", || Tricks::outside(&[code, file, frames]));

/// How long it waits for the victim to ask to be let in, in virtual milliseconds.
const ASKED_MS: u64 = 200;

/// A block of content under the group's id, behind its genesis.
fn strange(turn: &mut Turn<'_>) -> Option<RawBlock> {
    let author = author(turn);
    let block = block(turn.group, vec![BlockId(turn.group.0)], None, &author, b"a stranger's")?;
    turn.deeds.forged.insert(Header::id_of(&block.header));
    Some(block)
}

/// Everything that can be asked about a chain of which only the id is known, and a block for it.
fn frames(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let chain = turn.group;
    let head = turn.random_id();
    for question in [
        SyncMessage::Heads { chain, heads: vec![head] },
        SyncMessage::Pull { chain, have: Vec::new() },
        SyncMessage::More { chain },
        SyncMessage::Pull { chain, have: vec![BlockId(chain.0)] },
    ] {
        turn.frame(to, PublicMessage::Sync(question).frame())?;
    }
    let block = strange(turn)?;
    forge(turn, to, chain, block.clone())?;
    let wire = WireBlock { block, attachment: None, foreign: Vec::new() };
    let portion = SyncMessage::Portion { chain, blocks: vec![wire], left: 5 };
    turn.frame(to, PublicMessage::Sync(portion).frame())
}

/// A person at the victim takes a public code for an invitation, and the one who made it lets it in.
fn code(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let chain = turn.group;
    let own = turn.puppet.node();
    let inviter = ChainInviter { peer: turn.world.identity(own).peer, addresses: vec![turn.world.address(own)] };
    let code = ChainCode { chain, secret: [7; 16].into(), shareable: true, inviters: vec![inviter] }.to_text();
    turn.world.ask(to, Command::Chain(ChainCommand::Join { code, name: None }));
    turn.wait(ASKED_MS);
    turn.frame(to, PublicMessage::Joined { chain }.frame())?;
    frames(turn, to)
}

/// A person at the victim imports a file that says that it is of a public chain.
fn file(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let blocks = vec![strange(turn)?];
    let take = ArchiveCommand::Take { chain: turn.group, name: None, blocks };
    turn.world.ask(to, Command::Chain(ChainCommand::Archive(take)));
    frames(turn, to)
}
