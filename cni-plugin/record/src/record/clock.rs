//! Time formatting without a crate. Never use it to decide between two namespaces: clocks jump.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// The time of day in RFC 3339, UTC, with nine digits of fraction: texts sort as times do.
pub fn now() -> String {
    time_of(SystemTime::now())
}

/// A time in the same format; times before 1970 become 1970.
pub fn time_of(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH);
    format(since.unwrap_or(Duration::ZERO))
}

fn format(since: Duration) -> String {
    let (days, second) = (since.as_secs() / 86_400, since.as_secs() % 86_400);
    let (year, month, day) = date(days);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    let (second, nano) = (second % 60, since.subsec_nanos());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nano:09}Z")
}

/// Nanoseconds since the boot, including suspend; setting the clock does not change it.
pub fn since_boot() -> Option<u64> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?;
    u64::try_from(Duration::from(now).as_nanos()).ok()
}

/// As `since_boot`, for a time of the present clock; `None` before the boot.
pub fn since_boot_of(moment: SystemTime) -> Option<u64> {
    let ago = moment.elapsed().unwrap_or_default();
    since_boot()?.checked_sub(u64::try_from(ago.as_nanos()).ok()?)
}

/// The date of a day since 1970. Years are counted from March, so that the leap day comes last.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    (era * 400 + year + next, month, day)
}

/// Whether a text has the format of `now`.
pub fn is_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00.000000000Z";
    let alike = |(byte, shape): (u8, &u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    text.len() == SHAPE.len() && text.bytes().zip(SHAPE).all(alike)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_spelled_right() {
        let at = |seconds, nanos| format(Duration::new(seconds, nanos));
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(at(951_782_400, 1), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(at(1_709_251_199, 0), "2024-02-29T23:59:59.000000000Z");
        assert_eq!(
            at(1_735_689_599, 999_999_999),
            "2024-12-31T23:59:59.999999999Z"
        );
        assert_eq!(at(4_107_542_400, 0), "2100-03-01T00:00:00.000000000Z");
    }

    #[test]
    fn days_follow_each_other_for_centuries() {
        let mut before = date(0);
        for day in 1..200_000 {
            let after = date(day);
            assert!(after > before && after.1 <= 12 && after.2 <= 31);
            before = after;
        }
    }

    #[test]
    fn moments_of_this_boot_are_in_order_and_those_before_it_are_none() {
        let (now, second) = (SystemTime::now(), Duration::from_secs(1));
        let before = since_boot_of(now - second);
        assert!(before.is_some() && before < since_boot_of(now));
        assert!(since_boot_of(now + second) >= since_boot_of(now));
        assert_eq!(since_boot_of(UNIX_EPOCH), None);
        assert!(since_boot() <= since_boot());
    }

    #[test]
    fn what_now_says_is_a_time() {
        assert!(is_time(&now()));
        assert!(is_time(&time_of(UNIX_EPOCH - Duration::from_secs(1))));
        assert!(!is_time("2024-12-31T23:59:59Z"));
    }
}
