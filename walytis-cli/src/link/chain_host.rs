//! The node's side: public chains.

use walytis_node::{FormatVersion, Listing, Sharing};

use super::chain_views::{ChainDetailsView, ChainView};
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
            Request::Chain { chain } => Reply::ChainDetails(ChainDetailsView::from(self.node.chain(&chain).await?)),
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
                Reply::ChainDetails(ChainDetailsView::from(self.node.chain(&chain).await?))
            }
            Request::JoinChain { code, name } => Reply::Chain(self.join_chain(&code, name.as_deref()).await?),
            Request::ReadChain { chain, topic, follow } => {
                let topic = topic.map(serde_bytes::ByteBuf::into_vec);
                return match follow {
                    true => self.follow_chain(&chain, topic).await,
                    false => self.list_chain(&chain, topic, None).await,
                };
            }
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

    async fn list_chain(&self, chain: &str, topic: Option<Vec<u8>>, below: Option<u64>) -> Result<(), Ended> {
        let mut pager = self.node.list_chain(chain, Listing { topic, below });
        while let Some(page) = pager.next_page().await? {
            for entry in page {
                self.say(Reply::Entry(entry.into())).await?;
            }
        }
        Ok(())
    }

    /// Tells of what is here, then of what arrives, until the command is gone.
    async fn follow_chain(&mut self, chain: &str, topic: Option<Vec<u8>>) -> Result<(), Ended> {
        let mut subscription = self.node.follow_chain(chain).await?;
        self.list_chain(chain, topic.clone(), Some(subscription.from())).await?;
        self.say(Reply::CaughtUp).await?;
        loop {
            let entry = tokio::select! {
                entry = subscription.next() => entry,
                _ = self.requests.recv() => return Err(Ended::Gone),
            };
            let entry = entry.ok_or_else(|| Ended::from(walytis_node::NodeError::Closed))?;
            if topic.as_ref().is_none_or(|topic| entry.topics.iter().any(|each| each == topic)) {
                self.say(Reply::Entry(entry.into())).await?;
            }
        }
    }
}
