//! What wall clocks in the world show, rightly or not.

use walytis_core::Timestamp;

/// The virtual clock's start: what right wall clocks show then, in milliseconds since 1970.
pub(super) const EPOCH_MS: u64 = 1_700_000_000_000;

/// How a node's wall clock goes. Timers are measured by another clock, which is right everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WallClock {
    /// It goes as it should, and is wrong by so many milliseconds.
    Off(i64),
    /// It has stood still since this moment, in milliseconds since 1970.
    Frozen(u64),
    /// It has gone backwards since this moment, in milliseconds since 1970 and of the world.
    Backwards {
        /// What it showed.
        from_ms: u64,
        /// When that was, in milliseconds since the world began.
        since_ms: u64,
    },
}

impl WallClock {
    /// What the clock shows when the world is so many milliseconds old.
    #[must_use]
    pub const fn shows(self, world_ms: u64) -> Timestamp {
        Timestamp(match self {
            Self::Off(ms) => EPOCH_MS.saturating_add(world_ms).saturating_add_signed(ms),
            Self::Frozen(ms) => ms,
            Self::Backwards { from_ms, since_ms } => from_ms.saturating_sub(world_ms.saturating_sub(since_ms)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{EPOCH_MS, WallClock};

    #[test]
    fn clocks_go_as_they_are_told() {
        assert_eq!(WallClock::Off(-5).shows(7).0, EPOCH_MS + 2);
        assert_eq!(WallClock::Off(i64::MIN).shows(7).0, 0);
        assert_eq!(WallClock::Frozen(3).shows(9).0, 3);
        assert_eq!(WallClock::Backwards { from_ms: 10, since_ms: 4 }.shows(9).0, 5);
        assert_eq!(WallClock::Backwards { from_ms: 2, since_ms: 4 }.shows(900).0, 0);
    }
}
