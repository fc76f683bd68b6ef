//! A public chain beside the group: founded by the first node, followed by the first members, posted to in steps of a
//! plan, and held to the same invariants.

use std::collections::{BTreeMap, BTreeSet};

use walytis_core::public::{ChainAnswer, ChainCommand, ChainEntry, Sharing};
use walytis_core::query::{Order, Query};
use walytis_core::{BlockId, ChainId, chains};
use walytis_offchain::{Answer, Command, EngineError, Ticket};

use super::invariant::{Broken, Invariant};
use super::run::{Run, broken};
use crate::NodeId;

/// The local name of the chain.
const CHAIN: &str = "public";

/// How long founding, inviting and joining may take in the calm beginning, in milliseconds.
const CALM_MS: u64 = 60_000;

/// A post that was acknowledged.
struct Post {
    node: NodeId,
    content: Vec<u8>,
    /// Whether the node's store has it, which an old copy that is put back may not.
    stored: bool,
}

/// What is known about the public chain of a run.
#[derive(Default)]
pub(super) struct Public {
    chain: Option<ChainId>,
    followers: BTreeSet<NodeId>,
    asking: BTreeMap<(NodeId, Ticket), Vec<u8>>,
    acknowledged: BTreeMap<BlockId, Post>,
    written: BTreeSet<Vec<u8>>,
}

impl Run {
    fn public_call(&mut self, node: NodeId, command: ChainCommand) -> Result<ChainAnswer, Broken> {
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
        let invite = ChainCommand::Invite { chain: chain.clone(), uses: None, sharing: Sharing::Joiners };
        let ChainAnswer::Invitation(invitation) = self.public_call(founder, invite)? else { return Ok(()) };
        let code = invitation.code.unwrap_or_default();
        for node in self.members.clone() {
            if node != founder {
                let join = ChainCommand::Join { code: code.clone(), name: Some(chain.clone()) };
                self.public_call(node, join)?;
            }
            self.public.followers.insert(node);
        }
        Ok(())
    }

    pub(super) fn post_publicly(&mut self, node: NodeId, bytes: usize) {
        if !self.public.followers.contains(&node) || !self.world.is_running(node) {
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
            self.outcome.asked.ask(Invariant::W1, there, text)?;
        }
        Ok(())
    }

    /// An old copy is put back: what only that node had is lost with it.
    pub(super) fn public_put_back(&mut self, node: NodeId) {
        for id in self.public.acknowledged.keys().copied().collect::<Vec<BlockId>>() {
            let elsewhere = self.nodes.iter().any(|other| *other != node && self.has(*other, id));
            if !elsewhere {
                self.public.acknowledged.remove(&id);
            } else if let Some(post) = self.public.acknowledged.get_mut(&id).filter(|post| post.node == node) {
                post.stored = false;
            }
        }
    }

    fn public_heads(&self, node: NodeId) -> Vec<BlockId> {
        let heads = self.public.chain.map(|chain| chains::heads(&self.view(node), chain).unwrap_or_default());
        heads.unwrap_or_default()
    }

    /// Whether all followers have equal heads.
    pub(super) fn public_converged(&self) -> bool {
        let mut followers = self.public.followers.iter();
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

    fn public_listing(&mut self, node: NodeId) -> Result<Vec<ChainEntry>, Broken> {
        let (mut entries, mut after) = (Vec::new(), None);
        loop {
            let query = Box::new(Query { order: Order::Listing, ..Query::default() });
            let list = ChainCommand::List { chain: CHAIN.to_owned(), query, after, limit: 256 };
            let ChainAnswer::Page(page) = self.public_call(node, list)? else { return Ok(entries) };
            entries.extend(page.entries);
            if page.next.is_none() {
                return Ok(entries);
            }
            after = page.next;
        }
    }

    /// How many blocks it has.
    pub(super) fn public_blocks(&self) -> u64 {
        u64::try_from(self.public.written.len()).unwrap_or(u64::MAX)
    }

    /// C1, C2, D4, H1, H2 of the public chain.
    pub(super) fn public_at_the_end(&mut self) -> Result<(), Broken> {
        let followers: Vec<NodeId> = self.public.followers.iter().copied().collect();
        let Some(first) = followers.first().copied() else { return Ok(()) };
        let heads = self.public_heads(first);
        let listing = self.public_listing(first)?;
        let shown = |entry: &ChainEntry| (entry.generation, entry.id, entry.author, entry.content.clone());
        let ordered = listing.is_sorted_by(|a, b| (a.generation, a.id) < (b.generation, b.id));
        self.outcome.asked.ask(Invariant::D4, ordered, || "the public listing is out of order".to_owned())?;
        for node in followers {
            let equal = self.public_heads(node) == heads;
            self.outcome.asked.ask(Invariant::C1, equal, || format!("{node:?} differs publicly from {first:?}"))?;
            let own = self.public_listing(node)?;
            let same = own.iter().map(shown).eq(listing.iter().map(shown));
            self.outcome.asked.ask(Invariant::C2, same, || format!("the public listing of {node:?} differs"))?;
        }
        for (id, post) in &self.public.acknowledged {
            let whole = listing.iter().any(|entry| entry.id == *id && entry.content == post.content);
            let text = || format!("{:?} of {:?} is missing", String::from_utf8_lossy(&post.content), post.node);
            self.outcome.asked.ask(Invariant::H1, whole, text)?;
        }
        for entry in &listing {
            // A malicious peer may write what it likes.
            let foreign = !self.hostile.is_empty() && !entry.content.starts_with(b"public post ");
            let known = self.public.written.contains(&entry.content) || foreign;
            let text = || format!("nobody wrote what the public block {} has", entry.id);
            self.outcome.asked.ask(Invariant::H2, known, text)?;
        }
        Ok(())
    }
}
