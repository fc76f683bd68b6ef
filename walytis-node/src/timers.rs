//! Timers that the engine asked for, by tokio's clock, which a simulation can pause.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::machine::Timer;
use tokio::time::{Instant, Sleep, sleep_until};

/// The timers that run, the earliest first; of several that are due at one time, the one that was set first.
pub(crate) struct Timers {
    running: BTreeMap<(Instant, u64), Timer>,
    set: u64,
    sleep: Pin<Box<Sleep>>,
    /// For when `sleep` is set; `None` once it has elapsed.
    armed: Option<Instant>,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { running: BTreeMap::new(), set: 0, sleep: Box::pin(sleep_until(Instant::now())), armed: None }
    }

    /// Sets a timer. One so far away that the clock cannot name its time is never due.
    pub(crate) fn set(&mut self, after_ms: u64, timer: Timer) {
        if let Some(due) = Instant::now().checked_add(Duration::from_millis(after_ms)) {
            self.running.insert((due, self.set), timer);
            self.set = self.set.wrapping_add(1);
        }
    }

    /// Gives the next timer once it is due.
    pub(crate) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Timer> {
        loop {
            let Some(first) = self.running.first_entry() else { return Poll::Pending };
            let due = first.key().0;
            if due <= Instant::now() {
                return Poll::Ready(first.remove());
            }
            if self.armed != Some(due) {
                self.sleep.as_mut().reset(due);
                self.armed = Some(due);
            }
            ready!(self.sleep.as_mut().poll(cx));
            self.armed = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use walytis_core::PeerId;

    use super::*;

    fn timer(number: u8) -> Timer {
        Timer::Forgive(PeerId([number; 32]))
    }

    #[tokio::test(start_paused = true)]
    async fn timers_are_due_in_order_and_not_early() {
        let begun = Instant::now();
        let mut timers = Timers::new();
        timers.set(u64::MAX, timer(9));
        timers.set(30, timer(3));
        timers.set(10, timer(1));
        timers.set(10, timer(2));
        let mut seen = Vec::new();
        for _ in 0..2 {
            seen.push(poll_fn(|cx| timers.poll_due(cx)).await);
        }
        timers.set(5, timer(4));
        for _ in 0..2 {
            seen.push(poll_fn(|cx| timers.poll_due(cx)).await);
        }
        assert_eq!(seen, [timer(1), timer(2), timer(4), timer(3)]);
        assert_eq!(begun.elapsed(), Duration::from_millis(30));
    }
}
