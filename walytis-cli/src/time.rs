//! Times as a person reads them.

use std::fmt;

/// A moment, in milliseconds since 1970, shown to the second in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        let (year, month, day) = date(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(f, "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
    }
}

/// Year, month and day of the Gregorian calendar, so many days after 1970 began.
///
/// After Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the leap day is
/// their last, and 400 of them are always equally long. No number of days that a moment can have overflows.
fn date(days: u64) -> (u64, u64, u64) {
    let since_march_0000 = days.saturating_add(719_468);
    let (era, day) = (since_march_0000 / 146_097, since_march_0000 % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use super::Moment;

    #[test]
    fn moments_are_read_as_the_calendar_has_them() {
        let check = |ms: u64, expected: &str| assert_eq!(Moment(ms).to_string(), expected);
        check(0, "1970-01-01 00:00:00Z");
        check(951_782_399_999, "2000-02-28 23:59:59Z");
        check(951_782_400_000, "2000-02-29 00:00:00Z");
        check(951_868_800_000, "2000-03-01 00:00:00Z");
        check(1_704_067_199_000, "2023-12-31 23:59:59Z");
        check(4_107_542_400_000, "2100-03-01 00:00:00Z");
        check(u64::MAX, "584556019-04-03 14:25:51Z");
    }
}
