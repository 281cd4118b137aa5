use std::collections::BTreeMap;
use std::path::Path;

use fs_err as fs;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn encoded(log: &[u8]) -> String {
    let mut out = Vec::new();
    encode(&Record { log, stream: Stream::Stdout, time: at("2026-01-02T03:04:05.120Z"), attrs: None }, &mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[track_caller]
fn check(log: &[u8], expect: &str) {
    assert_eq!(
        encoded(log),
        format!("{{\"log\":\"{expect}\",\"stream\":\"stdout\",\"time\":\"2026-01-02T03:04:05.12Z\"}}\n")
    );
}

#[test]
fn records_are_dockers() {
    check(b"hello\n", r"hello\n");
    check(b"\"\\\r\t\x01\x7f", "\\\"\\\\\\r\\u0009\\u0001\u{7f}");
    check(b"<a&b>", r"\u003ca\u0026b\u003e");
    check("ü→\u{2028}\u{2029}\u{202a}".as_bytes(), "ü→\\u2028\\u2029\u{202a}");
    check(b"a\xff\xfeb\xe2\x80", r"a\ufffd\ufffdb\ufffd\ufffd");
    let attrs = BTreeMap::from([("tag".to_owned(), "x\"y".to_owned()), ("env".to_owned(), "1".to_owned())]);
    let mut out = Vec::new();
    let time = at("2026-01-02T03:04:05.123456789Z");
    encode(&Record { log: b"x", stream: Stream::Stderr, time, attrs: Some(&attrs) }, &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "{\"log\":\"x\",\"stream\":\"stderr\",\"attrs\":{\"env\":\"1\",\"tag\":\"x\\\"y\"},\"time\":\"2026-01-02T03:04:05.123456789Z\"}\n"
    );
    assert_eq!(decode(&out).expect("valid").attrs, attrs);
    for torn in
        ["", "{", "{\"log\":\"x\"", "{\"log\":\"x\"}", "null", "{\"log\":\"x\",\"stream\":\"tty\",\"time\":\"\"}"]
    {
        assert_eq!(decode(torn.as_bytes()), None, "{torn}");
    }
}

proptest! {
    #[test]
    fn what_is_written_can_be_read(log in prop::collection::vec(any::<u8>(), 0..200)) {
        let entry = decode(encoded(&log).as_bytes()).expect("a record");
        // Go replaces each invalid byte, Rust each invalid sequence; the valid text around them is the same.
        let strip = |text: &str| text.replace('\u{fffd}', "");
        prop_assert_eq!(strip(&entry.log), strip(&String::from_utf8_lossy(&log)));
        prop_assert_eq!(encoded(&log).lines().count(), 1);
    }
}

struct Log {
    directory: tempfile::TempDir,
    writer: LogWriter,
    written: u64,
}

impl Log {
    fn new(max_size: u64, max_files: u32) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let rotation = Rotation { max_size: Some(max_size), max_files };
        let writer = LogWriter::open(&directory.path().join("json.log"), rotation).expect("open");
        Self { directory, writer, written: 0 }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("json.log")
    }

    /// Appends records `n0`, `n1` … one second apart.
    fn write(&mut self, count: u64) {
        for _ in 0..count {
            let time = Timestamp::from_second(self.written.cast_signed()).expect("a time");
            let log = format!("n{}\n", self.written);
            self.writer
                .append(&Record { log: log.as_bytes(), stream: Stream::Stdout, time, attrs: None })
                .expect("append");
            self.written += 1;
        }
        self.writer.flush().expect("flush");
    }

    fn read(&self, options: ReadOptions) -> Vec<u64> {
        drain(&mut LogReader::open(&self.path(), options).expect("open"))
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path()).expect("a directory");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

fn drain(reader: &mut LogReader) -> Vec<u64> {
    let mut numbers = Vec::new();
    while let Some(entry) = reader.next_entry().expect("read") {
        numbers.push(entry.log.trim_start_matches('n').trim_end().parse().expect("a number"));
    }
    numbers
}

fn last(count: u64) -> ReadOptions {
    ReadOptions { tail: Tail::Last(count), ..ReadOptions::default() }
}

fn range(from: u64, to: u64) -> Vec<u64> {
    (from..to).collect()
}

#[test]
fn rotation_keeps_the_newest() {
    let mut log = Log::new(600, 3);
    log.write(40);
    assert_eq!(log.files(), ["json.log", "json.log.1", "json.log.2"]);
    for name in log.files() {
        assert!(fs::metadata(log.directory.path().join(&name)).expect("a file").len() <= 600, "{name}");
    }
    let kept = log.read(ReadOptions::default());
    assert_eq!(kept.last(), Some(&39));
    assert_eq!(kept, range(kept[0], 40), "in order, without gaps");
    assert!(kept.len() > 20);

    let mut single = Log::new(600, 1);
    single.write(40);
    assert_eq!(single.files(), ["json.log"]);
}

#[test]
fn the_tail_spans_files() {
    let mut log = Log::new(600, 5);
    log.write(25);
    for count in [0, 1, 2, 9, 10, 11, 20, 24, 25, 26, 1000] {
        assert_eq!(log.read(last(count)), range(25u64.saturating_sub(count), 25), "tail {count}");
    }
}

#[test]
fn since_and_until() {
    let mut log = Log::new(1 << 20, 2);
    log.write(10);
    let second = |second| Some(Timestamp::from_second(second).expect("a time"));
    let options = ReadOptions { since: second(3), until: second(6), ..ReadOptions::default() };
    let mut reader = LogReader::open(&log.path(), options).expect("open");
    assert_eq!(drain(&mut reader), range(3, 7));
    assert!(reader.is_past_until());
    assert_eq!(log.read(ReadOptions { since: second(8), ..last(5) }), range(8, 10));
}

#[test]
fn a_reader_follows_across_rotation() {
    for batch in [1, 3, 7, 20] {
        let mut log = Log::new(600, 5);
        let mut reader = LogReader::open(&log.path(), last(0)).expect("open");
        let mut seen = Vec::new();
        for _ in 0..20 {
            log.write(batch);
            seen.extend(drain(&mut reader));
        }
        assert_eq!(seen, range(0, 20 * batch), "batches of {batch}");
        assert_eq!(drain(&mut reader), Vec::<u64>::new());
    }
}

#[test]
fn a_reader_that_is_too_slow_goes_on_with_what_is_left() {
    let mut log = Log::new(600, 3);
    let mut reader = LogReader::open(&log.path(), ReadOptions::default()).expect("open");
    log.write(5);
    assert_eq!(drain(&mut reader), range(0, 5));
    log.write(100);
    let seen = drain(&mut reader);
    // The rest of the file that it has open, and then the files that there still are.
    assert_eq!(seen[0], 5);
    let gap = seen.windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert_eq!((gap, seen.last()), (1, Some(&104)), "{seen:?}");
}

#[test]
fn concurrent_reader_and_writer_agree() {
    let mut log = Log::new(4000, 1000);
    let mut reader = LogReader::open(&log.path(), ReadOptions::default()).expect("open");
    let total = 5000;
    let follower = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while seen.len() < 5000 && std::time::Instant::now() < deadline {
            seen.extend(drain(&mut reader));
            std::thread::yield_now();
        }
        seen
    });
    for _ in 0..total / 10 {
        log.write(10);
    }
    assert_eq!(follower.join().expect("join"), range(0, total));
}

#[test]
fn torn_lines_are_skipped() {
    let mut log = Log::new(1 << 20, 2);
    log.write(2);
    let path = log.path();
    append(&path, b"{\"log\":\"tor");
    let mut reader = LogReader::open(&path, ReadOptions::default()).expect("open");
    assert_eq!(drain(&mut reader), range(0, 2), "an unfinished line is not a record yet");
    // A new writer ends the line that its predecessor has torn.
    log.writer = LogWriter::open(&path, Rotation::default()).expect("open");
    log.write(2);
    assert_eq!(drain(&mut reader), range(2, 4));
    append(&path, b"garbage\n{}\n\n");
    log.write(1);
    assert_eq!(drain(&mut reader), range(4, 5));
    append(&path, &vec![b'x'; 5 << 20]);
    append(&path, b"\n");
    log.write(1);
    assert_eq!(drain(&mut reader), range(5, 6), "an endless line is damage");
}

#[test]
fn a_log_may_come_later() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("json.log");
    let mut reader = LogReader::open(&path, ReadOptions::default()).expect("open");
    assert_eq!(drain(&mut reader), Vec::<u64>::new());
    let writer = LogWriter::open(&path, Rotation::default()).expect("open");
    let mut log = Log { directory, writer, written: 0 };
    log.write(3);
    assert_eq!(drain(&mut reader), range(0, 3));
}

fn append(path: &Path, bytes: &[u8]) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().append(true).open(path).expect("open");
    file.write_all(bytes).expect("write");
}
