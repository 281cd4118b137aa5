use super::hierarchy::Hierarchies;
use super::stats::{BlkioEntry, blkio_v1, blkio_v2};
use super::*;

const HYBRID: &str = "\
26 24 0:23 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
27 26 0:24 / /sys/fs/cgroup/cpu,cpuacct rw shared:1 - cgroup cgroup rw,cpu,cpuacct
28 26 0:25 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
29 26 0:26 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
30 26 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
31 26 0:25 / /elsewhere rw,relatime - cgroup cgroup rw,memory
";

#[test]
fn hierarchies() {
    let hybrid = Hierarchies::parse(HYBRID).expect("cgroups");
    let controller = |name: &str| hybrid.controller(name, Path::new("/drua/x")).map(|path| path.display().to_string());
    assert_eq!(controller("cpuacct").as_deref(), Some("/sys/fs/cgroup/cpu,cpuacct/drua/x"));
    assert_eq!(controller("memory").as_deref(), Some("/sys/fs/cgroup/memory/drua/x"));
    assert_eq!(controller("pids"), None);
    assert!(matches!(hybrid, Hierarchies::Split { hybrid: true, .. }));

    let unified = Hierarchies::parse("30 1 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n").expect("cgroups");
    assert_eq!(unified, Hierarchies::Unified("/sys/fs/cgroup".into()));
    assert_eq!(unified.directories(Path::new("/a/b")), [PathBuf::from("/sys/fs/cgroup/a/b")]);
    assert_eq!(Hierarchies::parse("1 1 0:1 / / rw - ext4 /dev/vda rw\n"), None);
}

#[test]
fn block_io() {
    let entry = |operation: &str, value| BlkioEntry { major: 8, minor: 0, operation: operation.to_owned(), value };
    assert_eq!(
        blkio_v1("8:0 Read 10\n8:0 Write 20\n8:0 Total 30\nTotal 30\n"),
        [entry("read", 10), entry("write", 20)]
    );
    let v2 = "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\nnonsense\n";
    assert_eq!(blkio_v2(v2, "bytes"), [entry("read", 10), entry("write", 20), entry("discard", 0)]);
    assert_eq!(blkio_v2(v2, "ios"), [entry("read", 1), entry("write", 2), entry("discard", 0)]);
}

#[test]
fn a_missing_cgroup_is_empty() {
    let cgroup = Cgroup::open(Path::new("/drua-runtime-no-such-cgroup")).expect("this host has cgroups");
    assert_eq!(cgroup.pids().expect("pids"), Vec::<u32>::new());
    cgroup.remove().expect("nothing to do");
    assert!(cgroup.stats().is_err());
}
