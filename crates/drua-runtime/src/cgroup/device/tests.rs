//! The program in an interpreter and in the kernel, against the rules read directly.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use drua_types::Hint as _;
use proptest::prelude::*;

use super::*;

/// What a process wants of a device: `struct bpf_cgroup_dev_ctx`.
#[derive(Debug, Clone, Copy)]
struct Request {
    kind: u32,
    access: u32,
    major: u32,
    minor: u32,
}

/// Runs a program as the kernel would, as far as our instructions go.
fn interpret(program: &[Instruction], request: Request) -> bool {
    let mut registers = [0_u32; 16];
    let mut next = 0;
    loop {
        let Instruction { code, registers: operands, offset, immediate } = program[next];
        let (destination, source) = (usize::from(operands & 0xf), usize::from(operands >> 4));
        let immediate = immediate.cast_unsigned();
        let mut skip = 0;
        match code {
            LOAD_WORD => {
                assert_eq!(source, usize::from(CONTEXT));
                registers[destination] = match offset {
                    0 => request.access << 16 | request.kind,
                    4 => request.major,
                    8 => request.minor,
                    _ => panic!("no field at {offset}"),
                };
            }
            MOVE => registers[destination] = immediate,
            MOVE_REGISTER => registers[destination] = registers[source],
            AND => registers[destination] &= immediate,
            SHIFT_RIGHT => registers[destination] >>= immediate,
            JUMP_IF_EQUAL if registers[destination] == immediate => skip = offset,
            JUMP_IF_DIFFERENT if registers[destination] != immediate => skip = offset,
            JUMP_IF_EQUAL | JUMP_IF_DIFFERENT => {}
            EXIT => return registers[usize::from(VERDICT)] == 1,
            _ => panic!("unknown instruction {code:#x}"),
        }
        next += 1 + usize::try_from(skip).expect("the kernel refuses loops");
    }
}

/// For each access that is wanted, the last rule about it.
fn judge(rules: &[LinuxDeviceCgroup], request: Request) -> bool {
    let matches = |rule: &LinuxDeviceCgroup, letter: char| {
        let kind = match rule.typ().unwrap_or_default() {
            LinuxDeviceType::A => true,
            LinuxDeviceType::B => request.kind == BLOCK,
            LinuxDeviceType::C | LinuxDeviceType::U => request.kind == CHARACTER,
            LinuxDeviceType::P => false,
        };
        let number =
            |wanted: Option<i64>, actual: u32| wanted.is_none_or(|wanted| wanted == -1 || wanted == i64::from(actual));
        let access = match rule.access().as_deref() {
            None | Some("") => !rule.allow(),
            Some(letters) => letters.contains(letter),
        };
        kind && access && number(rule.major(), request.major) && number(rule.minor(), request.minor)
    };
    let allowed = |letter| rules.iter().rev().find(|rule| matches(rule, letter)).is_some_and(LinuxDeviceCgroup::allow);
    [('m', MKNOD), ('r', READ), ('w', WRITE)]
        .iter()
        .filter(|(_, bit)| request.access & bit != 0)
        .all(|(letter, _)| allowed(*letter))
}

/// `allow c 1:3 rwm`.
fn rule(text: &str) -> LinuxDeviceCgroup {
    let words: Vec<&str> = text.split([' ', ':']).collect();
    let [verb, kind, major, minor, access] = words.as_slice() else { panic!("no rule: {text}") };
    let kind = match *kind {
        "a" => LinuxDeviceType::A,
        "b" => LinuxDeviceType::B,
        "c" => LinuxDeviceType::C,
        _ => panic!("no type: {kind}"),
    };
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(*verb == "allow")
        .set_typ(Some(kind))
        .set_major(major.parse().ok())
        .set_minor(minor.parse().ok())
        .set_access(Some((*access).to_owned()));
    rule
}

fn rules(texts: &[&str]) -> Vec<LinuxDeviceCgroup> {
    texts.iter().map(|text| rule(text)).collect()
}

/// `c 1:3 rw`.
#[track_caller]
fn check(rules: &[LinuxDeviceCgroup], request: &str, expect: bool) {
    let wanted = Rule::read(&rule(&format!("allow {request}"))).expect("a device");
    let field = |field: Option<u32>| field.expect("a number");
    let request = Request {
        kind: field(wanted.kind),
        access: wanted.access,
        major: field(wanted.major),
        minor: field(wanted.minor),
    };
    assert_eq!(judge(rules, request), expect, "{request:?} by the rules");
    assert_eq!(interpret(&compile(rules), request), expect, "{request:?} by the program");
}

#[test]
fn the_last_rule_about_each_access_decides() {
    check(&[], "c 1:3 r", false);
    let list = rules(&["deny a *:* rwm", "allow c *:* m", "allow c 1:3 r", "allow c 136:* rw", "allow c 1:3 w"]);
    check(&list, "c 1:3 r", true);
    check(&list, "c 1:3 rw", true);
    check(&list, "c 1:3 rwm", true);
    check(&list, "b 1:3 r", false);
    check(&list, "c 1:5 r", false);
    check(&list, "c 1:5 m", true);
    check(&list, "c 136:77 rw", true);
    check(&list, "b 254:0 m", false);
    let list = rules(&["allow a *:* rwm", "deny b 8:* w", "allow b 8:1 w"]);
    check(&list, "b 8:0 r", true);
    check(&list, "b 8:0 rw", false);
    check(&list, "b 8:1 rw", true);
    check(&list, "b 9:0 rwm", true);
    // Numbers with the top bit set are not negative ones.
    check(&rules(&["allow c 4294967294:3 r"]), "c 4294967294:3 r", true);
}

#[test]
fn what_docker_lets_containers_use() {
    let list = [rules(&["deny a *:* rwm"]), standard_device_rules()].concat();
    for device in ["c 1:3 rw", "c 1:5 rw", "c 1:9 r", "c 5:0 rw", "c 5:2 rw", "c 136:4 rw", "b 254:0 m", "c 10:200 m"] {
        check(&list, device, true);
    }
    for device in ["b 254:0 r", "b 7:0 w", "b 8:0 rm", "c 1:1 r", "c 1:11 w", "c 10:200 rw", "c 10:232 rw"] {
        check(&list, device, false);
    }
}

#[test]
fn privileged_containers_need_no_program() {
    let nowhere = Path::new("/nonexistent");
    limit(nowhere, &rules(&["deny a *:* rwm", "allow a *:* rwm"])).expect("nothing to do");
    assert!(limit(nowhere, &rules(&["allow a *:* rw"])).is_err());
    assert!(limit(nowhere, &rules(&["allow a *:* rwm", "deny b 8:0 r"])).is_err());
}

#[test]
fn who_may_not_load_a_program_is_told_why() {
    // Capabilities belong to threads.
    let attempt = std::thread::spawn(|| {
        caps::clear(None, caps::CapSet::Effective).expect("fewer capabilities");
        limit(Path::new("/"), &[])
    });
    let error = attempt.join().expect("no panic").expect_err("no container without its filter");
    assert_eq!(
        drua_types::error_chain(&error),
        "cannot load the device filter of cgroup `/`: Operation not permitted (os error 1)"
    );
    assert!(error.hints()[0].contains("user namespaces"), "{error:?}");
    let error = limit(Path::new("/"), &[]).expect_err("that is no cgroup");
    assert!(error.to_string().starts_with("cannot attach the device filter"), "{error}");
    assert!(error.hints().is_empty());
}

fn any_number() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![3 => (0_i64..3).prop_map(Some), 1 => Just(None), 1 => prop::sample::select(vec![-2, -1, 1 << 32]).prop_map(Some)]
}

fn any_rule() -> impl Strategy<Value = LinuxDeviceCgroup> {
    use LinuxDeviceType::{A, B, C, P, U};
    let kind = prop::option::of(prop::sample::select(vec![A, B, C, U, P]));
    let access = prop::option::of(prop::sample::subsequence(vec!['r', 'w', 'm'], 0..=3));
    (any::<bool>(), kind, any_number(), any_number(), access).prop_map(|(allow, kind, major, minor, access)| {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(allow).set_typ(kind).set_major(major).set_minor(minor);
        rule.set_access(access.map(String::from_iter));
        rule
    })
}

proptest! {
    #[test]
    fn the_program_does_what_the_rules_say(rules in prop::collection::vec(any_rule(), 0..10)) {
        let program = compile(&rules);
        for (kind, access) in [BLOCK, CHARACTER].into_iter().flat_map(|kind| (1..8).map(move |access| (kind, access))) {
            for (major, minor) in (0..4).flat_map(|major| (0..4).map(move |minor| (major, minor))) {
                let request = Request { kind, access, major, minor };
                prop_assert_eq!(interpret(&program, request), judge(&rules, request), "{:?}", request);
            }
        }
        bpf::load_device_filter(&program).expect("the kernel's verifier likes it");
    }
}

#[test]
fn long_lists_are_loaded() {
    let list: Vec<_> = (0..500).map(|number| rule(&format!("allow b {number}:{} rw", number % 7))).collect();
    bpf::load_device_filter(&compile(&list)).expect("the kernel's verifier has the patience");
}

/// A cgroup of our own where this host mounts cgroup v2, alone or beside v1.
struct TestCgroup(PathBuf);

impl TestCgroup {
    fn new(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("a cgroup v2 file system");
        let root = Path::new(mount.split(' ').nth(4).expect("a mount point"));
        let path = root.join(format!("{name}-{}", std::process::id()));
        fs::create_dir(&path).expect("a cgroup");
        Self(path)
    }

    /// What a shell in the cgroup says.
    #[track_caller]
    fn run(&self, script: &str) -> String {
        let script = format!("echo $$ > {}/cgroup.procs && {{ {script}; }} 2>&1", self.0.display());
        let directory = tempfile::tempdir().expect("a directory");
        let output = Command::new("sh").args(["-c", &script]).current_dir(&directory).output().expect("a shell");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        let removed = fs::remove_dir(&self.0);
        if !std::thread::panicking() {
            removed.expect("the cgroup is empty");
        }
    }
}

#[test]
fn the_kernel_does_what_the_rules_say() {
    let cgroup = TestCgroup::new("drua-device-test");
    let script = "echo x > /dev/null && echo null; head -c 1 /dev/zero | wc -c; mknod loop b 7 0 && echo made; \
                  true < loop; mknod mine c 1 11";
    assert!(cgroup.run("mknod mine c 1 11 && true < mine && echo yes").ends_with("yes\n"), "without a filter");

    limit(&cgroup.0, &rules(&["deny a *:* rwm"])).expect("a filter");
    let output = cgroup.run(script);
    assert!(output.starts_with("null\n1\nmade\n"), "{output}");
    assert_eq!(output.matches("Operation not permitted").count(), 1, "{output}");

    // A second one takes away, and cannot give.
    let program = compile(&rules(&["allow a *:* rwm", "deny b *:* m", "deny c 1:5 r", "deny c 1:11 m"]));
    let program = bpf::load_device_filter(&program).expect("loaded");
    bpf::attach_device_filter(&program, &fs::File::open(&cgroup.0).expect("a cgroup")).expect("attached");
    let output = cgroup.run(script);
    assert!(output.starts_with("null\n"), "{output}");
    assert_eq!(output.matches("Operation not permitted").count(), 3, "{output}");
}
