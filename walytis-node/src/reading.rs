//! The handle's methods about named subscriptions of public chains.

use std::sync::Arc;

use tokio::sync::oneshot;
use walytis_engine::public::{ChainAnswer, ChainCommand, DeliveryAnswer, DeliveryCommand, Letter, SubscriptionSummary};

use crate::chain_reader::{ChainReader, Reading};
use crate::chain_subscription::News;
use crate::error::NodeError;
use crate::machine::Command;
use crate::node::{Node, mismatch};
use crate::request::{Request, Waiter};

/// Named subscriptions of public chains: what an application has handled is kept in the store, so it goes on where it
/// was. They are this node's own, and go with the chain when that is deleted.
impl Node {
    /// Begins to read a chain under a name: what was not handled yet, then what arrives.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown), [`DeliveryError::BadName`](crate::DeliveryError::BadName),
    /// [`DeliveryError::TooMany`](crate::DeliveryError::TooMany) or, while somebody else reads under the name,
    /// [`DeliveryError::Live`](crate::DeliveryError::Live).
    pub async fn read_chain(&self, chain: &str, reading: Reading) -> Result<ChainReader, NodeError> {
        let (reply, answered) = oneshot::channel();
        let news = Arc::new(News::default());
        let (chain, name, start) = (chain.to_owned(), reading.name.clone(), reading.start);
        let command =
            Command::Chain(ChainCommand::Delivery(DeliveryCommand::Open { chain: chain.clone(), name, start }));
        self.request(Request::Command(command, Waiter::Follower(reply, Arc::clone(&news)))).await?;
        let (_, subscribed) = self.answer(answered).await??;
        Ok(ChainReader::new(self.clone(), chain, subscribed, news, reading))
    }

    /// A chain's named subscriptions.
    ///
    /// # Errors
    /// [`PublicError::Unknown`](crate::PublicError::Unknown).
    pub async fn chain_subscriptions(&self, chain: &str) -> Result<Vec<SubscriptionSummary>, NodeError> {
        match self.ask_delivery(DeliveryCommand::List { chain: chain.to_owned() }).await? {
            DeliveryAnswer::Subscriptions(subscriptions) => Ok(subscriptions),
            other => mismatch(&other),
        }
    }

    /// A subscription's dead letters from a position on, and where to go on if there are more: a page ends after about 4
    /// MiB of content.
    ///
    /// # Errors
    /// [`DeliveryError::Unknown`](crate::DeliveryError::Unknown).
    pub async fn chain_letters(
        &self,
        chain: &str,
        name: &str,
        from: u64,
    ) -> Result<(Vec<Letter>, Option<u64>), NodeError> {
        let command = DeliveryCommand::Letters { chain: chain.to_owned(), name: name.to_owned(), from };
        match self.ask_delivery(command).await? {
            DeliveryAnswer::Letters { letters, next } => Ok((letters, next)),
            other => mismatch(&other),
        }
    }

    /// Has a dead letter, or all, handed out again to whoever reads under the name, now or next. Gives how many.
    ///
    /// # Errors
    /// [`DeliveryError::Unknown`](crate::DeliveryError::Unknown) or [`DeliveryError::NoLetter`](crate::DeliveryError::NoLetter).
    pub async fn replay_chain_letters(&self, chain: &str, name: &str, position: Option<u64>) -> Result<u32, NodeError> {
        let (chain, name) = (chain.to_owned(), name.to_owned());
        self.change_letters(DeliveryCommand::Replay { chain, name, position }).await
    }

    /// Throws a dead letter away, or all; the blocks stay on the chain. Gives how many.
    ///
    /// # Errors
    /// As [`Node::replay_chain_letters`].
    pub async fn discard_chain_letters(
        &self,
        chain: &str,
        name: &str,
        position: Option<u64>,
    ) -> Result<u32, NodeError> {
        let (chain, name) = (chain.to_owned(), name.to_owned());
        self.change_letters(DeliveryCommand::Discard { chain, name, position }).await
    }

    /// Forgets a subscription that nobody reads, with its cursor and its dead letters.
    ///
    /// # Errors
    /// [`DeliveryError::Unknown`](crate::DeliveryError::Unknown) or [`DeliveryError::Live`](crate::DeliveryError::Live).
    pub async fn forget_chain_subscription(&self, chain: &str, name: &str) -> Result<(), NodeError> {
        let command = DeliveryCommand::Forget { chain: chain.to_owned(), name: name.to_owned() };
        self.ask_chain(ChainCommand::Delivery(command)).await.map(|_| ())
    }

    async fn change_letters(&self, command: DeliveryCommand) -> Result<u32, NodeError> {
        match self.ask_delivery(command).await? {
            DeliveryAnswer::Changed { letters } => Ok(letters),
            other => mismatch(&other),
        }
    }

    async fn ask_delivery(&self, command: DeliveryCommand) -> Result<DeliveryAnswer, NodeError> {
        match self.ask_chain(ChainCommand::Delivery(command)).await? {
            ChainAnswer::Delivery(answer) => Ok(answer),
            other => mismatch(&other),
        }
    }
}
