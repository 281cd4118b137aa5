//! What ends up in the log, also when the disk does not play along.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tokio::io::AsyncWriteExt;

use crate::bench::{Bench, read_until, until};

crate::tests![long_lines_come_in_pieces, the_log_rotates, a_full_disk_stops_nobody, much_output_is_complete];

async fn long_lines_come_in_pieces(bench: Bench) {
    let shim = bench.create(&bench.shell("head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'no newline'")).await;
    assert_eq!(shim.run().await, 0);
    let lengths: Vec<usize> = bench.log().iter().map(|line| line.log.len()).collect();
    assert_eq!(lengths, [16384, 16384, 40000 - 2 * 16384 + 1, 10]);
}

async fn the_log_rotates(bench: Bench) {
    let shim = bench.start_shim(&bench.shell("i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i+1)); done")).await;
    let mut request = bench.create_request();
    request.stdout.push_str("?max-size=4096&max-file=3");
    request.stderr = request.stdout.clone();
    shim.create(&request).await.unwrap();
    assert_eq!(shim.run().await, 0);
    let file = |name: &str| std::fs::read_to_string(bench.path("state").join(name)).unwrap_or_default();
    let files = ["json.log.2", "json.log.1", "json.log"].map(file);
    assert!(files.iter().all(|text| !text.is_empty() && text.len() <= 4096));
    assert!(!bench.path("state/json.log.3").exists());
    let numbers: Vec<u32> = files
        .concat()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["log"].as_str().unwrap().to_owned())
        .map(|text| text.trim().strip_prefix("line ").unwrap().parse().unwrap())
        .collect();
    let expect: Vec<u32> = (numbers[0]..200).collect();
    assert_eq!(numbers, expect, "no gap within what is kept");
}

async fn a_full_disk_stops_nobody(bench: Bench) {
    let disk = SmallDisk::new(bench.path("state"));
    let filler = bench.path("state/filler");
    let script =
        "read go; i=0; while [ $i -lt 5000 ]; do echo lost line $i; i=$((i+1)); done; echo full; read go; echo back";
    let shim = bench.create(&bench.shell(script)).await;
    let mut client = bench.attach(true).await;
    shim.start().await.unwrap();
    disk.fill(&filler);
    client.write_all(b"go\n").await.unwrap();
    read_until(&mut client, "full\n").await;
    std::fs::remove_file(&filler).unwrap();
    client.write_all(b"go\n").await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 0);
    let records: Vec<serde_json::Value> =
        bench.log_text().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let texts: Vec<&str> = records.iter().map(|record| record["log"].as_str().unwrap()).collect();
    assert_eq!(texts.last(), Some(&"back\n"));
    let markers = texts.iter().filter(|text| text.contains("bytes of output were lost")).count();
    assert_eq!(markers, 1, "{texts:?}");
    let warnings = std::fs::read_to_string(bench.bundle().join("shim.log")).unwrap();
    assert_eq!(warnings.matches("output is being lost").count(), 1, "{warnings}");
    drop(shim);
}

async fn much_output_is_complete(bench: Bench) {
    let shim = bench.create(&bench.shell("seq 1 200000")).await;
    assert_eq!(shim.run().await, 0);
    let log = bench.log();
    assert_eq!(log.len(), 200_000);
    assert!(log.iter().zip(1..).all(|(line, number)| line.log == format!("{number}\n")));
    until(|| bench.exit_record().is_some()).await;
}

/// A file system of 64 KiB, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn new(path: PathBuf) -> Self {
        mount("tmpfs", &path, "tmpfs", MountFlags::empty(), c"size=64k").unwrap();
        Self(path)
    }

    fn fill(&self, filler: &Path) {
        let mut size = 64 << 10;
        while size > 0 {
            match std::fs::write(filler, vec![0; size]) {
                Ok(()) => return,
                Err(_full) => size -= 4096,
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}
