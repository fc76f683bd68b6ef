//! Who waits for what: commands under way and subscriptions, by their tickets.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedSender;
use walytis_core::{Address, StoreError};
use walytis_engine::public::ChainAnswer;
use walytis_engine::{Progress, Ticket};

use crate::chain_subscription::News;
#[cfg(feature = "offchain")]
use crate::delivery::Deliveries;
use crate::machine::{Answer, Delivery, EngineError};
use crate::node::mismatch;
use crate::request::{NetworkReply, Notice, Subscribed, Waiter};

/// Everyone who waits. Whoever still does when it is dropped hears so.
pub(crate) struct Waiting {
    tickets: u64,
    waiters: HashMap<Ticket, Waiter>,
    #[cfg(feature = "offchain")]
    subscribers: HashMap<Ticket, Arc<Deliveries>>,
    followers: HashMap<Ticket, Arc<News>>,
    notices: UnboundedSender<Notice>,
}

impl Waiting {
    pub(crate) fn new(notices: UnboundedSender<Notice>) -> Self {
        Self {
            tickets: 0,
            waiters: HashMap::new(),
            #[cfg(feature = "offchain")]
            subscribers: HashMap::new(),
            followers: HashMap::new(),
            notices,
        }
    }

    /// A new ticket, under which the waiter, if any, will be found.
    pub(crate) fn ticket(&mut self, waiter: Option<Waiter>) -> Ticket {
        let ticket = Ticket(self.tickets);
        self.tickets = self.tickets.wrapping_add(1);
        if let Some(waiter) = waiter {
            self.waiters.insert(ticket, waiter);
        }
        ticket
    }

    /// Gives an answer to whoever waits for it. One who no longer does loses nothing.
    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Result<Answer, EngineError>) {
        match self.waiters.remove(&ticket) {
            Some(Waiter::Answer(reply) | Waiter::Progress(reply, _)) => drop(reply.send(answer)),
            // The engine saw no need to dial.
            Some(Waiter::Connect(_, reply)) => drop(reply.send(Ok(()))),
            Some(Waiter::Follower(reply, news)) => {
                let subscribed = answer.map(|answer| {
                    let (chain, from) = match answer {
                        Answer::Chain(ChainAnswer::Subscribed { chain, from }) => (chain, from),
                        other => mismatch(&other),
                    };
                    self.followers.insert(ticket, news);
                    (chain, Subscribed { ticket, from, notices: self.notices.clone() })
                });
                drop(reply.send(subscribed));
            }
            #[cfg(feature = "offchain")]
            Some(Waiter::Subscriber(reply, deliveries)) => {
                let subscribed = answer.map(|answer| {
                    let from = if let Answer::Subscribed { from } = answer { from } else { 0 };
                    deliveries.begin(from);
                    self.subscribers.insert(ticket, deliveries);
                    Subscribed { ticket, from, notices: self.notices.clone() }
                });
                drop(reply.send(subscribed));
            }
            #[cfg(feature = "offchain")]
            Some(Waiter::Behind(missed, deliveries)) => match answer {
                Ok(Answer::Page(page)) => deliveries.fill(missed, page.entries),
                Ok(_) | Err(_) => deliveries.end(),
            },
            None => {}
        }
    }

    /// Answers whoever waits that there was no room. A subscriber that is behind asks again.
    pub(crate) fn not_written(&mut self, ticket: Ticket, reason: StoreError) {
        #[cfg(feature = "offchain")]
        if let Some(Waiter::Behind(_, deliveries)) = self.waiters.get(&ticket) {
            deliveries.read_again();
            self.waiters.remove(&ticket);
            return;
        }
        self.answer(ticket, Err(reason.into()));
    }

    /// Tells of progress.
    pub(crate) fn progress(&self, ticket: Ticket, progress: Progress) {
        if let Some(Waiter::Progress(_, watch)) = self.waiters.get(&ticket) {
            watch.send_replace(Some(progress));
        }
    }

    /// Who wants to know whether an address can be dialled, if someone does.
    pub(crate) fn connecting(&mut self, address: &Address) -> Option<NetworkReply> {
        let wants = |waiter: &Waiter| matches!(waiter, Waiter::Connect(wanted, _) if wanted == address);
        let ticket = self.waiters.iter().find(|(_, waiter)| wants(waiter)).map(|(ticket, _)| *ticket)?;
        match self.waiters.remove(&ticket) {
            Some(Waiter::Connect(_, reply)) => Some(reply),
            _ => None,
        }
    }

    /// Hands a delivery to its subscriber.
    pub(crate) fn deliver(&self, subscription: Ticket, delivery: Delivery) {
        match delivery {
            Delivery::Chain(entry) => {
                if let Some(news) = self.followers.get(&subscription) {
                    news.tell(entry);
                }
            }
            Delivery::ChainEnded => {
                if let Some(news) = self.followers.get(&subscription) {
                    news.end();
                }
            }
            #[cfg(feature = "offchain")]
            delivery => {
                if let Some(deliveries) = self.subscribers.get(&subscription) {
                    deliveries.push(delivery);
                }
            }
            #[cfg(not(feature = "offchain"))]
            _ => {}
        }
    }

    /// Forgets a subscriber.
    pub(crate) fn forget(&mut self, subscription: Ticket) {
        #[cfg(feature = "offchain")]
        self.subscribers.remove(&subscription);
        self.followers.remove(&subscription);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        #[cfg(feature = "offchain")]
        self.subscribers.values().for_each(|deliveries| deliveries.end());
        self.followers.values().for_each(|news| news.end());
    }
}

#[cfg(all(test, feature = "offchain"))]
mod tests {
    use super::*;
    use crate::delivery::{Found, Missed};

    #[test]
    fn a_subscriber_that_is_behind_asks_again_where_there_was_no_room() {
        let deliveries = Arc::new(Deliveries::default());
        deliveries.fall_behind();
        assert_eq!(deliveries.begin_reading(), Some(Missed::Blocks(0)));
        let mut waiting = Waiting::new(tokio::sync::mpsc::unbounded_channel().0);
        let ticket = waiting.ticket(Some(Waiter::Behind(Missed::Blocks(0), Arc::clone(&deliveries))));
        waiting.not_written(ticket, StoreError::Full { reason: "full".to_owned() });
        assert_eq!(deliveries.take(), Found::Missed);
        assert_eq!(deliveries.begin_reading(), Some(Missed::Blocks(0)));
    }
}
