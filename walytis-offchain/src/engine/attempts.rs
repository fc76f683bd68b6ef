//! How many handshakes a peer may have us answer, over all of its connections.

use std::collections::BTreeMap;

use walytis_core::Timestamp;

/// How many handshakes in a row are answered that prove nothing. Each costs signatures, and a joiner's the verification of
/// one, too.
pub(super) const ATTEMPTS_MAX: u32 = 16;

/// After how long one more is answered, in milliseconds.
pub(super) const ATTEMPT_MS: u64 = 10_000;

/// Of how many peers and spent invitations it is remembered how often they were answered: some 100 KiB. The one that was
/// answered longest ago makes room.
pub(super) const REMEMBERED_MAX: usize = 1_024;

/// What one asker has had answered.
struct Asked {
    /// How many, less those that time has forgiven.
    count: u32,
    /// Up to when time was counted.
    since: Timestamp,
    /// When it was answered last, counted in answers.
    used: u64,
}

/// Counts answered handshakes by who asked: a peer, or whoever has the code of an invitation that is spent. PeerIds are
/// free, but a spent code is one code, whatever peer shows it.
#[derive(Default)]
pub(super) struct Attempts {
    asked: BTreeMap<[u8; 32], Asked>,
    /// Those together that were not answered before, and whose codes were answered as often as they may be.
    newcomers: Option<Asked>,
    answers: u64,
}

impl Asked {
    /// Counts one more. Returns whether it may be answered.
    fn may_answer(&mut self, now: Timestamp) -> bool {
        let forgiven = now.0.saturating_sub(self.since.0) / ATTEMPT_MS;
        self.count = self.count.saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
        // A clock that was put back forgives nothing, and counts from there.
        self.since = if now < self.since || self.count == 0 {
            now
        } else {
            Timestamp(self.since.0.saturating_add(forgiven.saturating_mul(ATTEMPT_MS)))
        };
        if self.count >= ATTEMPTS_MAX && !walytis_core::mutant!(ForgetAttempts) {
            return false;
        }
        self.count = self.count.saturating_add(1);
        true
    }
}

impl Attempts {
    /// Counts one more. Returns whether it may be answered.
    pub(super) fn may_answer(&mut self, asker: [u8; 32], now: Timestamp) -> bool {
        self.answers = self.answers.saturating_add(1);
        let used = self.answers;
        if !self.asked.contains_key(&asker) && self.asked.len() >= REMEMBERED_MAX {
            let longest = self.asked.iter().min_by_key(|(_, asked)| asked.used).map(|(asker, _)| *asker);
            if let Some(longest) = longest {
                self.asked.remove(&longest);
            }
        }
        let asked = self.asked.entry(asker).or_insert(Asked { count: 0, since: now, used });
        asked.used = used;
        asked.may_answer(now)
    }

    /// Counts one more of all that were not answered before. Returns whether it may be answered, which is never so for others.
    pub(super) fn may_answer_newcomer(&mut self, asker: &[u8; 32], now: Timestamp) -> bool {
        if self.asked.contains_key(asker) || walytis_core::mutant!(AnswerNoNewcomer) {
            return false;
        }
        self.newcomers.get_or_insert(Asked { count: 0, since: now, used: 0 }).may_answer(now)
    }

    /// Forgives an asker: it has proven that it is a member.
    pub(super) fn forgive(&mut self, asker: &[u8; 32]) {
        self.asked.remove(asker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asker(number: u32) -> [u8; 32] {
        let mut asker = [0; 32];
        asker[..4].copy_from_slice(&number.to_le_bytes());
        asker
    }

    #[test]
    fn an_asker_is_answered_so_often_and_then_as_time_goes_by() {
        let mut attempts = Attempts::default();
        let mut answered = 0;
        for second in 0..1_000 {
            answered += u32::from(attempts.may_answer(asker(1), Timestamp(second * 1_000)));
        }
        // What time forgives counts from the first on.
        assert!((ATTEMPTS_MAX + 98..=ATTEMPTS_MAX + 100).contains(&answered), "{answered}");
        attempts.forgive(&asker(1));
        assert!(attempts.may_answer(asker(1), Timestamp(1_000_000)));
        // A clock that was put back neither forgives nor condemns.
        let mut back = Attempts::default();
        for _ in 0..ATTEMPTS_MAX {
            assert!(back.may_answer(asker(2), Timestamp(50_000)));
        }
        assert!(!back.may_answer(asker(2), Timestamp(0)));
        assert!(back.may_answer(asker(2), Timestamp(ATTEMPT_MS)));
    }

    #[test]
    fn newcomers_are_answered_so_often_together_and_nobody_else_is() {
        let mut attempts = Attempts::default();
        assert!(attempts.may_answer(asker(0), Timestamp(0)));
        assert!(!attempts.may_answer_newcomer(&asker(0), Timestamp(0)), "it was answered before");
        let answered = |attempts: &mut Attempts, from: u32, ms: u64| {
            (from..from + 1_000).filter(|number| attempts.may_answer_newcomer(&asker(*number), Timestamp(ms))).count()
        };
        assert_eq!(answered(&mut attempts, 1, 0), ATTEMPTS_MAX as usize);
        assert_eq!(answered(&mut attempts, 1_001, ATTEMPT_MS), 1, "whatever keys they have");
    }

    #[test]
    fn what_is_remembered_has_an_end_and_the_one_asked_longest_ago_goes_first() {
        let mut attempts = Attempts::default();
        for _ in 0..ATTEMPTS_MAX {
            assert!(attempts.may_answer(asker(0), Timestamp(0)));
        }
        for number in 1..10_000 {
            assert!(attempts.may_answer(asker(number), Timestamp(0)));
            assert!(attempts.asked.len() <= REMEMBERED_MAX);
            if number % 1_000 == 0 {
                assert!(!attempts.may_answer(asker(0), Timestamp(0)), "who asks all the time is remembered");
            }
        }
        assert_eq!(attempts.asked.len(), REMEMBERED_MAX);
    }
}
