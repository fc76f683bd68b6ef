//! A public chain beside the group: founded by the first node, followed by the first members, posted to in steps of a
//! plan, read by an application at some of them, and held to the same invariants.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::{AuthorKey, BlockId, ChainId, chains};
use walytis_engine::public::{ChainAnswer, ChainCommand, ChainDetails, Rule, Sharing};
use walytis_offchain::{Answer, Command, EngineError, Ticket};

use super::invariant::{Broken, Invariant};
use super::reader::{Judge, Reader};
use super::run::{Run, broken};
use crate::NodeId;

/// The local name of the chain.
pub(super) const CHAIN: &str = "public";

/// How long founding, inviting and joining may take in the calm beginning, in milliseconds.
pub(super) const CALM_MS: u64 = 60_000;

/// How many may come in by the invitation of the beginning.
pub(super) const USES: u32 = 64;

/// A post that was acknowledged.
pub(super) struct Post {
    pub(super) node: NodeId,
    pub(super) content: Vec<u8>,
    /// Whether the node's store has it, which an old copy that is put back may not.
    stored: bool,
}

/// A change of a rule that was asked for, and of which nobody knows yet whether it will last.
struct Changing {
    node: NodeId,
    author: AuthorKey,
    /// Whether the author is blocked by it.
    blocks: bool,
}

/// What is known about the public chain of a run.
#[derive(Default)]
pub(super) struct Public {
    pub(super) chain: Option<ChainId>,
    pub(super) followers: BTreeSet<NodeId>,
    /// Who writes under which key in the beginning.
    authors: BTreeMap<NodeId, AuthorKey>,
    /// Applications that read the chain under a name: at the first and at the last of the followers.
    pub(super) readers: BTreeMap<NodeId, Reader>,
    asking: BTreeMap<(NodeId, Ticket), Vec<u8>>,
    changing: BTreeMap<Ticket, Changing>,
    /// Nodes that ever blocked an author.
    ruling: BTreeSet<NodeId>,
    pub(super) acknowledged: BTreeMap<BlockId, Post>,
    pub(super) written: BTreeSet<Vec<u8>>,
}

impl Run {
    pub(super) fn public_call(&mut self, node: NodeId, command: ChainCommand) -> Result<ChainAnswer, Broken> {
        match self.world.call(node, Command::Chain(command), CALM_MS) {
            Some(Ok(Answer::Chain(answer))) => Ok(answer),
            other => Err(broken(Invariant::C5, format!("{node:?} cannot use the public chain in peace: {other:?}"))),
        }
    }

    /// The founder makes a chain, which all who are members from the beginning follow.
    pub(super) fn begin_public(&mut self) -> Result<(), Broken> {
        let founder = self.node(0);
        let chain = CHAIN.to_owned();
        if let ChainAnswer::Chain(summary) = self.public_call(founder, ChainCommand::New { name: chain.clone() })? {
            self.public.chain = Some(summary.chain);
        }
        let invite = ChainCommand::Invite { chain: chain.clone(), uses: Some(USES), sharing: Sharing::Joiners };
        let ChainAnswer::Invitation(invitation) = self.public_call(founder, invite)? else { return Ok(()) };
        let code = invitation.code.unwrap_or_default();
        for node in self.members.clone() {
            if node != founder {
                let join = ChainCommand::Join { code: code.clone(), name: Some(chain.clone()) };
                self.public_call(node, join)?;
            }
            self.public.followers.insert(node);
            let author = self.public_details(node)?.author;
            self.public.authors.insert(node, author);
            self.seen.writes(author, node);
        }
        let ends = [self.public.followers.first(), self.public.followers.last()];
        for node in ends.into_iter().flatten().copied().collect::<BTreeSet<NodeId>>() {
            let reader = self.public.readers.entry(node).or_default();
            reader.start(&mut self.world, node);
        }
        Ok(())
    }

    pub(super) fn public_details(&mut self, node: NodeId) -> Result<ChainDetails, Broken> {
        match self.public_call(node, ChainCommand::Show { chain: CHAIN.to_owned() })? {
            ChainAnswer::Details(details) => Ok(*details),
            other => Err(broken(Invariant::C5, format!("{node:?} cannot tell about the public chain: {other:?}"))),
        }
    }

    /// Whether a node follows the chain, and runs.
    pub(super) fn follows_publicly(&self, node: NodeId) -> bool {
        self.public.followers.contains(&node) && self.world.is_running(node)
    }

    /// The chain, if all of some nodes follow it.
    pub(super) fn public_of(&self, nodes: &[NodeId]) -> Option<ChainId> {
        self.public.chain.filter(|_| nodes.iter().all(|node| self.public.followers.contains(node)))
    }

    /// A node blocks an author, or takes its blocks again.
    pub(super) fn rule_publicly(&mut self, node: NodeId, other: NodeId) {
        let Some(author) = self.public.authors.get(&other).copied() else { return };
        let busy = self.public.changing.values().any(|changing| changing.node == node);
        if !self.follows_publicly(node) || node == other || busy {
            return;
        }
        self.public.ruling.insert(node);
        let reader = self.public.readers.get_mut(&node);
        let blocked = reader.as_ref().is_some_and(|reader| reader.blocked.contains(&author));
        if let Some(reader) = reader {
            reader.passed_over = true;
            // From now on its blocks may be shown.
            reader.blocked.remove(&author);
        }
        let rule = if blocked { Rule::ForgetAuthor(author) } else { Rule::BlockAuthor(author) };
        let ticket = self.world.ask(node, Command::Chain(ChainCommand::Rule { chain: CHAIN.to_owned(), rule }));
        self.public.changing.insert(ticket, Changing { node, author, blocks: !blocked });
    }

    /// All take the blocks of all, so that they can become equal.
    pub(super) fn end_public_rules(&mut self) -> Result<(), Broken> {
        for node in self.public.ruling.clone() {
            if let Some(reader) = self.public.readers.get_mut(&node) {
                reader.blocked.clear();
            }
            self.public.changing.retain(|_, changing| changing.node != node);
            for author in self.public.authors.values().copied().collect::<Vec<_>>() {
                let rule = ChainCommand::Rule { chain: CHAIN.to_owned(), rule: Rule::ForgetAuthor(author) };
                self.public_call(node, rule)?;
            }
        }
        Ok(())
    }

    /// Lets the application of a node that has started read on.
    pub(super) fn read_publicly(&mut self, node: NodeId) {
        if let Some(reader) = self.public.readers.get_mut(&node) {
            reader.start(&mut self.world, node);
        }
    }

    /// Lets all applications take what came.
    pub(super) fn look_publicly(&mut self) -> Result<(), Broken> {
        let judge = Judge { written: &self.public.written, hostile: !self.hostile.is_empty() };
        for (node, reader) in &mut self.public.readers {
            reader.look(&mut self.world, *node, &mut self.outcome.public, &judge)?;
        }
        // Behind what was delivered: that was shown before.
        for (ticket, changing) in std::mem::take(&mut self.public.changing) {
            match self.world.take_answer(changing.node, ticket) {
                None => drop(self.public.changing.insert(ticket, changing)),
                Some(Ok(_)) if changing.blocks => {
                    if let Some(reader) = self.public.readers.get_mut(&changing.node) {
                        reader.blocked.insert(changing.author);
                    }
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Whether the applications have all that has arrived.
    pub(super) fn public_readers_have_all(&self) -> bool {
        self.public.readers.values().all(Reader::has_all)
    }

    pub(super) fn post_publicly(&mut self, node: NodeId, bytes: usize) {
        if !self.follows_publicly(node) {
            return;
        }
        self.outcome.operations = self.outcome.operations.saturating_add(1);
        let mut content = format!("public post {} of node {}", self.public.written.len(), node.0).into_bytes();
        content.resize(content.len().saturating_add(bytes), b'.');
        self.public.written.insert(content.clone());
        let post = ChainCommand::Post { chain: CHAIN.to_owned(), topics: Vec::new(), content: content.clone() };
        let ticket = self.world.ask(node, Command::Chain(post));
        self.public.asking.insert((node, ticket), content);
    }

    /// Forgets what nobody will answer any more.
    pub(super) fn public_went_off(&mut self, node: NodeId) {
        self.public.asking.retain(|(asked, _), _| *asked != node);
        self.public.changing.retain(|_, changing| changing.node != node);
        if let Some(reader) = self.public.readers.get_mut(&node) {
            reader.stop();
        }
    }

    /// Whether posts are on their way.
    pub(super) fn public_waits(&self) -> bool {
        !self.public.asking.is_empty()
    }

    pub(super) fn take_public_answers(&mut self) -> Result<(), Broken> {
        for ((node, ticket), content) in std::mem::take(&mut self.public.asking) {
            match self.world.take_answer(node, ticket) {
                None => drop(self.public.asking.insert((node, ticket), content)),
                Some(Ok(Answer::Chain(ChainAnswer::Posted(id)))) => {
                    self.public.acknowledged.insert(id, Post { node, content, stored: true });
                }
                // Its store failed.
                Some(Err(EngineError::Stopped(_))) => {}
                Some(Err(error)) if error.is_fatal() => {}
                other => return Err(broken(Invariant::C5, format!("{node:?} cannot post publicly: {other:?}"))),
            }
        }
        Ok(())
    }

    /// W1: what was acknowledged is there after a crash.
    pub(super) fn public_after_crash(&mut self, node: NodeId) -> Result<(), Broken> {
        for (id, post) in self.public.acknowledged.iter().filter(|(_, post)| post.node == node && post.stored) {
            let there = self.has(node, *id);
            let text = || format!("{node:?} lost {:?}", String::from_utf8_lossy(&post.content));
            self.outcome.public.ask(Invariant::W1, there, text)?;
        }
        Ok(())
    }

    /// An old copy is put back: what only that node had is lost with it.
    pub(super) fn public_put_back(&mut self, node: NodeId) {
        if let Some(reader) = self.public.readers.get_mut(&node) {
            reader.forget();
        }
        for id in self.public.acknowledged.keys().copied().collect::<Vec<BlockId>>() {
            let elsewhere = self.nodes.iter().any(|other| *other != node && self.has(*other, id));
            if !elsewhere {
                self.public.acknowledged.remove(&id);
            } else if let Some(post) = self.public.acknowledged.get_mut(&id).filter(|post| post.node == node) {
                post.stored = false;
            }
        }
    }

    pub(super) fn public_heads(&self, node: NodeId) -> Vec<BlockId> {
        let heads = self.public.chain.map(|chain| chains::heads(&self.view(node), chain).unwrap_or_default());
        heads.unwrap_or_default()
    }

    /// Whether all followers have equal heads.
    pub(super) fn public_converged(&self) -> bool {
        let followers: Vec<NodeId> = self.public.followers.iter().copied().collect();
        self.public_equal(&followers)
    }

    /// Whether those of some nodes that follow have equal heads.
    pub(super) fn public_equal(&self, nodes: &[NodeId]) -> bool {
        let mut followers = nodes.iter().filter(|node| self.public.followers.contains(node));
        let Some(first) = followers.next() else { return true };
        let heads = self.public_heads(*first);
        followers.all(|node| self.public_heads(*node) == heads)
    }

    /// Who differs, for whoever reads of it.
    pub(super) fn public_state(&self) -> String {
        let state = self.public.followers.iter().map(|node| {
            let length = self.public.chain.map(|chain| chains::length(&self.view(*node), chain).unwrap_or_default());
            format!(
                " [node {}: {} public blocks, heads {:?}]",
                node.0,
                length.unwrap_or_default(),
                self.public_heads(*node).len()
            )
        });
        state.collect()
    }

    /// How many blocks it has.
    pub(super) fn public_blocks(&self) -> u64 {
        u64::try_from(self.public.written.len()).unwrap_or(u64::MAX)
    }
}
