//! Times as a person reads them.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

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

/// Reads a time as a person writes it: a day, a minute or a second in UTC, how long ago, or milliseconds since 1970.
///
/// # Errors
/// What a time looks like.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    at(text, u64::try_from(now).unwrap_or(u64::MAX))
        .ok_or_else(|| "a time looks like 2026-11-20, 2026-11-20T18:30, 2026-11-20T18:30:05Z, 36h or 7d".to_owned())
}

fn at(text: &str, now_ms: u64) -> Option<Moment> {
    if let Ok(ms) = text.parse() {
        return Some(Moment(ms));
    }
    for (unit, seconds) in [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400_u64)] {
        if let Some(count) = text.strip_suffix(unit).and_then(|count| count.parse::<u64>().ok()) {
            return Some(Moment(now_ms.saturating_sub(count.checked_mul(seconds)?.checked_mul(1000)?)));
        }
    }
    let (day, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let numbers = |text: &str, by: char| -> Option<Vec<u64>> {
        let number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok()).flatten();
        text.split(by).map(number).collect()
    };
    let &[year @ 1970..=9999, month @ 1..=12, day @ 1..=31] = numbers(day, '-')?.as_slice() else { return None };
    let days = days(year, month, day);
    // The 31st of a month that has none would be a day of the next.
    if date(days) != (year, month, day) {
        return None;
    }
    let time = numbers(time.strip_suffix('Z').unwrap_or(time), ':')?;
    let (&[hour @ 0..=23, minute @ 0..=59], second) = time.split_at_checked(2)? else { return None };
    let second = match second {
        [] => 0,
        &[second @ 0..=59] => second,
        _ => return None,
    };
    Some(Moment((days * 86_400 + hour * 3600 + minute * 60 + second) * 1000))
}

/// So many days after 1970 began is this day of the Gregorian calendar, from then on up to the year 9999.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year / 400, year % 400);
    let day_of_era = year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 + day - 1;
    era * 146_097 + day_of_era - 719_468
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
    use super::{Moment, at};

    #[test]
    fn times_are_read_as_a_person_writes_them() {
        let now = 1_000_000_000_000;
        let check = |text: &str, expected: Option<u64>| assert_eq!(at(text, now).map(|at| at.0), expected, "{text}");
        for ms in [0, 951_782_400_000, 951_868_800_000, 1_704_067_199_000, 4_107_542_400_000, 253_402_300_799_000] {
            check(&Moment(ms).to_string(), Some(ms));
        }
        check("2000-02-29", Some(951_782_400_000));
        check("2000-02-29T00:01", Some(951_782_460_000));
        check("951782400000", Some(951_782_400_000));
        check("90s", Some(now - 90_000));
        check("2h", Some(now - 7_200_000));
        check("7d", Some(now - 604_800_000));
        check("99999999d", Some(0));
        for wrong in [
            "",
            "d",
            "-1d",
            "yesterday",
            "2001-02-29",
            "2000-13-01",
            "2000-02-29T24:00",
            "2000-02-29T1",
            "1969-12-31",
            "2000-2-",
            "2000-02-29T00:00:00:00",
            "2000-02-29T00:60",
            "18446744073709551615d",
            "+5-01-01",
        ] {
            check(wrong, None);
        }
    }

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
