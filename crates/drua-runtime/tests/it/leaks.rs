//! Containers that exit at once, many of them.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::{Fixture, wait};

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").expect("fds").count()
}

pub(crate) fn fifty_containers_leave_nothing() {
    let fixture = Fixture::new();
    assert_eq!(fixture.run(&fixture.spec(&["true"])).code, 0);
    let before = open_files();
    let mut times: Vec<[Duration; 4]> = Vec::new();
    for _ in 0..50 {
        let begin = Instant::now();
        let mut running = fixture.create(&fixture.spec(&["true"]));
        let created = begin.elapsed();
        running.sandbox.start().expect("start");
        let started = begin.elapsed();
        assert_eq!(wait(running.sandbox.pid()), 0);
        let exited = begin.elapsed();
        running.sandbox.delete().expect("delete");
        times.push([created, started - created, exited - started, begin.elapsed() - exited]);
    }
    assert_eq!(open_files(), before, "file descriptors leak");
    assert!(!fixture.cgroup_exists() && !fixture.state_dir().exists());
    assert_eq!(nix::sys::wait::waitpid(None, None), Err(nix::errno::Errno::ECHILD), "a child is left");
    // For the reader of `--no-capture`: what a container costs.
    for (index, what) in ["create", "start", "exit", "delete"].iter().enumerate() {
        let mut column: Vec<Duration> = times.iter().map(|row| row[index]).collect();
        column.sort_unstable();
        eprintln!("{what}: min {:?}, median {:?}", column[0], column[column.len() / 2]);
    }
}
