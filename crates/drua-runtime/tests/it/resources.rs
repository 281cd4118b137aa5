//! Limits of the cgroup and of the process.

use drua_runtime::spec::{Resources, Ulimit, resources};

use crate::fixture::{Fixture, host};

pub(crate) fn limits_are_set() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj");
    spec.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 100, hard: 200 }];
    spec.oom_score_adj = Some(500);
    spec.resources = Resources {
        memory: Some(64 << 20),
        nano_cpus: Some(500_000_000),
        cpu_shares: Some(512),
        pids_limit: Some(50),
        cpuset_cpus: Some("0".to_owned()),
        ..Resources::default()
    };
    let mut running = fixture.create(&spec);
    let stats = running.sandbox.stats().expect("stats");
    assert_eq!(stats.memory.limit, Some(64 << 20));
    assert_eq!(stats.pids.limit, Some(50));
    assert_eq!(stats.pids.current, 1);
    assert!(stats.memory.usage > 0 && stats.memory.working_set() <= stats.memory.usage);
    running.sandbox.start().expect("start");
    assert_eq!(running.finish().stdout, "100\n200\n500\n");
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").expect("a score");
    assert_ne!(own.trim(), "500", "the creator's score is its own");
}

pub(crate) fn the_pids_limit_holds() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("for i in 1 2 3 4 5 6 7 8; do sleep 100 & done; echo end");
    spec.resources.pids_limit = Some(4);
    let out = fixture.run(&spec);
    assert!(out.stderr.contains("can't fork"), "{out:?}");
}

pub(crate) fn running_out_of_memory_is_counted() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["tail", "/dev/zero"]);
    spec.resources.memory = Some(16 << 20);
    let mut running = fixture.create(&spec);
    running.sandbox.start().expect("start");
    let pid = running.sandbox.pid();
    assert_eq!(crate::fixture::wait(pid), 137);
    assert!(running.sandbox.cgroup().oom_kills().expect("stats") > 0);
    let stats = running.sandbox.stats().expect("stats");
    assert!(stats.memory.max_usage > 8 << 20 && stats.memory.failures > 0, "{stats:?}");
    assert!(stats.cpu.total_ns > 0);
    running.sandbox.delete().expect("delete");
}

pub(crate) fn limits_can_be_updated() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("sleep 100");
    spec.resources.memory = Some(64 << 20);
    let mut running = fixture.create(&spec);
    running.sandbox.start().expect("start");
    let change = Resources { memory: Some(128 << 20), pids_limit: Some(77), ..Resources::default() };
    running.sandbox.update(&resources(&change, &host()).expect("valid")).expect("update");
    let stats = running.sandbox.stats().expect("stats");
    assert_eq!((stats.memory.limit, stats.pids.limit), (Some(128 << 20), Some(77)));
    let change = Resources { cpu_shares: Some(300), ..Resources::default() };
    running.sandbox.update(&resources(&change, &host()).expect("valid")).expect("update");
    assert_eq!(running.sandbox.stats().expect("stats").memory.limit, Some(128 << 20), "what is not named stays");
    running.sandbox.kill(drua_types::Signal::KILL).expect("kill");
    assert_eq!(running.finish().code, 137);
}
