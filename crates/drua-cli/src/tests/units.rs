use crate::ui::{binary_size, decimal_size, ellipsis, human_duration, rfc3339_nanos};

#[test]
fn durations_are_in_dockers_words() {
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;
    for (seconds, expect) in [
        (-5, "Less than a second"),
        (0, "Less than a second"),
        (1, "1 second"),
        (2, "2 seconds"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (119, "About a minute"),
        (120, "2 minutes"),
        (59 * 60 + 59, "59 minutes"),
        (HOUR, "About an hour"),
        (HOUR + 29 * 60, "About an hour"),
        (HOUR + 30 * 60, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (13 * DAY, "13 days"),
        (14 * DAY, "2 weeks"),
        (59 * DAY, "8 weeks"),
        (60 * DAY, "2 months"),
        (729 * DAY, "24 months"),
        (730 * DAY, "2 years"),
    ] {
        assert_eq!(human_duration(seconds), expect, "{seconds}");
    }
}

#[test]
fn sizes_are_in_dockers_words() {
    for (bytes, three, four) in [
        (0, "0B", "0B"),
        (999, "999B", "999B"),
        (1000, "1kB", "1kB"),
        (1234, "1.23kB", "1.234kB"),
        (4_270_000, "4.27MB", "4.27MB"),
        (56_789_000, "56.8MB", "56.79MB"),
        (192_345_678, "192MB", "192.3MB"),
        (1_500_000_000_000, "1.5TB", "1.5TB"),
    ] {
        assert_eq!((decimal_size(bytes, 3).as_str(), decimal_size(bytes, 4).as_str()), (three, four));
    }
    assert_eq!(binary_size(8_234_567_890.0), "7.669GiB");
    assert_eq!(binary_size(9_437_184.0), "9MiB");
    assert_eq!(binary_size(512.0), "512B");
}

#[test]
fn long_text_is_cut() {
    assert_eq!(ellipsis("nginx -g 'daemon off;'", 20), "nginx -g 'daemon of…");
    assert_eq!(ellipsis("short", 20), "short");
    assert_eq!(ellipsis("äöüäöü", 4), "äöü…");
}

#[test]
fn event_times_have_nine_digits() {
    // The zone is the machine's; the digits are not.
    assert!(rfc3339_nanos(1_700_000_000_120_000_000).contains(".120000000"));
}
