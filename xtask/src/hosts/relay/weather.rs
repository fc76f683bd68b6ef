//! What the relay does to what it carries, decided without clock and socket: the same seed decides alike.

/// What a link is like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Weather {
    /// Of a hundred datagrams, how many are lost.
    pub(crate) loss_percent: u8,
    /// How long everything takes, in one direction.
    pub(crate) delay_ms: u64,
    /// How much longer a datagram may take, drawn for each: later ones overtake it.
    pub(crate) jitter_ms: u64,
    /// How many bytes pass in a second, in one direction of one connection.
    pub(crate) rate_bytes: Option<u64>,
    /// After how many bytes, both directions together, a connection is cut: drawn between these.
    pub(crate) life_bytes: Option<(u64, u64)>,
}

/// The generator of Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators".
#[derive(Clone, Debug)]
pub(crate) struct SplitMix(pub(crate) u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from zero up to this, inclusive. Nearly even: the ranges here are tiny beside 2^64.
    fn up_to(&mut self, most: u64) -> u64 {
        let drawn = self.next();
        most.checked_add(1).map_or(drawn, |count| drawn % count)
    }
}

impl Weather {
    /// What becomes of a datagram: after how many milliseconds it goes on, or `None` if it is lost.
    pub(crate) fn datagram(&self, random: &mut SplitMix) -> Option<u64> {
        // Always two draws, so that the fate of one does not depend on the weather at others.
        let (chance, late) = (random.up_to(99), random.up_to(self.jitter_ms));
        (chance >= u64::from(self.loss_percent)).then(|| self.delay_ms.saturating_add(late))
    }

    /// After how many bytes a new connection is cut.
    pub(crate) fn life(&self, random: &mut SplitMix) -> Option<u64> {
        let (least, most) = self.life_bytes?;
        Some(least.saturating_add(random.up_to(most.saturating_sub(least))))
    }
}

/// One direction of a connection: bytes that come while others pass wait for them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lane {
    free_at_us: u64,
}

impl Lane {
    /// When bytes that come now have arrived at the other end. Times are microseconds since any beginning.
    pub(crate) fn pass(&mut self, weather: &Weather, now_us: u64, bytes: usize) -> u64 {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let takes_us = weather.rate_bytes.map_or(0, |rate| bytes.saturating_mul(1_000_000) / rate.max(1));
        self.free_at_us = self.free_at_us.max(now_us).saturating_add(takes_us);
        self.free_at_us.saturating_add(weather.delay_ms.saturating_mul(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, SplitMix, Weather};

    fn fates(weather: &Weather, seed: u64) -> Vec<Option<u64>> {
        let mut random = SplitMix(seed);
        (0..10_000).map(|_| weather.datagram(&mut random)).collect()
    }

    #[test]
    fn a_seed_decides_alike_and_another_seed_otherwise() {
        let weather = Weather { loss_percent: 20, delay_ms: 5, jitter_ms: 9, ..Weather::default() };
        assert_eq!(fates(&weather, 1), fates(&weather, 1));
        assert_ne!(fates(&weather, 1), fates(&weather, 2));
    }

    #[test]
    fn as_many_are_lost_as_was_asked_for_and_the_rest_is_late_within_bounds() {
        for (loss_percent, lost) in [(0, 0..=0), (5, 400..=600), (50, 4_800..=5_200), (100, 10_000..=10_000)] {
            let weather = Weather { loss_percent, delay_ms: 40, jitter_ms: 10, ..Weather::default() };
            let fates = fates(&weather, 7);
            let count = fates.iter().filter(|fate| fate.is_none()).count();
            assert!(lost.contains(&count), "{loss_percent} %: {count}");
            assert!(fates.iter().flatten().all(|late| (40..=50).contains(late)));
            let overtaken =
                fates.windows(2).filter(|pair| matches!(pair, [Some(one), Some(next)] if next < one)).count();
            assert!(loss_percent > 90 || overtaken > 500, "{loss_percent} %: {overtaken} are overtaken");
        }
    }

    #[test]
    fn a_fate_does_not_depend_on_the_loss_asked_for() {
        let weather = |loss_percent| Weather { loss_percent, jitter_ms: 9, ..Weather::default() };
        let (some, more) = (fates(&weather(10), 3), fates(&weather(30), 3));
        assert!(some.iter().zip(&more).all(|(some, more)| some == more || more.is_none()));
    }

    #[test]
    fn a_lane_carries_at_its_rate_and_rests_when_nothing_comes() {
        let weather = Weather { delay_ms: 10, rate_bytes: Some(1_000), ..Weather::default() };
        let mut lane = Lane::default();
        assert_eq!(lane.pass(&weather, 0, 500), 510_000);
        assert_eq!(lane.pass(&weather, 0, 500), 1_010_000);
        assert_eq!(lane.pass(&weather, 5_000_000, 1), 5_011_000);
        assert_eq!(Lane::default().pass(&Weather::default(), 7, 1 << 20), 7);
    }

    #[test]
    fn a_connection_lives_as_long_as_was_asked_for() {
        let mut random = SplitMix(1);
        assert_eq!(Weather::default().life(&mut random), None);
        let weather = Weather { life_bytes: Some((10, 12)), ..Weather::default() };
        let lives: std::collections::BTreeSet<_> = (0..100).map(|_| weather.life(&mut random)).collect();
        assert_eq!(lives, [Some(10), Some(11), Some(12)].into());
    }
}
