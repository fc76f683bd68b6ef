//! The node's side: public chains.

use walytis_node::{
    Ancestry, Beginning, BlockId, EngineError, FormatVersion, NodeError, PublicError, Query, Sharing, Standing,
};

use super::chain_views::ChainView;
use super::host::{Ended, Host};
use super::messages::{Reply, Request};

impl Host {
    /// Carries out a request about public chains.
    pub(super) async fn about_chains(&mut self, request: Request) -> Result<(), Ended> {
        let reply = match request {
            Request::NewChain { name } => Reply::Chain(self.node.new_chain(&name).await?.into()),
            Request::Chains => {
                for chain in self.node.chains().await? {
                    self.say(Reply::Chain(chain.into())).await?;
                }
                return Ok(());
            }
            Request::Chain { chain } => Reply::ChainDetails(Box::new(self.node.chain(&chain).await?.into())),
            Request::DeleteChain { chain } => Reply::Deleted { blocks: self.node.delete_chain(&chain).await? },
            Request::InviteToChain { chain, uses, shareable } => {
                let sharing = if shareable { Sharing::Joiners } else { Sharing::Inviter };
                Reply::ChainInvitation(self.node.invite_to_chain(&chain, uses, sharing).await?.into())
            }
            Request::ChainInvitations { chain } => {
                for invitation in self.node.chain_invitations(&chain).await? {
                    self.say(Reply::ChainInvitation(invitation.into())).await?;
                }
                return Ok(());
            }
            Request::RevokeChainInvitation { chain, invitation } => {
                self.node.revoke_chain_invitation(&chain, invitation).await?;
                Reply::Changed
            }
            Request::RuleChain { chain, rules } => {
                for rule in rules {
                    self.node.rule_chain(&chain, rule.into()).await?;
                }
                Reply::Changed
            }
            Request::UpgradeChain { chain } => {
                self.node.upgrade_chain(&chain, FormatVersion::NEWEST).await?;
                Reply::ChainDetails(Box::new(self.node.chain(&chain).await?.into()))
            }
            Request::JoinChain { code, name } => Reply::Chain(self.join_chain(&code, name.as_deref()).await?),
            Request::ReadChain { chain, query, at_most, follow } => {
                let query = Query::try_from(query).map_err(|error| Ended::Refused(error.to_string()))?;
                return match follow {
                    true => self.follow_chain(&chain, query).await,
                    false => self.list_chain(&chain, query, at_most).await,
                };
            }
            Request::CountChain { chain, query } => {
                let query = Query::try_from(query).map_err(|error| Ended::Refused(error.to_string()))?;
                Reply::Counted { blocks: self.node.count_chain(&chain, query).await? }
            }
            Request::Ancestry { chain, a, b } => self.ancestry(&chain, &a, &b).await?,
            other => return self.about_delivery(other).await,
        };
        self.say(reply).await
    }

    async fn join_chain(&self, code: &str, name: Option<&str>) -> Result<ChainView, Ended> {
        let mut join = self.node.join_chain(code, name).await?;
        while let Some(progress) = join.progress().await {
            self.say(Reply::Progress(progress.into())).await?;
        }
        Ok(join.finish().await?.into())
    }

    async fn ancestry(&self, chain: &str, a: &str, b: &str) -> Result<Reply, Ended> {
        let (a, b) = (self.block_of(chain, a).await?, self.block_of(chain, b).await?);
        let ancestry = match self.node.ancestry(chain, a, b).await? {
            Ancestry::Same => "same",
            Ancestry::Before => "before",
            Ancestry::After => "after",
            Ancestry::Concurrent => "concurrent",
        };
        Ok(Reply::Ancestry { a: a.to_string(), b: b.to_string(), ancestry: ancestry.to_owned() })
    }

    /// The block whose id begins so.
    async fn block_of(&self, chain: &str, id: &str) -> Result<BlockId, Ended> {
        // A whole id may be that of a block that is not shown.
        if let Ok(id) = id.parse() {
            return Ok(id);
        }
        let prefix = id.parse().map_err(|_| Ended::Refused("that is no beginning of an id".into()))?;
        match self.node.block_of_chain(chain, prefix).await? {
            Beginning::One(entry) => Ok(entry.id),
            Beginning::None => {
                Err(Ended::Refused(format!("no block's id begins with {id}: `chain read --json` prints the ids")))
            }
            Beginning::Several([one, other]) => Err(Ended::Refused(format!(
                "several blocks' ids begin with {id}, {one} and {other} too: give more digits"
            ))),
        }
    }

    async fn list_chain(&self, chain: &str, query: Query, at_most: Option<u64>) -> Result<(), Ended> {
        let mut pager = self.node.query_chain(chain, query).at_most(at_most.unwrap_or(u64::MAX));
        while let Some(page) = pager.next_page().await? {
            for entry in page {
                self.say(Reply::Entry(entry.into())).await?;
            }
        }
        Ok(())
    }

    /// Why nothing more of a chain comes: it was deleted, or else what the node says.
    pub(super) async fn why_it_ended(&self, chain: &str, says: NodeError) -> Ended {
        let deleted = match self.node.chain(chain).await {
            Ok(details) => details.summary.standing == Standing::Leaving,
            Err(error) => matches!(error, NodeError::Engine(EngineError::Public(PublicError::Unknown(_)))),
        };
        match deleted {
            true => Ended::Refused(format!("the chain {chain:?} was deleted here, so nothing more of it comes")),
            false => says.into(),
        }
    }

    /// Tells of what is here, then of what arrives, until the command is gone.
    async fn follow_chain(&mut self, chain: &str, query: Query) -> Result<(), Ended> {
        let mut subscription = self.node.follow_chain(chain).await?;
        let mut here = query.clone();
        // The genesis is here.
        here.positions.to = here.positions.to.min(subscription.from().saturating_sub(1));
        self.list_chain(chain, here, None).await?;
        self.say(Reply::CaughtUp).await?;
        loop {
            let entry = tokio::select! {
                entry = subscription.next() => entry,
                _ = self.requests.recv() => return Err(Ended::Gone),
            };
            let Some(entry) = entry else { return Err(self.why_it_ended(chain, NodeError::Closed).await) };
            if entry.fits(&query) {
                self.say(Reply::Entry(entry.into())).await?;
            }
        }
    }
}
