//! The handle's methods about public chains.

use std::sync::Arc;

use tokio::sync::{oneshot, watch};
use walytis_core::query::{Ancestry, AncestryWalk, IdPrefix, Query};
use walytis_core::{BlockId, FormatVersion, PeerId};
use walytis_engine::public::{
    ChainAnswer, ChainCode, ChainCommand, ChainDetails, ChainEntry, ChainInvitation, ChainName, ChainSummary, Rule,
    Sharing,
};

use crate::chain_pager::ChainPager;
use crate::chain_subscription::{ChainSubscription, News};
use crate::error::NodeError;
use crate::listing::Listing;
use crate::machine::{Answer, Command, EngineError};
use crate::node::{Node, mismatch};
use crate::post::{Post, Posting};
use crate::progress::Progressing;
use crate::request::{Request, Waiter};

/// Public chains. Whoever knows a chain's id may read it, and whoever follows it may append to it: nothing in it is secret.
/// A chain is named by its local name or its id everywhere.
impl Node {
    /// Founds a public chain.
    ///
    /// # Errors
    /// [`PublicError::BadName`](crate::PublicError::BadName), [`PublicError::NameTaken`](crate::PublicError::NameTaken) or
    /// [`PublicError::TooManyChains`](crate::PublicError::TooManyChains); and, as with every method of a node, the store's
    /// failure or [`NodeError::Closed`].
    pub async fn new_chain(&self, name: &str) -> Result<ChainSummary, NodeError> {
        match self.ask_chain(ChainCommand::New { name: name.to_owned() }).await? {
            ChainAnswer::Chain(chain) => Ok(chain),
            other => mismatch(&other),
        }
    }

    /// The public chains that this node follows, joins or deletes.
    ///
    /// # Errors
    /// The store's failure or [`NodeError::Closed`].
    pub async fn chains(&self) -> Result<Vec<ChainSummary>, NodeError> {
        match self.ask_chain(ChainCommand::Chains).await? {
            ChainAnswer::Chains(chains) => Ok(chains),
            other => mismatch(&other),
        }
    }

    /// All about a public chain: peers, rules, limits, and evidence of authors who forked.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown).
    pub async fn chain(&self, chain: &str) -> Result<ChainDetails, NodeError> {
        match self.ask_chain(ChainCommand::Show { chain: chain.to_owned() }).await? {
            ChainAnswer::Details(details) => Ok(*details),
            other => mismatch(&other),
        }
    }

    /// Stops following a chain, and removes all of its blocks here. Gives how many they were, once they are gone. A join of it
    /// that is under way ends. Of one that is [`Standing::Misfiled`](crate::Standing::Misfiled) no block is removed.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown) or [`PublicError::Leaving`](crate::PublicError::Leaving);
    /// [`NodeError::NoRoom`] if a home's disk has no room for a
    /// deletion, not even what each home keeps for it: then nothing is deleted.
    pub async fn delete_chain(&self, chain: &str) -> Result<u64, NodeError> {
        #[cfg(feature = "redb")]
        if let Some(room) = self.handle().room.clone()
            // What is kept is not given up for a chain that is not here: the engine says so.
            && let id = chain.parse::<walytis_core::ChainId>().ok()
            && self.chains().await?.iter().any(|kept| kept.name == chain || Some(kept.chain) == id)
        {
            let made = tokio::task::spawn_blocking(move || room.make()).await;
            if !made.unwrap_or(false) {
                return Err(NodeError::NoRoom);
            }
        }
        match self.ask_chain(ChainCommand::Delete { chain: chain.to_owned() }).await? {
            ChainAnswer::Deleted { blocks } => Ok(blocks),
            other => mismatch(&other),
        }
    }

    /// Appends a block. When it returns, the block is durable here; others get it as soon as they can be reached.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown), or [`PublicError::Block`](crate::PublicError::Block) for
    /// topics or content that are too large.
    pub async fn post_to_chain(&self, chain: &str, post: impl Into<Post>) -> Result<BlockId, NodeError> {
        self.enqueue_to_chain(chain, post).await?.durable().await
    }

    /// Begins to append a block: when this returns, the block has its place behind everything that was asked of the node
    /// before. [`Posting::durable`] waits for the rest.
    ///
    /// # Errors
    /// [`NodeError::Closed`] if the node has stopped. What is wrong with the post is told by [`Posting::durable`].
    pub async fn enqueue_to_chain(&self, chain: &str, post: impl Into<Post>) -> Result<Posting, NodeError> {
        let Post { topics, content } = post.into();
        let (reply, answered) = oneshot::channel();
        let command = Command::Chain(ChainCommand::Post { chain: chain.to_owned(), topics, content });
        self.request(Request::Command(command, Waiter::Answer(reply))).await?;
        Ok(Posting::new(self.clone(), answered))
    }

    /// Lists a chain's blocks, each after its parents, in the order that is the same on all nodes with equal sets.
    /// Nothing is read before [`ChainPager::next_page`].
    #[must_use]
    pub fn list_chain(&self, chain: &str, listing: Listing) -> ChainPager {
        self.query_chain(chain, listing.into())
    }

    /// Lists the blocks of a chain that a query asks for, in its order. Nothing is read before [`ChainPager::next_page`].
    #[must_use]
    pub fn query_chain(&self, chain: &str, query: Query) -> ChainPager {
        ChainPager::new(self.clone(), chain.into(), query)
    }

    /// How many blocks of a chain a query asks for. By positions, one author or one topic that is kept; any other query
    /// reads the headers that it looks at, in steps, between which the node does other things.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown).
    pub async fn count_chain(&self, chain: &str, query: Query) -> Result<u64, NodeError> {
        let (mut chain, mut blocks, mut after) = (ChainName::from(chain), 0_u64, None);
        loop {
            let command = ChainCommand::Count { chain, query: Box::new(query.clone()), after };
            let (kept, counted) = match self.ask_chain(command).await? {
                ChainAnswer::Counted(kept, counted) => (kept, counted),
                other => mismatch(&other),
            };
            chain = kept.into();
            blocks = blocks.saturating_add(counted.blocks);
            after = counted.next;
            if after.is_none() {
                return Ok(blocks);
            }
        }
    }

    /// The block of a chain whose id begins so, if exactly one is shown here. From 8 digits on it is looked up; for fewer,
    /// headers are read until two are found.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown).
    pub async fn block_of_chain(&self, chain: &str, id: IdPrefix) -> Result<Beginning, NodeError> {
        let mut pager = self.query_chain(chain, Query { id, ..Query::default() }).at_most(2);
        let mut found: Option<ChainEntry> = None;
        while let Some(page) = pager.next_page().await? {
            for entry in page {
                match found {
                    Some(first) => return Ok(Beginning::Several([first.id, entry.id])),
                    None => found = Some(entry),
                }
            }
        }
        Ok(found.map_or(Beginning::None, |entry| Beginning::One(Box::new(entry))))
    }

    /// How block `a` of a chain stands to block `b`: whether it is an ancestor, and its author's successor could know it,
    /// or the other way round, or neither. It reads at most the blocks that arrived between the two, in steps.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown) or [`PublicError::NoBlock`](crate::PublicError::NoBlock).
    pub async fn ancestry(&self, chain: &str, a: BlockId, b: BlockId) -> Result<Ancestry, NodeError> {
        let (mut chain, mut walk) = (ChainName::from(chain), Box::new(AncestryWalk::between(a, b)));
        loop {
            let command = ChainCommand::Ancestry { chain, walk };
            match self.ask_chain(command).await? {
                ChainAnswer::Ancestry(Ok(stands)) => return Ok(stands),
                ChainAnswer::Ancestry(Err((kept, further))) => (chain, walk) = (kept.into(), further),
                other => mismatch(&other),
            }
        }
    }

    /// Begins to hand out a chain's blocks as they arrive, this node's own included.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown).
    pub async fn follow_chain(&self, chain: &str) -> Result<ChainSubscription, NodeError> {
        let (reply, answered) = oneshot::channel();
        let news = Arc::new(News::holding());
        let command = Command::Chain(ChainCommand::Subscribe { chain: chain.to_owned() });
        self.request(Request::Command(command, Waiter::Follower(reply, Arc::clone(&news)))).await?;
        let (chain, subscribed) = self.answer(answered).await??;
        Ok(ChainSubscription::new(self.clone(), chain, subscribed, news))
    }

    /// Opens an invitation to a chain, by which `uses` nodes may come in, or any number. With
    /// [`Sharing::Joiners`], those who joined by it admit others by it, too.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown), [`PublicError::NoUses`](crate::PublicError::NoUses),
    /// [`PublicError::ListFull`](crate::PublicError::ListFull), or
    /// [`PublicError::NoAddresses`](crate::PublicError::NoAddresses) if the node has never listened.
    pub async fn invite_to_chain(
        &self,
        chain: &str,
        uses: Option<u32>,
        sharing: Sharing,
    ) -> Result<ChainInvitation, NodeError> {
        match self.ask_chain(ChainCommand::Invite { chain: chain.to_owned(), uses, sharing }).await? {
            ChainAnswer::Invitation(invitation) => Ok(invitation),
            other => mismatch(&other),
        }
    }

    /// The invitations by which this node admits to a chain.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown).
    pub async fn chain_invitations(&self, chain: &str) -> Result<Vec<ChainInvitation>, NodeError> {
        match self.ask_chain(ChainCommand::Invitations { chain: chain.to_owned() }).await? {
            ChainAnswer::Invitations(invitations) => Ok(invitations),
            other => mismatch(&other),
        }
    }

    /// Ends an invitation: nobody is admitted by it here any more.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown) or
    /// [`PublicError::UnknownInvitation`](crate::PublicError::UnknownInvitation).
    pub async fn revoke_chain_invitation(&self, chain: &str, invitation: u32) -> Result<(), NodeError> {
        self.ask_chain(ChainCommand::Revoke { chain: chain.to_owned(), invitation }).await.map(|_| ())
    }

    /// Begins to join a chain by an invitation's code; [`ChainJoin::finish`] gives the outcome. Without a name, the chain
    /// gets one here.
    ///
    /// # Errors
    /// [`NodeError::Offline`] or [`NodeError::Closed`].
    pub async fn join_chain(&self, code: &str, name: Option<&str>) -> Result<ChainJoin, NodeError> {
        self.require_network()?;
        let (reply, answered) = oneshot::channel();
        let (tell_progress, progress) = watch::channel(None);
        let command = Command::Chain(ChainCommand::Join { code: code.to_owned(), name: name.map(ToOwned::to_owned) });
        self.request(Request::Command(command, Waiter::Progress(reply, tell_progress))).await?;
        let inviters = code.parse::<ChainCode>().map(|code| code.inviters);
        let inviters = inviters.unwrap_or_default().iter().map(|inviter| inviter.peer).collect();
        Ok(ChainJoin { node: self.clone(), answered, progress: Progressing::new(progress), inviters })
    }

    /// Changes whom and what this node lets in on a chain.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown) or [`PublicError::ListFull`](crate::PublicError::ListFull).
    pub async fn rule_chain(&self, chain: &str, rule: Rule) -> Result<(), NodeError> {
        self.ask_chain(ChainCommand::Rule { chain: chain.to_owned(), rule }).await.map(|_| ())
    }

    /// Moves a chain to a newer format: from this node's next block on, its blocks are of this version, and so are those of
    /// all who build on them. Until a block is posted nobody else hears of it, and it survives a restart. A version that is
    /// not newer than the present one changes nothing.
    ///
    /// It cannot be taken back once a block is out. Nodes whose program does not know the version keep what they have and
    /// stop following; blocks that others wrote meanwhile in the old version are merged.
    /// [`ChainDetails::head_formats`] tells how far it is.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown), [`PublicError::NotJoined`](crate::PublicError::NotJoined) or
    /// [`PublicError::Leaving`](crate::PublicError::Leaving).
    pub async fn upgrade_chain(&self, chain: &str, version: FormatVersion) -> Result<(), NodeError> {
        self.ask_chain(ChainCommand::Upgrade { chain: chain.to_owned(), version }).await.map(|_| ())
    }

    pub(crate) async fn ask_chain(&self, command: ChainCommand) -> Result<ChainAnswer, NodeError> {
        match self.ask(Command::Chain(command)).await? {
            Answer::Chain(answer) => Ok(answer),
            other => mismatch(&other),
        }
    }
}

/// What the beginning of an id stands for; see [`Node::block_of_chain`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Beginning {
    /// No block that is shown here.
    None,
    /// One block.
    One(Box<ChainEntry>),
    /// Several, of which these are two.
    Several([BlockId; 2]),
}

/// A join under way; see [`Node::join_chain`]. It goes on if this is dropped, for as long as the node runs.
#[derive(Debug)]
pub struct ChainJoin {
    node: Node,
    answered: oneshot::Receiver<Result<Answer, EngineError>>,
    progress: Progressing,
    inviters: Vec<PeerId>,
}

impl ChainJoin {
    /// Waits for progress and gives the newest; `None` once the join has ended. Safe to cancel.
    pub async fn progress(&mut self) -> Option<walytis_engine::Progress> {
        self.progress.next().await
    }

    /// Waits until everything that the inviter had is here, and gives the chain.
    ///
    /// # Errors
    /// [`PublicError::Code`](crate::PublicError::Code) for a code that cannot be read,
    /// [`PublicError::NoInviter`](crate::PublicError::NoInviter), [`PublicError::Refused`](crate::PublicError::Refused),
    /// [`PublicError::Interrupted`](crate::PublicError::Interrupted),
    /// [`PublicError::AlreadyFollowed`](crate::PublicError::AlreadyFollowed),
    /// [`PublicError::AlreadyJoining`](crate::PublicError::AlreadyJoining),
    /// [`PublicError::OtherKind`](crate::PublicError::OtherKind) or
    /// [`PublicError::PrivateGenesis`](crate::PublicError::PrivateGenesis) if the id is no public chain's,
    /// [`PublicError::Leaving`](crate::PublicError::Leaving) if the chain is deleted meanwhile, or one of a name; or
    /// [`NodeError::Closed`] if
    /// the node is shut down before.
    pub async fn finish(self) -> Result<ChainSummary, NodeError> {
        let answer = self.node.answer(self.answered).await?;
        match answer.map_err(|error| self.node.why_not_joined(&self.inviters, error))? {
            Answer::Chain(ChainAnswer::Chain(chain)) => Ok(chain),
            other => mismatch(&other),
        }
    }
}
