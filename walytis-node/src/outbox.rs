//! What goes out to the network, so that nobody waits for a slow peer but that peer.

use std::collections::HashMap;
use std::sync::Arc;

use crate::machine::Event;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use walytis_core::{Address, Merit, Network, NetworkError, PeerId, Route};

use crate::lane::{Class, Queue};
use crate::request::{NetworkReply, Notice};

/// How many bytes may wait for one peer, beside what its transport takes. A peer that falls further behind is
/// disconnected: it catches up by heads when it comes back, which costs it less than what waits here costs us. Four of
/// the longest frames.
const LANE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What the network is asked for beside sending, in order.
enum Order {
    Listen(Address, NetworkReply),
    Dial(Address, Option<NetworkReply>),
    Disconnect(PeerId),
    Find(PeerId),
    Merit(PeerId, Merit),
    Routes(oneshot::Sender<Vec<Route>>),
}

/// The frames that wait for one peer, and the task that sends them.
struct Lane {
    queue: Arc<Queue>,
    merit: Merit,
    task: AbortHandle,
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The way to the network.
pub(crate) struct Outbox {
    network: Arc<dyn Network>,
    orders: UnboundedSender<Order>,
    lanes: HashMap<PeerId, Lane>,
    tasks: JoinSet<()>,
}

impl Outbox {
    pub(crate) fn start(network: Arc<dyn Network>, notices: UnboundedSender<Notice>) -> Self {
        let (orders, given) = unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(carry_out(Arc::clone(&network), given, notices));
        Self { network, orders, lanes: HashMap::new(), tasks }
    }

    /// A peer can be sent frames from now on.
    pub(crate) fn connected(&mut self, peer: PeerId) {
        // Lanes that have ended are let go here, so that their number is bounded by that of connections.
        while self.tasks.try_join_next().is_some() {}
        let queue = Arc::new(Queue::default());
        let task = self.tasks.spawn(send_all(Arc::clone(&self.network), peer, Arc::clone(&queue)));
        self.lanes.insert(peer, Lane { queue, merit: Merit::Stranger, task });
    }

    /// A peer is gone, and with it what waits for it.
    pub(crate) fn disconnected(&mut self, peer: PeerId) {
        self.lanes.remove(&peer);
    }

    /// Queues a frame to a peer, behind all earlier ones. One to a peer that is gone is lost, as one under way is.
    pub(crate) fn send(&mut self, peer: PeerId, frame: Vec<u8>) {
        let Some(lane) = self.lanes.get(&peer) else { return };
        let (bytes, behind) = lane.queue.push(frame);
        if bytes > LANE_BYTES_MAX && !walytis_core::mutant!(WaitForSlow) {
            tracing::info!(%peer, "disconnecting a peer that is too slow; it can catch up later");
            self.disconnect(peer);
        } else if behind > 0 {
            self.make_room(Class::of(lane.merit));
        }
    }

    /// Disconnects whoever is furthest behind, if too much waits for all peers of a class.
    fn make_room(&mut self, class: Class) {
        let lanes = self.lanes.iter().filter(|(_, lane)| Class::of(lane.merit) == class);
        let behind: Vec<_> = lanes.map(|(peer, lane)| (lane.queue.behind(), *peer)).collect();
        let all = behind.iter().fold(0_usize, |all, (bytes, _)| all.saturating_add(*bytes));
        if all > class.bytes_max()
            && let Some((_, peer)) = behind.into_iter().max()
        {
            tracing::info!(%peer, "disconnecting the slowest peer, since too much waits for all; it can catch up later");
            self.disconnect(peer);
        }
    }

    /// Ends the connections to a peer, without waiting for what is queued to it.
    pub(crate) fn disconnect(&mut self, peer: PeerId) {
        self.lanes.remove(&peer);
        let _ = self.orders.send(Order::Disconnect(peer));
    }

    /// Dials an address, and tells whoever asks whether the network could begin to.
    pub(crate) fn dial(&self, address: Address, answer: Option<NetworkReply>) {
        let _ = self.orders.send(Order::Dial(address, answer));
    }

    /// Looks for a peer's addresses.
    pub(crate) fn find(&self, peer: PeerId) {
        let _ = self.orders.send(Order::Find(peer));
    }

    /// Says what a peer has earned.
    pub(crate) fn set_merit(&mut self, peer: PeerId, merit: Merit) {
        if let Some(lane) = self.lanes.get_mut(&peer) {
            lane.merit = lane.merit.once_said(merit);
        }
        let _ = self.orders.send(Order::Merit(peer, merit));
    }

    /// Says how connected peers are reached.
    pub(crate) fn routes(&self, answer: oneshot::Sender<Vec<Route>>) {
        let _ = self.orders.send(Order::Routes(answer));
    }

    pub(crate) fn listen(&self, address: Address, answer: NetworkReply) {
        let _ = self.orders.send(Order::Listen(address, answer));
    }

    /// Ends every task, so that nothing here holds the network any more.
    pub(crate) async fn close(mut self) {
        self.lanes.clear();
        self.tasks.shutdown().await;
    }
}

async fn carry_out(network: Arc<dyn Network>, mut orders: UnboundedReceiver<Order>, notices: UnboundedSender<Notice>) {
    // A caller that no longer waits for an answer loses nothing.
    while let Some(order) = orders.recv().await {
        match order {
            Order::Disconnect(peer) => network.disconnect(peer).await,
            Order::Find(peer) => network.find(peer).await,
            Order::Merit(peer, merit) => network.set_merit(peer, merit).await,
            Order::Routes(answer) => drop(answer.send(network.routes().await)),
            Order::Listen(address, answer) => drop(answer.send(network.listen(address).await)),
            Order::Dial(address, answer) => {
                let dialled = network.dial(address.clone()).await;
                if let Err(error) = &dialled {
                    tracing::debug!(%address, %error, "not dialled");
                    let _ = notices.send(Notice::Event(Event::DialFailed(address)));
                }
                drop(answer.map(|answer| answer.send(dialled)));
            }
        }
    }
}

/// Sends frames to a peer one after the other, until it is gone.
async fn send_all(network: Arc<dyn Network>, peer: PeerId, queue: Arc<Queue>) {
    loop {
        let frame = queue.next().await;
        match network.send(peer, frame).await {
            Ok(()) => queue.sent(),
            Err(NetworkError::NotConnected { .. } | NetworkError::Closed) => return,
            Err(error) => {
                // Going on would leave a gap, which the peer could not tell from a frame that we never meant to send.
                tracing::error!(%peer, %error, "a frame was refused, which is a bug");
                network.disconnect(peer).await;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::Notify;
    use walytis_core::NetworkEvent;

    use super::*;

    const SLOW: PeerId = PeerId([1; 32]);
    const QUICK: PeerId = PeerId([2; 32]);

    /// Strangers and followers that take nothing, by their first bytes; members are not among them.
    const STRANGERS: std::ops::Range<u8> = 10..40;

    /// A network on which some peers take nothing, and whose calls are noted.
    #[derive(Default)]
    struct Wire {
        calls: Mutex<Vec<String>>,
        called: Notify,
    }

    impl Wire {
        fn note(&self, call: String) {
            self.calls.lock().unwrap().push(call);
            self.called.notify_one();
        }

        async fn until(&self, call: &str) {
            while !self.calls.lock().unwrap().iter().any(|noted| noted == call) {
                self.called.notified().await;
            }
        }
    }

    #[async_trait::async_trait]
    impl Network for Wire {
        fn local_peer(&self) -> PeerId {
            PeerId([0; 32])
        }

        async fn listen(&self, _: Address) -> Result<(), NetworkError> {
            Ok(())
        }

        async fn dial(&self, address: Address) -> Result<(), NetworkError> {
            self.note(format!("dial {address}"));
            Err(NetworkError::Address { address, reason: "by the test".to_owned() })
        }

        async fn send(&self, peer: PeerId, frame: Vec<u8>) -> Result<(), NetworkError> {
            if peer == SLOW || STRANGERS.contains(&peer.0[0]) {
                std::future::pending::<()>().await;
            }
            self.note(format!("{}: {frame:?}", peer.0[0]));
            Ok(())
        }

        async fn disconnect(&self, peer: PeerId) {
            self.note(format!("disconnect {}", peer.0[0]));
        }

        async fn next(&self) -> Option<NetworkEvent> {
            None
        }
    }

    #[tokio::test]
    async fn a_slow_peer_holds_up_nobody_else_and_is_let_go_at_its_bound() {
        let (notices, mut noticed) = unbounded_channel();
        let wire = Arc::new(Wire::default());
        let mut outbox = Outbox::start(Arc::clone(&wire) as Arc<dyn Network>, notices);
        outbox.connected(SLOW);
        outbox.connected(QUICK);
        let frame = vec![0; 1024 * 1024];
        for number in 0..7 {
            outbox.send(SLOW, frame.clone());
            outbox.send(QUICK, vec![number]);
        }
        wire.until("2: [6]").await;
        let sent: Vec<String> = (0..7).map(|number| format!("2: [{number}]")).collect();
        assert_eq!(*wire.calls.lock().unwrap(), sent, "in order, and the slow one is still connected");

        outbox.send(SLOW, frame.clone());
        wire.until("disconnect 1").await;
        outbox.send(SLOW, frame);
        assert_eq!(outbox.lanes.len(), 1);

        let address = Address::new("/nowhere").unwrap();
        let (reply, answered) = tokio::sync::oneshot::channel();
        outbox.dial(address.clone(), Some(reply));
        assert!(matches!(answered.await, Ok(Err(NetworkError::Address { .. }))));
        assert!(matches!(noticed.recv().await, Some(Notice::Event(Event::DialFailed(failed))) if failed == address));
        outbox.close().await;
        assert_eq!(Arc::strong_count(&wire), 1, "nothing holds the network any more");
    }

    /// Such peers that take nothing, beside a member that takes nothing either, and waits within its own bound.
    async fn together_have_a_bound_that_no_member_pays_for(merit: Merit) {
        let (notices, _noticed) = unbounded_channel();
        let wire = Arc::new(Wire::default());
        let mut outbox = Outbox::start(Arc::clone(&wire) as Arc<dyn Network>, notices);
        let frame = vec![0; 1024 * 1024];
        outbox.connected(SLOW);
        outbox.set_merit(SLOW, Merit::Member);
        (0..7).for_each(|_| outbox.send(SLOW, frame.clone()));
        // One frame each, under way or not, lets nobody go.
        for number in STRANGERS {
            outbox.connected(PeerId([number; 32]));
            outbox.set_merit(PeerId([number; 32]), merit);
            outbox.send(PeerId([number; 32]), frame.clone());
        }
        assert_eq!(outbox.lanes.len(), 1 + STRANGERS.len());
        for _ in 0..3 {
            STRANGERS.for_each(|number| outbox.send(PeerId([number; 32]), frame.clone()));
            let crowd = outbox.lanes.iter().filter(|(_, lane)| lane.merit == merit);
            let behind: usize = crowd.map(|(_, lane)| lane.queue.behind()).sum();
            assert!(behind <= Class::of(merit).bytes_max(), "{behind} of {merit:?}");
        }
        assert!(outbox.lanes.len() < 1 + STRANGERS.len(), "some had to go");
        assert!(outbox.lanes.contains_key(&SLOW), "the member waits within its own bound");
        outbox.close().await;
    }

    #[tokio::test]
    async fn strangers_and_followers_together_have_a_bound_that_no_member_pays_for() {
        for merit in [Merit::Stranger, Merit::Invited, Merit::Follower] {
            together_have_a_bound_that_no_member_pays_for(merit).await;
        }
    }
}
