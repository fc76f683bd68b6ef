//! Bytes that wait here, over all peers: frames that are half read or not taken by the caller yet, and frames that a peer
//! has not taken.
//!
//! A frame is paid for before there is room made for it, and what it cost is given back when it is gone. Each connection has
//! a little of its own, so that short frames pass whoever hoards long ones. Strangers together, strangers from one address,
//! and together those that were merely invited or proved themselves on a public chain, have a part of the rest only.
//!
//! **Invariant:** what strangers hold never makes a peer wait that has earned something, and what all but members hold never
//! makes a member wait: the parts of the two classes leave members room, and whoever waits for its class's part is not in
//! the queue for the whole yet. What waits one way never makes anything wait the other way, or two nodes could wait for each
//! other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use walytis_core::{FRAME_BYTES_MAX, Merit};

use crate::origin::Prefix;

/// What one way may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes over all peers.
    pub(crate) all: usize,
    /// Bytes of all strangers together.
    pub(crate) strangers: usize,
    /// Bytes of those together who were invited or follow a public chain. Their keys are free, too.
    pub(crate) proven: usize,
}

const MIB: usize = 1024 * 1024;

/// Bytes of frames that are half read, or wait for the caller. Peers queue up fairly for a share.
pub(crate) const INBOUND: Limits = Limits { all: 16 * MIB, strangers: 6 * MIB, proven: 5 * MIB };

/// Bytes of frames that wait for their peers.
pub(crate) const OUTBOUND: Limits = Limits { all: 24 * MIB, strangers: 9 * MIB, proven: 7 * MIB };

/// Bytes of strangers from one IPv4 address or IPv6 /64, each way: one of the longest frames, and some.
pub(crate) const NARROW_BYTES_MAX: usize = 3 * MIB;

/// Bytes each way that are a connection's own: a handshake of a session, or a hundred greetings.
pub(crate) const OWN_BYTES: usize = 32 * 1024;

/// What a queued frame or an event costs beside its bytes, so that small ones are bounded too.
pub(crate) const ENTRY_BYTES: usize = 256;

const _: () = assert!(FRAME_BYTES_MAX + ENTRY_BYTES <= NARROW_BYTES_MAX);
const _: () = assert!(2 * NARROW_BYTES_MAX <= INBOUND.strangers && INBOUND.leaves_members_room());
const _: () = assert!(2 * NARROW_BYTES_MAX <= OUTBOUND.strangers && OUTBOUND.leaves_members_room());

impl Limits {
    /// Whether both lower classes take two of the longest frames, and leave members as many.
    const fn leaves_members_room(self) -> bool {
        let two = 2 * (FRAME_BYTES_MAX + ENTRY_BYTES);
        two <= self.strangers && two <= self.proven && self.strangers + self.proven + two <= self.all
    }
}

/// The price of so many bytes.
pub(crate) fn price(bytes: usize) -> u32 {
    u32::try_from(bytes.saturating_add(ENTRY_BYTES)).unwrap_or(u32::MAX)
}

/// What was paid. It is given back when this is dropped.
pub(crate) struct Paid {
    _shares: [Option<OwnedSemaphorePermit>; 3],
}

impl Paid {
    pub(crate) const fn one(share: OwnedSemaphorePermit) -> Self {
        Self { _shares: [Some(share), None, None] }
    }
}

/// As what a peer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Stranger,
    /// It was invited, or follows a public chain.
    Proven,
    Member,
    /// It is gone: nothing is paid for it any more.
    Gone,
}

impl From<Merit> for Standing {
    fn from(merit: Merit) -> Self {
        match merit {
            Merit::Stranger => Self::Stranger,
            Merit::Invited | Merit::Follower => Self::Proven,
            Merit::Member => Self::Member,
        }
    }
}

/// One way's bytes.
pub(crate) struct Budget {
    all: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    proven: Arc<Semaphore>,
    near: Mutex<HashMap<Prefix, Weak<Semaphore>>>,
}

impl Budget {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            all: Arc::new(Semaphore::new(limits.all)),
            strangers: Arc::new(Semaphore::new(limits.strangers)),
            proven: Arc::new(Semaphore::new(limits.proven)),
            near: Mutex::default(),
        }
    }

    /// What a connection from there pays from.
    pub(crate) fn purse(self: &Arc<Self>, from: Prefix, standing: watch::Receiver<Standing>) -> Purse {
        // Nothing inside can panic halfway.
        let mut near = self.near.lock().unwrap_or_else(PoisonError::into_inner);
        near.retain(|_, shared| shared.strong_count() > 0);
        let shared = near.get(&from).and_then(Weak::upgrade).unwrap_or_else(|| {
            let new = Arc::new(Semaphore::new(NARROW_BYTES_MAX));
            near.insert(from, Arc::downgrade(&new));
            new
        });
        Purse { budget: Arc::clone(self), own: Arc::new(Semaphore::new(OWN_BYTES)), near: shared, standing }
    }
}

/// What one connection pays from, one way.
#[derive(Clone)]
pub(crate) struct Purse {
    budget: Arc<Budget>,
    own: Arc<Semaphore>,
    near: Arc<Semaphore>,
    standing: watch::Receiver<Standing>,
}

impl Purse {
    /// Pays for so many bytes, waiting for it; `None` once the peer is gone. Waiters of a class are served in order. Who earns
    /// something meanwhile goes on waiting as that.
    pub(crate) async fn pay(&self, bytes: usize) -> Option<Paid> {
        let price = price(bytes);
        let mut standing = self.standing.clone();
        loop {
            let now = *standing.borrow_and_update();
            if now == Standing::Gone {
                return None;
            }
            if let Ok(own) = Arc::clone(&self.own).try_acquire_many_owned(price) {
                return Some(Paid::one(own));
            }
            let is_short = usize::try_from(price).is_ok_and(|price| price <= OWN_BYTES);
            tokio::select! {
                own = Arc::clone(&self.own).acquire_many_owned(price), if is_short => return own.ok().map(Paid::one),
                shared = self.shared(price, now) => return shared,
                changed = standing.changed() => changed.ok()?,
            }
        }
    }

    async fn shared(&self, price: u32, standing: Standing) -> Option<Paid> {
        let acquire = |from: &Arc<Semaphore>| Arc::clone(from).acquire_many_owned(price);
        let (near, class) = match standing {
            Standing::Stranger => (Some(acquire(&self.near).await.ok()?), Some(&self.budget.strangers)),
            Standing::Proven => (None, Some(&self.budget.proven)),
            Standing::Member | Standing::Gone => (None, None),
        };
        // The class comes first: whoever waited in the queue for the whole meanwhile would hold up members behind it.
        let class = match class {
            Some(class) => Some(acquire(class).await.ok()?),
            None => None,
        };
        Some(Paid { _shares: [near, class, Some(acquire(&self.budget.all).await.ok()?)] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Poll;

    const LONG: usize = FRAME_BYTES_MAX;

    /// Pays if that takes no waiting.
    fn at_once(purse: &Purse, bytes: usize) -> Option<Paid> {
        let mut paying = std::pin::pin!(purse.pay(bytes));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match paying.as_mut().poll(&mut cx) {
            Poll::Ready(paid) => paid,
            Poll::Pending => None,
        }
    }

    /// What as many peers, each from another address, can hold by frames of this length.
    fn held(
        budget: &Arc<Budget>,
        standing: Standing,
        peers: u32,
        bytes: usize,
    ) -> (Vec<Paid>, Vec<watch::Sender<Standing>>) {
        let (mut paid, mut senders) = (Vec::new(), Vec::new());
        for number in 0..peers {
            let (sender, receiver) = watch::channel(standing);
            let purse = budget.purse(Prefix::V4(number), receiver);
            paid.extend(std::iter::from_fn(|| at_once(&purse, bytes)));
            senders.push(sender);
        }
        (paid, senders)
    }

    #[test]
    fn strangers_leave_the_rest_to_those_with_merit_and_short_frames_pass() {
        let budget = Arc::new(Budget::new(INBOUND));
        let (strangers, _senders) = held(&budget, Standing::Stranger, 128, LONG);
        assert_eq!(strangers.len(), 2, "as many as fit into 6 MiB with what they cost beside");
        let (_sender, receiver) = watch::channel(Standing::Stranger);
        let one_more = budget.purse(Prefix::V4(1000), receiver);
        assert!(at_once(&one_more, LONG).is_none());
        assert!(at_once(&one_more, OWN_BYTES - ENTRY_BYTES).is_some(), "its own bytes");
        let (members, _senders) = held(&budget, Standing::Member, 128, LONG);
        assert_eq!(members.len(), 5, "what strangers leave over");
        drop(strangers);
        assert!(at_once(&one_more, LONG).is_some());
    }

    #[test]
    fn what_all_but_members_hold_and_wait_for_makes_no_member_wait() {
        for limits in [INBOUND, OUTBOUND] {
            let budget = Arc::new(Budget::new(limits));
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let mut crowd = Vec::new();
            for standing in [Standing::Stranger, Standing::Proven] {
                let (paid, senders) = held(&budget, standing, 128, LONG);
                assert!(paid.len() >= 2, "{standing:?}");
                let purse = budget.purse(Prefix::V4(1000), senders[0].subscribe());
                let mut waits = Box::pin(async move { purse.pay(LONG).await });
                assert!(waits.as_mut().poll(&mut cx).is_pending());
                crowd.push((paid, senders, waits));
            }
            let (members, _senders) = held(&budget, Standing::Member, 1, LONG);
            assert!(members.len() >= 2, "{} of members", members.len());
        }
    }

    #[test]
    fn those_of_one_address_share() {
        let budget = Arc::new(Budget::new(INBOUND));
        let (_sender, receiver) = watch::channel(Standing::Stranger);
        let [one, other] = [1, 1].map(|from| budget.purse(Prefix::V4(from), receiver.clone()));
        let elsewhere = budget.purse(Prefix::V4(2), receiver.clone());
        let _held = at_once(&one, LONG).unwrap();
        assert!(at_once(&other, LONG).is_none());
        assert!(at_once(&elsewhere, LONG).is_some());
    }

    #[test]
    fn who_earns_something_or_goes_waits_no_longer_as_a_stranger() {
        let budget = Arc::new(Budget::new(INBOUND));
        let (_held, _senders) = held(&budget, Standing::Stranger, 128, LONG);
        let (sender, receiver) = watch::channel(Standing::Stranger);
        let purse = budget.purse(Prefix::V4(1000), receiver);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut paying = Box::pin(purse.pay(LONG));
        assert!(paying.as_mut().poll(&mut cx).is_pending());
        sender.send_replace(Standing::Proven);
        assert!(matches!(paying.as_mut().poll(&mut cx), Poll::Ready(Some(_))));
        sender.send_replace(Standing::Stranger);
        let mut paying = Box::pin(purse.pay(LONG));
        assert!(paying.as_mut().poll(&mut cx).is_pending());
        sender.send_replace(Standing::Gone);
        assert!(matches!(paying.as_mut().poll(&mut cx), Poll::Ready(None)));
    }
}
