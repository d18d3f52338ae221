//! Dates for chat templates: the part of C's `strftime` that they use, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// From the weekday of 1 January 1970.
const WEEKDAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

/// The time now, by a format such as `%d %b %Y`; `Err` holds a code that is not known.
pub(super) fn strftime_now(format: &str) -> Result<String, char> {
    // A clock before 1970 is wrong anyway.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    strftime(format, now.as_secs())
}

fn strftime(format: &str, unix_seconds: u64) -> Result<String, char> {
    let mut text = String::new();
    let mut chars = format.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let code = chars.next().unwrap_or('%');
        // `%-d` is `%d` without the leading zero.
        let (code, width) = if code == '-' {
            (chars.next().unwrap_or('-'), 0)
        } else {
            (code, 2)
        };
        text += &field(code, width, unix_seconds).ok_or(code)?;
    }
    Ok(text)
}

fn field(code: char, width: usize, unix_seconds: u64) -> Option<String> {
    let days = unix_seconds / 86_400;
    let (hour, minute, second) = (
        unix_seconds / 3600 % 24,
        unix_seconds / 60 % 60,
        unix_seconds % 60,
    );
    let (year, month, day) = civil(days);
    let month_name = MONTHS[month];
    let weekday = WEEKDAYS[(days % 7) as usize];
    let number = |value: u64| format!("{value:0width$}");
    Some(match code {
        'Y' => year.to_string(),
        'y' => number(year % 100),
        'm' => number(month as u64 + 1),
        'B' => month_name.into(),
        'b' => month_name[..3].into(),
        'd' => number(day),
        'A' => weekday.into(),
        'a' => weekday[..3].into(),
        'H' => number(hour),
        'I' => number((hour + 11) % 12 + 1),
        'M' => number(minute),
        'S' => number(second),
        'p' => if hour < 12 { "AM" } else { "PM" }.into(),
        '%' => "%".into(),
        _ => return None,
    })
}

/// Year, month from 0 and day from 1 of a day counted from 1 January 1970.
fn civil(mut days: u64) -> (u64, usize, u64) {
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 0;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_instants() {
        let at = |seconds| strftime("%a %d %b %Y %H:%M:%S", seconds);
        assert_eq!(at(0), Ok("Thu 01 Jan 1970 00:00:00".into()));
        assert_eq!(at(951_782_399), Ok("Mon 28 Feb 2000 23:59:59".into()));
        assert_eq!(at(951_782_400), Ok("Tue 29 Feb 2000 00:00:00".into()));
        assert_eq!(at(4_107_542_400), Ok("Mon 01 Mar 2100 00:00:00".into()));
        assert_eq!(at(1_735_689_599), Ok("Tue 31 Dec 2024 23:59:59".into()));
    }

    #[test]
    fn codes() {
        let at_noon = |format| strftime(format, 12 * 3600);
        assert_eq!(
            at_noon("%B %-d, %Y (%A) %I %p 100%%"),
            Ok("January 1, 1970 (Thursday) 12 PM 100%".into())
        );
        assert_eq!(at_noon("%m/%y"), Ok("01/70".into()));
        assert_eq!(at_noon("%Q"), Err('Q'));
        assert_eq!(at_noon("%"), Ok("%".into()));
    }
}
