use anyhow::{Context as _, bail};
use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

/// Nanoseconds of a duration in Go's syntax: `300ms`, `1m30s`, `2h45m`, `-1.5h`.
pub(crate) fn go_duration(text: &str) -> anyhow::Result<i64> {
    let bad = || anyhow::anyhow!("`{text}` is not a duration: write for example `300ms`, `10s`, `1m30s`");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(bad());
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(unit_end);
        let unit_nanos = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(bad()),
        };
        nanos += number.parse::<f64>().map_err(|_| bad())? * unit_nanos;
        rest = after;
    }
    if nanos > i64::MAX as f64 {
        return Err(bad());
    }
    let nanos = nanos as i64;
    Ok(if negative { -nanos } else { nanos })
}

/// A point in time for the API, `seconds.nanoseconds`: from a duration back from now, a date, or a Unix time.
pub(crate) fn point_in_time(text: &str, now: Timestamp) -> anyhow::Result<String> {
    if let Ok(nanos) = go_duration(text) {
        return Ok(unix(now.as_nanosecond() - i128::from(nanos)));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits(seconds) && digits(fraction) {
        return Ok(text.to_owned());
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(unix(time.as_nanosecond()));
    }
    if text.ends_with(['Z', 'z']) {
        bail!("`{text}` is not a time: write RFC 3339, a Unix time, or a duration such as `10m`");
    }
    let local = text.parse::<civil::DateTime>().or_else(|_| text.parse::<civil::Date>().map(Into::into));
    let local: civil::DateTime = local.with_context(|| format!("`{text}` is neither a time nor a duration"))?;
    let time = local.to_zoned(TimeZone::system()).with_context(|| format!("`{text}` is not a time here"))?;
    Ok(unix(time.timestamp().as_nanosecond()))
}

fn unix(nanos: i128) -> String {
    format!("{}.{:09}", nanos.div_euclid(1_000_000_000), nanos.rem_euclid(1_000_000_000))
}
