//! What the container may not do.

use drua_runtime::spec::{CgroupLayout, ContainerSpec, Resources, SeccompMode, resources};
use drua_runtime::users::ResolvedUser;
use drua_types::Signal;

use crate::fixture::{Fixture, UnifiedCgroups, host, status};

/// Docker's 14 capabilities as a bit mask.
const DEFAULT_MASK: &str = "00000000a80425fb";
const NONE: &str = "0000000000000000";

#[track_caller]
fn check_status(spec: &ContainerSpec, fixture: &Fixture, expect: &[(&str, &str)]) {
    let mut running = fixture.create(spec);
    let pid = running.sandbox.pid();
    for (field, value) in expect {
        assert_eq!(status(pid, field), *value, "{field} of a created container");
    }
    running.sandbox.start().expect("start");
    for (field, value) in expect {
        assert_eq!(status(pid, field), *value, "{field} of a running container");
    }
    running.sandbox.kill(Signal::KILL).expect("kill");
    assert_eq!(running.finish().code, 137);
}

pub(crate) fn capabilities_and_seccomp_are_in_force_before_the_start() {
    let fixture = Fixture::new();
    let expect = [
        ("CapInh", NONE),
        ("CapPrm", DEFAULT_MASK),
        ("CapEff", DEFAULT_MASK),
        ("CapBnd", DEFAULT_MASK),
        ("CapAmb", NONE),
        ("Seccomp", "2"),
        ("NoNewPrivs", "0"),
    ];
    check_status(&fixture.spec(&["sleep", "100"]), &fixture, &expect);
}

pub(crate) fn no_new_privileges_is_in_force() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["sleep", "100"]);
    spec.no_new_privileges = true;
    spec.cap_drop = vec!["all".to_owned()];
    spec.cap_add = vec!["net_bind_service".to_owned()];
    let expect =
        [("CapEff", "0000000000000400"), ("CapBnd", "0000000000000400"), ("Seccomp", "2"), ("NoNewPrivs", "1")];
    check_status(&spec, &fixture, &expect);
}

pub(crate) fn other_users_have_no_capabilities_in_effect() {
    let fixture = Fixture::new();
    let mut spec = fixture.spec(&["sleep", "100"]);
    spec.user = ResolvedUser { uid: 1000, gid: 1000, additional_gids: vec![1000], home: "/".to_owned() };
    let expect = [("CapEff", NONE), ("CapPrm", NONE), ("CapBnd", DEFAULT_MASK), ("Seccomp", "2"), ("Groups", "1000")];
    check_status(&spec, &fixture, &expect);
}

pub(crate) fn mounting_and_new_namespaces_are_denied() {
    let fixture = Fixture::new();
    let script = "mount -t tmpfs none /mnt; unshare -m true; unshare -U true; mount -o remount,rw /proc/sys; \
                  umount /proc/kcore; echo end";
    let out = fixture.run(&fixture.sh(&format!("mkdir -p /mnt; {script}")));
    assert_eq!(out.stdout, "end\n");
    assert_eq!(
        out.stderr.lines().filter(|line| line.contains("ot permitted") || line.contains("denied")).count(),
        5,
        "{out:?}"
    );
}

pub(crate) fn privileged_containers_may_mount() {
    let fixture = Fixture::new();
    let mut spec =
        fixture.sh("mkdir -p /mnt && mount -t tmpfs none /mnt && unshare -m true && echo yes; cat /proc/self/status");
    spec.privileged = true;
    let out = fixture.run(&spec);
    assert!(out.stdout.starts_with("yes\n"), "{out:?}");
    assert!(out.stdout.contains("Seccomp:\t0"), "{out:?}");
    let own = status(std::process::id(), "CapBnd");
    assert!(out.stdout.contains(&format!("CapEff:\t{own}")), "all that there is, {own}: {out:?}");
}

pub(crate) fn custom_profiles_apply() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("mkdir /new; uname; echo end");
    let profile = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["mkdir","mkdirat","no_such_call"],"action":"SCMP_ACT_ERRNO","errnoRet":28}]}"#;
    spec.seccomp = SeccompMode::Custom(profile.to_owned());
    let out = fixture.run(&spec);
    assert!(out.stderr.contains("No space left on device"), "{out:?}");
    assert_eq!(out.stdout, "Linux\nend\n");
    // A profile that allows next to nothing must not keep us from reporting that.
    spec.seccomp = SeccompMode::Custom(r#"{"defaultAction":"SCMP_ACT_ERRNO"}"#.to_owned());
    assert!(fixture.try_create(&spec).is_err());
    assert!(!fixture.cgroup_exists());
    let built = drua_runtime::spec::build(&fixture.sh("true"), &host()).expect("valid");
    assert!(built.linux().as_ref().is_some_and(|linux| linux.seccomp().is_some()));
}

pub(crate) fn masked_and_readonly_paths() {
    let fixture = Fixture::new();
    let mut spec = fixture.sh("wc -c < /proc/keys; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : | grep -c .; \
         echo 1 > /proc/sys/kernel/domainname; touch /sys/x /file; true");
    spec.readonly_rootfs = true;
    let out = fixture.run(&spec);
    assert_eq!(out.stdout, "0\n0\n", "{out:?}");
    assert_eq!(out.stderr.matches("ead-only file system").count(), 3, "{out:?}");

    let mut open = fixture.sh(
        "test -e /proc/self/status && touch /file && grep -c -e ' /proc/sys ' -e ' /proc/keys ' /proc/self/mountinfo",
    );
    open.masked_paths = Some(Vec::new());
    open.readonly_paths = Some(Vec::new());
    assert_eq!(fixture.run(&open).stdout, "0\n");
}

pub(crate) fn cgroups_are_readonly_inside() {
    let fixture = Fixture::new();
    let out = fixture.run(&fixture.sh(
        "ls /sys/fs/cgroup | head -1 | wc -l; for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir $d/x 2>/dev/null && echo $d; done; \
         cut -d: -f3 /proc/self/cgroup | sort -u | grep -v '^/$' | head -3",
    ));
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines.first(), Some(&"1"), "{out:?}");
    assert!(!out.stdout.contains("/sys/fs/cgroup"), "a cgroup is writable: {out:?}");
    assert!(!out.stdout.contains(&fixture.parent), "the container sees where its cgroup is: {out:?}");
}

pub(crate) fn only_the_listed_devices_are_usable() {
    let fixture = Fixture::new();
    let out = fixture
        .run(&fixture.sh("for d in null zero full random urandom tty ptmx; do test -c /dev/$d || echo no $d; done; \
         head -c 4 /dev/zero | wc -c; mknod /k c 1 2 && head -c 1 /k; mknod /tun c 10 200 && : < /tun; true"));
    assert_eq!(out.stdout, "4\n", "{out:?}");
    assert_eq!(out.stderr.matches("not permitted").count(), 2, "{out:?}");
}

pub(crate) fn only_the_listed_devices_are_usable_with_cgroup_v2() {
    let _layout = UnifiedCgroups::enter();
    assert_eq!(host().cgroup, CgroupLayout::Unified);
    let denied = |change: &dyn Fn(&mut ContainerSpec)| {
        let fixture = Fixture::new();
        let nodes = "mknod /k c 1 11; mknod /loop b 7 0; mknod /tun c 10 200";
        let opens = "for d in k loop tun; do true < /$d; done; echo end";
        let mut spec = fixture.sh(&format!("head -c 4 /dev/zero | wc -c; {nodes}; {opens}"));
        change(&mut spec);
        let out = fixture.run(&spec);
        assert_eq!(out.stdout, "4\nend\n", "{out:?}");
        out.stderr.matches("not permitted").count()
    };
    assert_eq!(denied(&|_| {}), 3);
    assert_eq!(denied(&|spec| spec.device_cgroup_rules = vec!["b 7:* rw".to_owned()]), 2);
    assert_eq!(denied(&|spec| spec.privileged = true), 0);
}

pub(crate) fn a_cgroup_v2_filter_survives_new_limits() {
    let _layout = UnifiedCgroups::enter();
    let fixture = Fixture::new();
    let mut running = fixture.create(&fixture.sh("mknod /k c 1 11; head -c 1 /k; head -c 1 /dev/zero | wc -c"));
    running.sandbox.update(&resources(&Resources::default(), &host()).expect("valid")).expect("update");
    running.sandbox.start().expect("start");
    let out = running.finish();
    assert!(out.stderr.contains("not permitted"), "{out:?}");
    assert_eq!(out.stdout, "1\n", "{out:?}");
}
