//! A relay between hosts that have no other way to each other: it carries datagrams and connections, and loses, delays,
//! slows and cuts them as its weather says. For kernels without netem, and alike on all.

mod connections;
mod datagrams;
mod weather;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

pub(crate) use weather::Weather;

use weather::SplitMix;

/// What all relays share: how the weather is, and what was done so far.
#[derive(Clone, Default)]
pub(crate) struct Sky {
    weather: Arc<Mutex<Weather>>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    carried: AtomicU64,
    lost: AtomicU64,
    cut: AtomicU64,
}

/// What relays did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Deeds {
    /// Datagrams, or pieces of connections.
    pub(crate) carried: u64,
    pub(crate) lost: u64,
    pub(crate) cut: u64,
}

impl Sky {
    pub(crate) fn change(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    fn now(&self) -> Weather {
        *lock(&self.weather)
    }

    /// What was done since this was asked last.
    pub(crate) fn take_deeds(&self) -> Deeds {
        let take = |count: &AtomicU64| count.swap(0, Ordering::Relaxed);
        Deeds { carried: take(&self.counts.carried), lost: take(&self.counts.lost), cut: take(&self.counts.cut) }
    }

    /// Carries datagrams that come to this address on to the other, and the answers back; gives the port. It goes on
    /// until the program ends.
    ///
    /// # Errors
    /// There is no such address here.
    pub(crate) fn relay_datagrams(&self, at: SocketAddr, to: SocketAddr, seed: u64) -> Result<u16> {
        datagrams::relay(self.clone(), at, to, SplitMix(seed))
    }

    /// The same for connections.
    ///
    /// # Errors
    /// There is no such address here.
    pub(crate) fn relay_connections(&self, at: SocketAddr, to: SocketAddr, seed: u64) -> Result<u16> {
        connections::relay(self.clone(), at, to, SplitMix(seed))
    }
}

fn add_one(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// A value that is whole between any two statements, so that a panic elsewhere does not spoil it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
