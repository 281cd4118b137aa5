//! Sizes, durations and times in Docker's words.

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Decimal units: `1.23kB` with three significant digits (listings), `1.234kB` with four (sums).
pub(crate) fn decimal_size(bytes: i64, digits: usize) -> String {
    sized(bytes as f64, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"], digits)
}

/// Binary units with four significant digits: `7.669GiB`.
pub(crate) fn binary_size(bytes: f64) -> String {
    sized(bytes, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"], 4)
}

fn sized(mut value: f64, base: f64, units: &[&str], digits: usize) -> String {
    let mut unit = 0;
    while value >= base && unit + 1 < units.len() {
        value /= base;
        unit += 1;
    }
    let text = significant(value, digits);
    format!("{text}{}", units[unit])
}

/// `%.<digits>g` for the range in which Go does not switch to exponents.
fn significant(value: f64, digits: usize) -> String {
    let whole_digits = if value < 1.0 { 1 } else { value.log10().floor() as usize + 1 };
    let text = format!("{value:.*}", digits.saturating_sub(whole_digits));
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// How long, roughly: `Less than a second` … `5 months`.
pub(crate) fn human_duration(seconds: i64) -> String {
    let (minutes, hours) = (seconds / 60, (seconds as f64 / 3600.0).round() as i64);
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        _ if minutes == 1 => "About a minute".to_owned(),
        _ if minutes < 60 => format!("{minutes} minutes"),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// `2 hours ago`, from a Unix time; empty for none.
pub(crate) fn since_unix(unix_seconds: i64) -> String {
    format!("{} ago", human_duration(Timestamp::now().as_second() - unix_seconds))
}

/// A Unix time in the local time zone.
pub(crate) fn local_time(unix_seconds: i64) -> Zoned {
    Timestamp::from_second(unix_seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(TimeZone::system())
}

/// As Go prints a `time.Time`: `2026-11-22 17:53:54 +0000 UTC`.
pub(crate) fn go_timestamp(time: &Zoned) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S%.f %z %Z").to_string()
}

/// RFC 3339 with seconds, local: `2026-11-02T19:55:34Z`.
pub(crate) fn rfc3339_local(time: &Zoned) -> String {
    format!("{}{}", time.strftime("%Y-%m-%dT%H:%M:%S"), offset(time))
}

/// RFC 3339 with nine digits, local: `2023-11-14T22:13:20.123456789Z`.
pub(crate) fn rfc3339_nanos(unix_nanos: i64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(unix_nanos)).unwrap_or(Timestamp::UNIX_EPOCH);
    let time = time.to_zoned(TimeZone::system());
    format!("{}{}", time.strftime("%Y-%m-%dT%H:%M:%S.%9f"), offset(&time))
}

fn offset(time: &Zoned) -> String {
    if time.offset().seconds() == 0 { "Z".to_owned() } else { time.strftime("%:z").to_string() }
}

/// At most `width` characters, the last one `…` where something is cut off.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}
