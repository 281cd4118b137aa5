use std::collections::HashSet;

use drua_sys::seccomp::Instruction;
use oci_spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator as Op, LinuxSyscall,
};
use proptest::prelude::*;

use super::compile::{ENOSYS, INT_ARGUMENTS, RET_ALLOW, RET_ERRNO, action_value};
use super::syscalls::highest_number;
use super::*;

/// `struct seccomp_data`, without the instruction pointer.
#[derive(Debug, Clone, Copy)]
struct Call {
    number: u32,
    arch: u32,
    args: [u64; 6],
}

fn call(name: &str, args: &[u64]) -> Call {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    Call { number: syscall_number(name).expect("a known call"), arch: arch::AUDIT_ARCH, args: all }
}

/// Runs a classic BPF program as the kernel would.
fn interpret(program: &[Instruction], call: &Call) -> u32 {
    let mut accumulator: u32 = 0;
    let mut next = 0;
    loop {
        let Instruction { code, jt, jf, k } = program[next];
        next += 1;
        let mut branch = |taken: bool| next += usize::from(if taken { jt } else { jf });
        match code {
            0x20 => accumulator = load(call, k),
            0x54 => accumulator &= k,
            0x05 => next += k as usize,
            0x15 => branch(accumulator == k),
            0x25 => branch(accumulator > k),
            0x35 => branch(accumulator >= k),
            0x06 => return k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn load(call: &Call, offset: u32) -> u32 {
    match offset {
        0 => call.number,
        4 => call.arch,
        16..64 if offset.is_multiple_of(4) => {
            let arg = call.args[(offset as usize - 16) / 8];
            (if offset.is_multiple_of(8) { arg } else { arg >> 32 }) as u32
        }
        other => panic!("load from {other}"),
    }
}

/// What the rules say, read off one after the other.
fn judge(profile: &LinuxSeccomp, call: &Call) -> u32 {
    let default = action_value(profile.default_action(), profile.default_errno_ret()).expect("an action");
    let enosys = RET_ERRNO | ENOSYS;
    let Some(name) = syscall_name(call.number) else {
        let is_new = call.number > highest_number() && default & 0xffff_0000 == RET_ERRNO;
        return if is_new { enosys } else { default };
    };
    for rule in profile.syscalls().iter().flatten().filter(|rule| rule.names().iter().any(|own| own == name)) {
        let args = rule.args().as_deref().unwrap_or_default();
        let distinct: HashSet<usize> = args.iter().map(|arg| arg.index()).collect();
        let holds = |arg: &LinuxSeccompArg| compares(name, arg, call.args[arg.index()]);
        let matches = if distinct.len() == args.len() { args.iter().all(holds) } else { args.iter().any(holds) };
        if matches {
            return action_value(rule.action(), rule.errno_ret()).expect("an action");
        }
    }
    default
}

fn compares(name: &str, arg: &LinuxSeccompArg, actual: u64) -> bool {
    let width = if INT_ARGUMENTS.contains(&(name, arg.index())) { u64::from(u32::MAX) } else { u64::MAX };
    let (actual, value, two) = (actual & width, arg.value() & width, arg.value_two().unwrap_or(0) & width);
    match arg.op() {
        Op::ScmpCmpEq => actual == value,
        Op::ScmpCmpNe => actual != value,
        Op::ScmpCmpLt => actual < value,
        Op::ScmpCmpLe => actual <= value,
        Op::ScmpCmpGt => actual > value,
        Op::ScmpCmpGe => actual >= value,
        Op::ScmpCmpMaskedEq => actual & value == two,
    }
}

fn profile(default: Action, rules: Vec<LinuxSyscall>) -> LinuxSeccomp {
    let mut profile = LinuxSeccomp::default();
    profile.set_default_action(default).set_syscalls(Some(rules));
    profile
}

fn rule(names: &[&str], action: Action, args: Vec<LinuxSeccompArg>) -> LinuxSyscall {
    let mut rule = LinuxSyscall::default();
    rule.set_names(names.iter().map(|name| (*name).to_owned()).collect()).set_action(action).set_args(Some(args));
    rule
}

fn any_value() -> impl Strategy<Value = u64> {
    // Values near each other and near the 32-bit border, so that comparisons come out both ways.
    prop_oneof![0u64..4, Just(u64::from(u32::MAX)), (1u64 << 32)..(1 << 32) + 4, Just(u64::MAX), any::<u64>()]
}

fn any_arg() -> impl Strategy<Value = LinuxSeccompArg> {
    let op = prop::sample::select(vec![
        Op::ScmpCmpEq,
        Op::ScmpCmpNe,
        Op::ScmpCmpLt,
        Op::ScmpCmpLe,
        Op::ScmpCmpGt,
        Op::ScmpCmpGe,
        Op::ScmpCmpMaskedEq,
    ]);
    (0usize..6, any_value(), any_value(), op).prop_map(|(index, value, two, op)| {
        LinuxSeccompArgBuilder::default().index(index).value(value).value_two(two).op(op).build().expect("defaults")
    })
}

fn any_action() -> impl Strategy<Value = Action> {
    prop::sample::select(vec![
        Action::ScmpActAllow,
        Action::ScmpActErrno,
        Action::ScmpActKillProcess,
        Action::ScmpActLog,
    ])
}

fn any_number() -> impl Strategy<Value = u32> {
    prop_oneof![0u32..480, Just(41), Just(135), 0u32..0x4000_0000]
}

fn any_rule() -> impl Strategy<Value = LinuxSyscall> {
    let names = prop::collection::vec(0u32..470, 1..40)
        .prop_map(|numbers| numbers.into_iter().filter_map(syscall_name).map(str::to_owned).collect::<Vec<_>>());
    let names = prop_oneof![names, Just(vec!["socket".to_owned(), "personality".to_owned(), "no_such".to_owned()])];
    (names, any_action(), prop::collection::vec(any_arg(), 0..4), prop::option::of(1u32..100)).prop_map(
        |(names, action, args, errno)| {
            let mut rule = LinuxSyscall::default();
            rule.set_names(names).set_action(action).set_args(Some(args)).set_errno_ret(errno);
            rule
        },
    )
}

proptest! {
    #[test]
    fn the_filter_does_what_the_rules_say(
        default in any_action(),
        rules in prop::collection::vec(any_rule(), 0..12),
        calls in prop::collection::vec((any_number(), prop::array::uniform6(any_value())), 200),
    ) {
        let profile = profile(default, rules);
        let filter = compile(&profile).expect("compiles");
        for (number, args) in calls {
            let call = Call { number, arch: arch::AUDIT_ARCH, args };
            prop_assert_eq!(interpret(filter.program(), &call), judge(&profile, &call), "{:?}", call);
        }
    }
}

fn docker(capabilities: &[Capability]) -> LinuxSeccomp {
    Profile::docker_default().resolve(&capabilities.iter().copied().collect(), (6, 1))
}

#[track_caller]
fn check(profile: &LinuxSeccomp, name: &str, args: &[u64], expect: u32) {
    let filter = compile(profile).expect("compiles");
    let call = call(name, args);
    assert_eq!(interpret(filter.program(), &call), expect, "{name} {args:?}");
    assert_eq!(judge(profile, &call), expect, "{name} {args:?} by the rules");
}

const EPERM: u32 = RET_ERRNO | 1;

#[test]
fn dockers_profile() {
    let profile = docker(&crate::spec::DEFAULT_CAPABILITIES);
    for name in ["read", "execve", "openat", "futex", "ptrace", "chroot", "memfd_create"] {
        check(&profile, name, &[], RET_ALLOW);
    }
    for name in ["mount", "unshare", "setns", "bpf", "keyctl", "io_uring_setup", "userfaultfd", "reboot", "init_module"]
    {
        check(&profile, name, &[], EPERM);
    }
    // Threads and processes may be made, namespaces not, and clone3 does not exist.
    check(&profile, "clone", &[0x0001_1200], RET_ALLOW);
    for flag in [0x0002_0000u64, 0x0200_0000, 0x0400_0000, 0x0800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000] {
        check(&profile, "clone", &[flag | 17], EPERM);
    }
    check(&profile, "clone3", &[], RET_ERRNO | ENOSYS);
    for (family, verdict) in
        [(1, RET_ALLOW), (2, RET_ALLOW), (38, EPERM), (39, RET_ALLOW), (40, EPERM), (41, RET_ALLOW)]
    {
        check(&profile, "socket", &[family], verdict);
        // The kernel looks at the lower half only, so must we.
        check(&profile, "socket", &[family | 7 << 32], verdict);
    }
    for (personality, verdict) in
        [(0, RET_ALLOW), (8, RET_ALLOW), (0xffff_ffff, RET_ALLOW), (u64::MAX, RET_ALLOW), (0x4_0000, EPERM)]
    {
        check(&profile, "personality", &[personality], verdict);
    }
}

#[test]
fn capabilities_open_system_calls() {
    let profile = docker(&[Capability::SysAdmin]);
    for name in ["mount", "unshare", "setns", "clone3", "fsopen"] {
        check(&profile, name, &[], RET_ALLOW);
    }
    check(&profile, "clone", &[0x7e02_0000], RET_ALLOW);
    check(&docker(&[]), "chroot", &[], EPERM);
    check(&docker(&[Capability::SysTime]), "clock_settime", &[], RET_ALLOW);
    let old = Profile::docker_default().resolve(&HashSet::new(), (4, 4));
    check(&old, "ptrace", &[], EPERM);
}

#[test]
fn foreign_calls_and_new_ones_do_not_exist() {
    let filter = compile(&docker(&[])).expect("compiles");
    let call = |number, arch| Call { number, arch, args: [0; 6] };
    let enosys = RET_ERRNO | ENOSYS;
    assert_eq!(interpret(filter.program(), &call(1, 0x4000_0003)), enosys, "i386");
    assert_eq!(
        interpret(filter.program(), &call(highest_number() + 1, arch::AUDIT_ARCH)),
        enosys,
        "a call of tomorrow"
    );
    #[cfg(target_arch = "x86_64")]
    assert_eq!(interpret(filter.program(), &call(0x4000_0000, arch::AUDIT_ARCH)), enosys, "x32");
    // A profile that forbids single calls must not be open for other ABIs.
    let deny = profile(Action::ScmpActAllow, vec![rule(&["mkdir"], Action::ScmpActErrno, Vec::new())]);
    let filter = compile(&deny).expect("compiles");
    assert_eq!(interpret(filter.program(), &call(39, 0x4000_0003)), enosys);
    assert_eq!(interpret(filter.program(), &call(100_000, arch::AUDIT_ARCH)), RET_ALLOW);
}

#[test]
fn the_tree_is_small_and_flat() {
    let filter = compile(&docker(&crate::spec::DEFAULT_CAPABILITIES)).expect("compiles");
    let program = filter.program();
    assert!(program.len() < 200, "{} instructions", program.len());
    let steps = |number| {
        let call = Call { number, arch: arch::AUDIT_ARCH, args: [0; 6] };
        let mut path = 0;
        let mut next = 0;
        while program[next].code != 0x06 {
            let Instruction { code, jt, jf, k } = program[next];
            next += 1;
            path += 1;
            match code {
                0x05 => next += k as usize,
                0x35 => next += usize::from(if call.number >= k { jt } else { jf }),
                0x15 => next += usize::from(jt),
                _ => {}
            }
            assert!(path < 40);
        }
        path
    };
    assert!((0..500).all(|number| steps(number) < 24));
}

#[test]
fn numbers_and_names() {
    assert_eq!(syscall_number("no_such_call"), None);
    assert_eq!(syscall_name(syscall_number("openat2").expect("known")), Some("openat2"));
    let mut seen = HashSet::new();
    for number in 0..=highest_number() {
        if let Some(name) = syscall_name(number) {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(syscall_number(name), Some(number));
        }
    }
    assert!(seen.len() > 290);
    let rules = Profile::docker_default().rules;
    let known = rules[0].names.iter().filter(|name| syscall_number(name).is_some()).count();
    assert!(rules[0].names.len() >= 355 && known > 240, "{known} of {}", rules[0].names.len());
}

#[test]
fn profiles_in_dockers_json() {
    let text = r#"{
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}],
        "syscalls": [
            {"names": ["read", "write", "martian"], "action": "SCMP_ACT_ALLOW", "comment": "", "args": [], "includes": {}, "excludes": {}},
            {"name": "mount", "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
            {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 2114060288, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}], "excludes": {"caps": ["CAP_SYS_ADMIN"], "arches": ["s390", "s390x"]}},
            {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "args": null, "includes": {"minKernel": "4.8"}}
        ]}"#;
    let custom = Profile::from_json(text).expect("valid");
    let resolved = custom.resolve(&HashSet::new(), (6, 1));
    check(&resolved, "read", &[], RET_ALLOW);
    check(&resolved, "mount", &[], RET_ERRNO | 38);
    check(&resolved, "clone", &[17], RET_ALLOW);
    check(&resolved, "clone", &[0x1000_0000], RET_ERRNO | 38);
    check(&resolved, "ptrace", &[], RET_ALLOW);
    check(&custom.resolve(&HashSet::from([Capability::SysAdmin]), (4, 4)), "mount", &[], RET_ALLOW);

    let rule = |text: &str| Profile::from_json(&format!(r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{text}]}}"#));
    assert!(matches!(Profile::from_json("{"), Err(ProfileError::Json(_))));
    assert!(matches!(rule(r#"{"action":"SCMP_ACT_ALLOW"}"#), Err(ProfileError::Names)));
    let args = r#"{"name":"read","action":"SCMP_ACT_ALLOW","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}"#;
    assert!(matches!(rule(args), Err(ProfileError::Argument(6))));
    let caps = r#"{"name":"read","action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_NOPE"]}}"#;
    assert!(matches!(rule(caps), Err(ProfileError::Capability(_))));
    let kernel = r#"{"name":"read","action":"SCMP_ACT_ALLOW","includes":{"minKernel":"new"}}"#;
    assert!(matches!(rule(kernel), Err(ProfileError::Kernel(_))));
    assert!(matches!(Profile::from_json(&" ".repeat(2 << 20)), Err(ProfileError::TooLarge)));
}

#[test]
fn what_cannot_be_compiled() {
    let notify = profile(Action::ScmpActAllow, vec![rule(&["read"], Action::ScmpActNotify, Vec::new())]);
    assert_eq!(compile(&notify), Err(CompileError::Notify));
    let arg = LinuxSeccompArgBuilder::default().index(9usize).build().expect("defaults");
    let argument = profile(Action::ScmpActAllow, vec![rule(&["read"], Action::ScmpActErrno, vec![arg])]);
    assert_eq!(compile(&argument), Err(CompileError::Argument(9)));
    let many: Vec<LinuxSyscall> = (0..2000u64)
        .map(|value| {
            let arg = LinuxSeccompArgBuilder::default().value(value).build().expect("defaults");
            rule(&["read"], if value % 2 == 0 { Action::ScmpActErrno } else { Action::ScmpActLog }, vec![arg])
        })
        .collect();
    assert!(matches!(compile(&profile(Action::ScmpActAllow, many)), Err(CompileError::TooLarge(_))));
}
