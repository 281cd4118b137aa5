//! Create, start, wait, kill, delete, and what other requests say meanwhile.

use containerd_shim_protos::api;
use containerd_shim_protos::cgroups::metrics::Metrics;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim_async::Client;
use containerd_shim_protos::ttrpc::context::Context;
use containerd_shim_protos::ttrpc::{self, Code, Request};
use containerd_shim_protos::types::task::Status;

use crate::bench::{Bench, Line, code, is_alive, overlay, until};

crate::tests![
    runs_to_its_exit_code,
    a_second_daemon_learns_everything,
    ignores_sigterm_but_not_sigkill,
    deletes_what_was_never_started,
    refuses_what_makes_no_sense,
    pauses_and_resumes,
    reports_pids_and_stats_and_takes_limits,
    version_2_of_the_service_is_the_same,
    a_clean_process_environment,
    a_rootfs_of_many_layers,
    reaps_orphans_with_a_shared_pid_namespace,
    an_out_of_memory_kill_is_recorded,
    a_bundle_can_be_used_again_at_once,
];

fn line(stream: &str, log: &str) -> Line {
    Line { stream: stream.to_owned(), log: log.to_owned() }
}

async fn runs_to_its_exit_code(bench: Bench) {
    let shim = bench.create(&bench.shell("echo out; echo err >&2; exit 7")).await;
    assert_eq!(shim.state().await.unwrap().status, Status::CREATED.into());
    assert_eq!(bench.log(), [], "nothing runs before start");
    shim.start().await.unwrap();
    let waits = [shim.wait(), shim.wait(), shim.wait()];
    for wait in waits {
        assert_eq!(wait.await.unwrap(), 7);
    }
    let mut log = bench.log();
    log.sort_by(|a, b| b.stream.cmp(&a.stream));
    assert_eq!(log, [line("stdout", "out\n"), line("stderr", "err\n")], "written before the exit is reported");
    let record = bench.exit_record().expect("an exit record");
    assert_eq!((&record["version"], &record["status"], &record["oom_killed"]), (&1.into(), &7.into(), &false.into()));
    let shim_pid = bench.shim_pid();
    assert!(!bench.cgroups().is_empty());
    let deleted = shim.delete().await.unwrap();
    assert_eq!((deleted.exit_status, deleted.exited_at.is_some()), (7, true));
    assert_eq!(bench.cgroups(), Vec::<std::path::PathBuf>::new());
    assert!(!bench.bundle().join("runtime").exists());
    shim.shutdown().await.unwrap();
    until(|| !is_alive(shim_pid)).await;
    for socket in ["shim.sock", "io.sock"] {
        assert!(!bench.bundle().join(socket).exists());
    }
    assert_eq!(std::fs::read_to_string(bench.bundle().join("shim.log")).unwrap(), "", "nothing to warn about");
}

async fn a_second_daemon_learns_everything(bench: Bench) {
    let shim = bench.create(&bench.shell("read line; exit 3")).await;
    let pid = shim.start().await.unwrap();
    let address = shim.address.clone();
    // The first daemon dies in the midst of a request.
    let waiting = tokio::spawn({
        let shim = shim.clone();
        async move { shim.wait().await }
    });
    tokio::task::yield_now().await;
    waiting.abort();
    drop(shim);
    let again = bench.connect(&address).await;
    let state = again.state().await.unwrap();
    assert_eq!((state.status, state.pid, state.exit_status), (Status::RUNNING.into(), pid, 0));
    again.close_stdin().await.unwrap();
    // Nobody waits; the third daemon comes after the exit.
    until(|| bench.exit_record().is_some()).await;
    drop(again);
    let third = bench.connect(&address).await;
    let state = third.state().await.unwrap();
    assert_eq!((state.status, state.exit_status), (Status::STOPPED.into(), 3));
    assert!(state.exited_at.is_some() && state.stdout.starts_with("drua-log:"));
    assert_eq!(third.wait().await.unwrap(), 3);
    let mut connect = api::ConnectRequest::new();
    connect.id = bench.id.clone();
    let connected = third.task.connect(Context::default(), &connect).await.unwrap();
    assert_eq!((connected.task_pid, connected.shim_pid), (pid, bench.shim_pid()));
}

async fn ignores_sigterm_but_not_sigkill(bench: Bench) {
    let shim = bench.create(&bench.shell("trap '' TERM; echo ready; while :; do sleep 1; done")).await;
    shim.start().await.unwrap();
    until(|| !bench.log().is_empty()).await;
    shim.kill(15).await.unwrap();
    assert_eq!(shim.state().await.unwrap().status, Status::RUNNING.into());
    shim.kill(9).await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 137);
    let (code, message) = code(shim.kill(9).await);
    assert_eq!((code, message.as_str()), (Code::NOT_FOUND, "process already finished"));
}

async fn deletes_what_was_never_started(bench: Bench) {
    let shim = bench.create(&bench.shell("echo never")).await;
    let pid = shim.state().await.unwrap().pid;
    assert_eq!(shim.delete().await.unwrap().exit_status, 137);
    assert!(!is_alive(pid));
    assert_eq!(code(shim.state().await).0, Code::NOT_FOUND);
    assert_eq!(bench.log(), []);
    shim.shutdown().await.unwrap();
}

async fn refuses_what_makes_no_sense(bench: Bench) {
    let shim = bench.create(&bench.shell("read line")).await;
    assert_eq!(code(shim.create(&bench.create_request()).await).0, Code::FAILED_PRECONDITION);
    shim.start().await.unwrap();
    assert_eq!(code(shim.start().await).0, Code::FAILED_PRECONDITION);
    let (status, message) = code(shim.delete().await);
    assert_eq!((status, message.as_str()), (Code::FAILED_PRECONDITION, "cannot delete a container that is running"));
    shim.shutdown().await.unwrap();
    let mut other = shim.clone();
    other.id = "other".to_owned();
    assert_eq!(code(other.state().await), (Code::NOT_FOUND, "container other not found".to_owned()));
    let mut resize = api::ResizePtyRequest::new();
    resize.id = bench.id.clone();
    let (status, message) = code(shim.task.resize_pty(Context::default(), &resize).await);
    assert_eq!((status, message.as_str()), (Code::FAILED_PRECONDITION, "the container has no terminal"));
    assert_eq!(code(shim.kill(99).await).0, Code::INVALID_ARGUMENT);
    assert_eq!(shim.state().await.unwrap().status, Status::RUNNING.into(), "and it runs on");
}

async fn pauses_and_resumes(bench: Bench) {
    let shim = bench.create(&bench.shell("while :; do :; done")).await;
    shim.start().await.unwrap();
    let (mut pause, mut resume) = (api::PauseRequest::new(), api::ResumeRequest::new());
    pause.id = bench.id.clone();
    resume.id = bench.id.clone();
    shim.task.pause(Context::default(), &pause).await.unwrap();
    assert_eq!(shim.state().await.unwrap().status, Status::PAUSED.into());
    assert_eq!(code(shim.task.pause(Context::default(), &pause).await).0, Code::FAILED_PRECONDITION);
    shim.task.resume(Context::default(), &resume).await.unwrap();
    assert_eq!(shim.state().await.unwrap().status, Status::RUNNING.into());
    shim.task.pause(Context::default(), &pause).await.unwrap();
    shim.kill(9).await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 137, "a frozen container dies as well");
}

async fn reports_pids_and_stats_and_takes_limits(bench: Bench) {
    let shim = bench.create(&bench.shell("sleep 1000 & read line")).await;
    let init = shim.start().await.unwrap();
    let mut request = api::PidsRequest::new();
    request.id = bench.id.clone();
    let pids = loop {
        let pids = shim.task.pids(Context::default(), &request).await.unwrap().processes;
        if pids.len() >= 2 {
            break pids;
        }
    };
    assert!(pids.iter().any(|process| process.pid == init) && pids.len() == 2);
    let mut update = api::UpdateTaskRequest::new();
    update.id = bench.id.clone();
    let mut resources = Any::new();
    resources.type_url = "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources".to_owned();
    resources.value = br#"{"memory":{"limit":67108864},"pids":{"limit":32}}"#.to_vec();
    update.resources = Some(resources).into();
    shim.task.update(Context::default(), &update).await.unwrap();
    update.resources = Some(Any::new()).into();
    assert_eq!(code(shim.task.update(Context::default(), &update).await).0, Code::INVALID_ARGUMENT);
    let mut request = api::StatsRequest::new();
    request.id = bench.id.clone();
    let stats = shim.task.stats(Context::default(), &request).await.unwrap().stats.unwrap();
    assert_eq!(stats.type_url, "io.containerd.cgroups.v1.Metrics");
    let metrics = Metrics::parse_from_bytes(&stats.value).unwrap();
    assert_eq!((metrics.pids.current, metrics.pids.limit), (2, 32));
    assert_eq!(metrics.memory.usage.limit, 67_108_864);
    assert!(metrics.cpu.usage.total > 0 && metrics.memory.usage.usage > 0);
    let mut kill = api::KillRequest::new();
    (kill.id, kill.signal, kill.all) = (bench.id.clone(), 9, true);
    shim.task.kill(Context::default(), &kill).await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 137);
}

async fn version_2_of_the_service_is_the_same(bench: Bench) {
    let shim = bench.create(&bench.shell("true")).await;
    let client = Client::connect(&shim.address).await.unwrap();
    let mut state = api::StateRequest::new();
    state.id = bench.id.clone();
    let mut request = Request::new();
    request.service = "containerd.task.v2.Task".to_owned();
    request.method = "State".to_owned();
    request.payload = state.write_to_bytes().unwrap();
    let response = client.request(request.clone()).await.unwrap();
    let state = api::StateResponse::parse_from_bytes(&response.payload).unwrap();
    assert_eq!((state.id, state.status), (bench.id.clone(), Status::CREATED.into()));
    request.service = "containerd.task.v9.Task".to_owned();
    assert!(matches!(client.request(request).await, Err(ttrpc::Error::RpcStatus(_))));
}

async fn a_clean_process_environment(bench: Bench) {
    let script = "grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l; cat /proc/self/oom_score_adj";
    let shim = bench.create(&bench.shell(script)).await;
    assert_eq!(shim.run().await, 0);
    let log: String = bench.log().into_iter().map(|line| line.log).collect();
    let lines: Vec<&str> = log.lines().collect();
    let mask = |line: &str| u64::from_str_radix(line.split_once('\t').unwrap().1, 16).unwrap();
    // glibc's `posix_spawn`, by which this test starts the shim, ignores its own signals 32 and 33 in the child.
    let ours = !(0b11 << 31);
    assert_eq!((mask(lines[0]), mask(lines[1]) & ours), (0, 0), "{log}");
    assert_eq!(&lines[2..], ["4", "0"], "`ls` has its own descriptor for the directory");
}

async fn a_rootfs_of_many_layers(bench: Bench) {
    let layer = |index: usize| bench.path(&format!("layer-{index:02}-{}", "x".repeat(120)));
    let mut lowers = Vec::new();
    for index in 0..40 {
        std::fs::create_dir(layer(index)).unwrap();
        std::fs::write(layer(index).join(format!("file-{index}")), index.to_string()).unwrap();
        lowers.push(layer(index).display().to_string());
    }
    lowers.push(bench.path("lower").display().to_string());
    let lower = lowers.join(":");
    assert!(lower.len() > 4096);
    let shim = bench.start_shim(&bench.shell("cat /file-0 /file-39; echo x > /new")).await;
    let mut request = bench.create_request();
    request.rootfs = vec![overlay(&lower, &bench)];
    shim.create(&request).await.unwrap();
    assert_eq!(shim.run().await, 0);
    assert_eq!(bench.log(), [line("stdout", "039")]);
    assert_eq!(std::fs::read_to_string(bench.path("upper/new")).unwrap(), "x\n");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&bench.bundle().display().to_string()), "the host does not see the mount");
}

async fn reaps_orphans_with_a_shared_pid_namespace(bench: Bench) {
    let mut spec = bench.shell("(true &); (sh -c 'exit 5' &); read line");
    spec.pid = drua_runtime::spec::Namespace::Host;
    let shim = bench.create(&spec).await;
    let init = shim.start().await.unwrap();
    let children = format!("/proc/{0}/task/{0}/children", bench.shim_pid());
    until(|| std::fs::read_to_string(&children).unwrap().trim() == init.to_string()).await;
    shim.close_stdin().await.unwrap();
    assert_eq!(shim.wait().await.unwrap(), 1, "`read` met the end of its input");
}

async fn an_out_of_memory_kill_is_recorded(bench: Bench) {
    let mut spec = bench.shell("head -c 100000000 /dev/zero | tail; exit 5");
    (spec.resources.memory, spec.resources.memory_swap) = (Some(16 << 20), Some(16 << 20));
    let shim = bench.create(&spec).await;
    assert_eq!(shim.run().await, 5, "only `tail` was killed");
    assert_eq!(bench.exit_record().unwrap()["oom_killed"], true);
}

async fn a_bundle_can_be_used_again_at_once(bench: Bench) {
    for round in 0..3 {
        let shim = bench.create(&bench.shell("yes | head -c 100000; read line; exit 3")).await;
        assert_eq!(bench.exit_record(), None, "the record of the last round is gone");
        // Never read, so that each shim still says goodbye to it when the next one starts.
        std::mem::forget(bench.attach(false).await);
        shim.start().await.unwrap();
        shim.close_stdin().await.unwrap();
        assert_eq!(shim.wait().await.unwrap(), 3, "round {round}");
        shim.delete().await.unwrap();
        shim.shutdown().await.unwrap();
    }
}
