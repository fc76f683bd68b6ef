//! The addresses of this machine, as they come and go.

use std::net::IpAddr;
use std::time::Duration;

use if_watch::IfEvent;
use if_watch::tokio::IfWatcher;
use libp2p::futures::StreamExt;
use tokio::time::Instant;

/// How long is waited for more changes before the caller is told: one rarely comes alone.
const SETTLE: Duration = Duration::from_millis(250);

/// How often the caller is told at most: whoever can give this machine addresses must not have it dial everybody all the
/// time.
const PAUSE: Duration = Duration::from_secs(5);

/// Addresses that are gained so soon after the start are those that there were: the system lists them.
const START: Duration = Duration::from_secs(1);

/// What happened to one of this machine's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Lost(IpAddr),
    Gained(IpAddr),
}

/// Says which addresses this machine has lost and got.
pub(crate) struct Interfaces(Option<IfWatcher>);

impl Interfaces {
    /// Begins to watch. Without the system's help nothing is noticed, and the network works all the same.
    pub(crate) fn watch() -> Self {
        let watcher = IfWatcher::new();
        Self(watcher.inspect_err(|error| tracing::debug!(%error, "cannot watch this machine's addresses")).ok())
    }

    /// Waits for the next change. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Change {
        while let Some(watcher) = &mut self.0 {
            match watcher.next().await {
                Some(Ok(IfEvent::Up(network))) => return Change::Gained(network.addr()),
                Some(Ok(IfEvent::Down(network))) => {
                    // It may be there still, with another prefix.
                    if !watcher.iter().any(|other| other.addr() == network.addr()) {
                        return Change::Lost(network.addr());
                    }
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "changes of this machine's addresses are not noticed any more");
                    self.0 = None;
                }
                None => self.0 = None,
            }
        }
        std::future::pending().await
    }
}

/// When the caller is to be told that addresses have changed.
pub(crate) struct Settling {
    begun: Instant,
    earliest: Instant,
    due: Option<Instant>,
}

impl Settling {
    pub(crate) fn new(now: Instant) -> Self {
        Self { begun: now, earliest: now, due: None }
    }

    /// There was a change.
    pub(crate) fn note(&mut self, change: Change, now: Instant) {
        let listed = matches!(change, Change::Gained(_)) && now.saturating_duration_since(self.begun) < START;
        if !listed {
            self.due.get_or_insert((now + SETTLE).max(self.earliest));
        }
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// It was told.
    pub(crate) fn told(&mut self, now: Instant) {
        self.due = None;
        self.earliest = now + PAUSE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn changes_are_told_together_and_not_too_often() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let (lost, gained) = (Change::Lost([192, 0, 2, 1].into()), Change::Gained([192, 0, 2, 2].into()));
        let mut settling = Settling::new(begun);
        settling.note(gained, at(10));
        assert_eq!(settling.due(), None, "that is the list at the start");
        settling.note(lost, at(20));
        assert_eq!(settling.due(), Some(at(270)));
        settling.told(at(270));
        assert_eq!(settling.due(), None);
        settling.note(lost, at(300));
        settling.note(gained, at(2_100));
        assert_eq!(settling.due(), Some(at(5_270)));
        settling.told(at(5_270));
        settling.note(gained, at(60_000));
        assert_eq!(settling.due(), Some(at(60_250)));
    }
}
