//! What a process sees under our runtime and under runc, from the same specification.
//!
//! Differences that are meant, and filtered: hierarchies without a controller (`systemd`, and `unified` beside cgroup v1) are
//! neither mounted nor entered, `/sys/fs/cgroup` is read-only itself (runc 1.1 forgets it), and the empty directories that hide
//! others are `nosuid,nodev,noexec`.

use std::fs;
use std::path::Path;
use std::process::Command;

use drua_runtime::spec::{
    ContainerSpec, DeviceKind, DeviceMapping, MountSource, MountSpec, Propagation, Ulimit, build,
};
use drua_runtime::users::ResolvedUser;

use crate::fixture::{Fixture, host};

/// Prints everything that a runtime decides about, in an order that does not depend on it.
const PROBE: &str = r#"
grep -E '^(Uid|Gid|Groups|NoNewPrivs|Seccomp:|Cap|SigBlk)' /proc/self/status
cat /proc/self/limits /proc/self/oom_score_adj
cut -d: -f2- /proc/self/cgroup | grep -v -e systemd -e '^:' | sort
umask; pwd; env | grep -v '^\(PWD\|SHLVL\|OLDPWD\)=' | sort; hostname
for n in net/ipv4/ip_unprivileged_port_start net/ipv4/ping_group_range kernel/shmmax; do echo $n $(cat /proc/sys/$n); done
cd /dev; stat -c '%n %F %a %u %g %t %T' null zero full random urandom tty pts shm mqueue . | sort; ls -l /dev/fuse 2>/dev/null | cut -d' ' -f1
for l in ptmx fd stdin stdout stderr core; do echo $l $(readlink $l); done
awk '{ for (i = 7; $i != "-"; i++) ; split($6, o, ","); s = ""; for (k in o) f[o[k]] = 1;
  for (k = 1; k <= split("ro rw nosuid nodev noexec noatime relatime", w, " "); k++) if (w[k] in f) s = s " " w[k];
  delete f; print $5, $(i+1), s, $7 ~ /^(shared|master|unbindable)/ ? substr($7, 1, 6) : "" }' /proc/self/mountinfo | grep -v '/sys/fs/cgroup/\(systemd\|unified\)' | sort
ls /sys/fs/cgroup | grep -v '^\(systemd\|unified\)$' | sort | head -20
for p in /proc/keys /proc/timer_list /proc/kcore /sys/firmware /proc/scsi; do [ -e $p ] && echo $p $(ls $p 2>/dev/null | head -1) $(head -c1 $p 2>/dev/null | wc -c); done
for p in /proc/sys/kernel/hostname /proc/sysrq-trigger /sys/x /file; do (: >> $p) 2>/dev/null && echo writes $p; done
ls -a /; ls -l /proc/self/fd | grep -v ' -> /proc' | awk '{print $9}'; tail -n +1 /volume/* /t 2>/dev/null; cut -d' ' -f5,6,7 /proc/self/stat
"#;

#[expect(clippy::print_stderr, reason = "a test may say why it is skipped")]
pub(crate) fn a_probe_sees_what_it_sees_under_runc() {
    if !Command::new("runc").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: runc is not installed");
        return;
    }
    let fixture = Fixture::new();
    let volume = fixture.directory.path().join("volume");
    fs::create_dir(&volume).expect("a directory");
    fs::write(volume.join("file"), "content\n").expect("a file");
    let bind = |destination: &str, readonly, source: &Path| MountSpec {
        destination: destination.to_owned(),
        source: MountSource::Bind { source: source.to_owned(), propagation: Propagation::RPrivate, recursive: true },
        readonly,
        options: Vec::new(),
    };
    let plain = fixture.sh(PROBE);
    let mut user = plain.clone();
    user.user = ResolvedUser { uid: 1000, gid: 1001, additional_gids: vec![20, 1001], home: "/".to_owned() };
    user.no_new_privileges = true;
    user.readonly_rootfs = true;
    user.cwd = "/tmp".to_owned();
    let mut full = plain.clone();
    full.cap_drop = vec!["ALL".to_owned()];
    full.cap_add = vec!["CHOWN".to_owned(), "SYS_PTRACE".to_owned()];
    full.oom_score_adj = Some(200);
    full.sysctls = [("kernel.shmmax".to_owned(), "12345678".to_owned())].into();
    full.ulimits = vec![Ulimit { name: "nofile".to_owned(), soft: 123, hard: 456 }];
    full.devices = vec![DeviceMapping {
        path: "/dev/fuse".into(),
        kind: DeviceKind::Char,
        major: 10,
        minor: 229,
        file_mode: 0o600,
        uid: 0,
        gid: 0,
        access: "rwm".to_owned(),
    }];
    full.mounts = vec![
        bind("/volume", true, &volume),
        bind("/deep/er/file", false, &volume.join("file")),
        MountSpec {
            destination: "/t".to_owned(),
            source: MountSource::Tmpfs { size: Some(1 << 20) },
            readonly: false,
            options: vec!["mode=1700".to_owned()],
        },
    ];
    let mut privileged = plain.clone();
    privileged.privileged = true;
    for (name, spec) in [("plain", plain), ("user", user), ("full", full), ("privileged", privileged)] {
        let theirs = under_runc(&fixture, &spec);
        let ours = fixture.run(&spec);
        assert_eq!(ours.code, 0, "{name}: {ours:?}");
        let differences: Vec<String> = differences(&ours.stdout, &theirs);
        assert!(differences.is_empty(), "{name}: - ours, + runc's\n{}", differences.join("\n"));
    }
}

fn under_runc(fixture: &Fixture, spec: &ContainerSpec) -> String {
    let built = build(spec, &host()).expect("valid");
    let config = serde_json::to_vec(&built).expect("JSON");
    fs::write(fixture.bundle().join("config.json"), config).expect("a file");
    let output = Command::new("runc")
        .args(["--root"])
        .arg(fixture.directory.path().join("runc"))
        .args(["run", "--no-new-keyring", "--bundle"])
        .arg(fixture.bundle())
        .arg(fixture.parent.trim_start_matches('/'))
        .stdin(std::process::Stdio::null())
        .output()
        .expect("runc");
    assert!(output.status.success(), "runc: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines that only one side has, in their order.
fn differences(ours: &str, theirs: &str) -> Vec<String> {
    let count = |text: &str, line: &str| text.lines().filter(|other| *other == line).count();
    let only = |sign: char, this: &str, other: &str| -> Vec<String> {
        let lines = this.lines().filter(|line| count(this, line) != count(other, line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    let meant = |line: &String| {
        let hides = ["/proc/acpi", "/proc/scsi", "/proc/asound", "/sys/firmware", "/sys/devices/"];
        line.contains(" tmpfs ") && (line.contains("/sys/fs/cgroup ") || hides.iter().any(|path| line.contains(path)))
    };
    let lines = [only('-', ours, theirs), only('+', theirs, ours)].concat();
    lines.into_iter().filter(|line| !meant(line)).collect()
}
