//! Rules to classic BPF.
//!
//! ```text
//!       load arch ── foreign? ──► ENOSYS (or the default action, if that kills)
//!       load number ── x32? ────► the same
//!            │
//!        number ≥ pivot?                  a balanced tree over ranges of numbers with equal fate;
//!        ╱            ╲                   a range is one return, or the argument checks of one system call:
//!     …                …                  rule 1 true? return its action; rule 2 true? …; return what is left
//! ```
//!
//! What the rules mean:
//!
//! - For one system call the first rule that matches decides, then the default action.
//! - A rule's comparisons must all be true. Two on the same argument are alternatives instead, as in runc.
//! - Arguments are compared with 64 bits, except where the kernel itself looks at 32 ([`INT_ARGUMENTS`]): otherwise
//!   garbage in the upper half would get past a rule about the lower one.
//! - Where the default is an error, calls that are newer than this program fail with ENOSYS, so that a libc that probes
//!   for them falls back to an older call.

use std::collections::{BTreeMap, HashSet};

use drua_sys::seccomp::{FilterFlags, Instruction};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSeccompOperator, LinuxSyscall,
};

use super::arch;
use super::syscalls::{highest_number, syscall_number};

/// A profile that cannot become a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// `SCMP_ACT_NOTIFY` needs an agent, which drua does not have.
    #[error("the action SCMP_ACT_NOTIFY is not supported")]
    Notify,
    /// A rule compares an argument that no system call has.
    #[error("a rule compares argument {0}; there are arguments 0 to 5")]
    Argument(usize),
    /// The kernel takes 4096 instructions.
    #[error("the profile needs {0} instructions, more than the kernel's 4096")]
    TooLarge(usize),
}

/// A filter, ready to be loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    program: Vec<Instruction>,
    flags: FilterFlags,
}

impl Filter {
    /// The BPF program.
    pub fn program(&self) -> &[Instruction] {
        &self.program
    }

    /// Flags to load it with.
    pub fn flags(&self) -> FilterFlags {
        self.flags
    }
}

/// Compiles a profile for this architecture. System calls that it lacks are ignored.
pub fn compile(profile: &LinuxSeccomp) -> Result<Filter, CompileError> {
    let default = action_value(profile.default_action(), profile.default_errno_ret())?;
    let decisions = decisions(profile, default)?;
    let ranges = ranges(&decisions, default);
    let mut program = prologue(foreign_action(profile.default_action(), default));
    emit_tree(&ranges, &mut program);
    if program.len() > MAX_INSTRUCTIONS {
        return Err(CompileError::TooLarge(program.len()));
    }
    let has = |flag| profile.flags().as_ref().is_some_and(|flags| flags.contains(&flag));
    let flags = FilterFlags {
        log: has(LinuxSeccompFilterFlag::SeccompFilterFlagLog),
        spec_allow: has(LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow),
    };
    Ok(Filter { program, flags })
}

const MAX_INSTRUCTIONS: usize = 4096;
const RET_KILL_PROCESS: u32 = 0x8000_0000;
const RET_KILL_THREAD: u32 = 0;
const RET_TRAP: u32 = 0x0003_0000;
pub(super) const RET_ERRNO: u32 = 0x0005_0000;
const RET_TRACE: u32 = 0x7ff0_0000;
const RET_LOG: u32 = 0x7ffc_0000;
pub(super) const RET_ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 1;
pub(super) const ENOSYS: u32 = 38;

/// `(system call, argument)` that the kernel declares as `int` or `unsigned int`.
pub(super) const INT_ARGUMENTS: &[(&str, usize)] = &[
    ("socket", 0),
    ("socket", 1),
    ("socket", 2),
    ("socketpair", 0),
    ("socketpair", 1),
    ("personality", 0),
    ("prctl", 0),
];

pub(super) fn action_value(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, CompileError> {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => RET_KILL_THREAD,
        LinuxSeccompAction::ScmpActKillProcess => RET_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => RET_TRAP,
        LinuxSeccompAction::ScmpActErrno => RET_ERRNO | data,
        LinuxSeccompAction::ScmpActTrace => RET_TRACE | data,
        LinuxSeccompAction::ScmpActLog => RET_LOG,
        LinuxSeccompAction::ScmpActAllow => RET_ALLOW,
        LinuxSeccompAction::ScmpActNotify => return Err(CompileError::Notify),
    })
}

/// What happens to calls of another ABI: never less than the profile's own default, and never "allow", or a profile
/// that forbids single calls could be bypassed.
fn foreign_action(action: LinuxSeccompAction, default: u32) -> u32 {
    match action {
        LinuxSeccompAction::ScmpActKill
        | LinuxSeccompAction::ScmpActKillThread
        | LinuxSeccompAction::ScmpActKillProcess
        | LinuxSeccompAction::ScmpActTrap => default,
        LinuxSeccompAction::ScmpActErrno
        | LinuxSeccompAction::ScmpActNotify
        | LinuxSeccompAction::ScmpActTrace
        | LinuxSeccompAction::ScmpActLog
        | LinuxSeccompAction::ScmpActAllow => RET_ERRNO | ENOSYS,
    }
}

/// The fate of one system call: the first rule whose conditions all hold, else `otherwise`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decision {
    rules: Vec<(Vec<Condition>, u32)>,
    otherwise: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Condition {
    argument: u32,
    op: LinuxSeccompOperator,
    value: u64,
    value_two: u64,
    is_int: bool,
}

fn decisions(profile: &LinuxSeccomp, default: u32) -> Result<BTreeMap<u32, Decision>, CompileError> {
    let mut decisions: BTreeMap<u32, Decision> = BTreeMap::new();
    let mut settled: HashSet<u32> = HashSet::new();
    for rule in profile.syscalls().iter().flatten() {
        let action = action_value(rule.action(), rule.errno_ret())?;
        for name in rule.names() {
            let Some(number) = syscall_number(name).filter(|number| !settled.contains(number)) else { continue };
            let decision =
                decisions.entry(number).or_insert_with(|| Decision { rules: Vec::new(), otherwise: default });
            let alternatives = alternatives(name, rule)?;
            if alternatives.is_empty() {
                decision.otherwise = action;
                settled.insert(number);
            }
            decision.rules.extend(alternatives.into_iter().map(|conditions| (conditions, action)));
        }
    }
    for decision in decisions.values_mut() {
        while decision.rules.last().is_some_and(|(_, action)| *action == decision.otherwise) {
            decision.rules.pop();
        }
    }
    Ok(decisions)
}

/// The conjunctions any of which makes the rule match; none means that it always does.
fn alternatives(name: &str, rule: &LinuxSyscall) -> Result<Vec<Vec<Condition>>, CompileError> {
    let args = rule.args().as_deref().unwrap_or_default();
    let conditions: Vec<Condition> = args.iter().map(|arg| condition(name, arg)).collect::<Result<_, _>>()?;
    let distinct: HashSet<u32> = conditions.iter().map(|condition| condition.argument).collect();
    Ok(match conditions.len() {
        0 => Vec::new(),
        count if count == distinct.len() => vec![conditions],
        _ => conditions.into_iter().map(|condition| vec![condition]).collect(),
    })
}

fn condition(name: &str, arg: &LinuxSeccompArg) -> Result<Condition, CompileError> {
    let argument = u32::try_from(arg.index()).ok().filter(|index| *index < 6);
    Ok(Condition {
        argument: argument.ok_or(CompileError::Argument(arg.index()))?,
        op: arg.op(),
        value: arg.value(),
        value_two: arg.value_two().unwrap_or(0),
        is_int: INT_ARGUMENTS.contains(&(name, arg.index())),
    })
}

/// A run of numbers, from `start` to the next range's, with the same fate.
struct Range {
    start: u32,
    decision: Decision,
}

fn ranges(decisions: &BTreeMap<u32, Decision>, default: u32) -> Vec<Range> {
    let plain = |otherwise| Decision { rules: Vec::new(), otherwise };
    let mut ranges: Vec<Range> = Vec::new();
    let mut push = |start: u32, decision: Decision| {
        if ranges.last().is_none_or(|last| last.decision != decision) {
            ranges.push(Range { start, decision });
        }
    };
    let end = highest_number() + 1;
    for number in 0..end {
        push(number, decisions.get(&number).cloned().unwrap_or_else(|| plain(default)));
    }
    push(end, plain(if default & 0xffff_0000 == RET_ERRNO { RET_ERRNO | ENOSYS } else { default }));
    ranges
}

// Instruction codes: BPF_LD|BPF_W|BPF_ABS and so on (linux/bpf_common.h).
const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const RETURN: u16 = 0x06;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_GREATER: u16 = 0x25;
const IF_AT_LEAST: u16 = 0x35;

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
/// Arguments are little-endian 64-bit words from here on; we build for no other byte order.
const ARGUMENTS: u32 = 16;

fn plain(code: u16, k: u32) -> Instruction {
    Instruction { code, jt: 0, jf: 0, k }
}

fn prologue(foreign: u32) -> Vec<Instruction> {
    let mut program = vec![
        plain(LOAD, ARCH),
        Instruction { code: IF_EQUAL, jt: 1, jf: 0, k: arch::AUDIT_ARCH },
        plain(RETURN, foreign),
        plain(LOAD, NUMBER),
    ];
    if let Some(from) = arch::FOREIGN_ABI_FROM {
        program.push(Instruction { code: IF_AT_LEAST, jt: 0, jf: 1, k: from });
        program.push(plain(RETURN, foreign));
    }
    program
}

/// Emits code that runs with the number in the accumulator.
fn emit_tree(ranges: &[Range], program: &mut Vec<Instruction>) {
    if let [only] = ranges {
        emit_decision(&only.decision, program);
        return;
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let test = program.len();
    program.push(Instruction { code: IF_AT_LEAST, jt: 0, jf: 0, k: right[0].start });
    emit_tree(left, program);
    let skipped = program.len() - test - 1;
    if let Ok(skipped) = u8::try_from(skipped) {
        program[test].jt = skipped;
    } else {
        // Too far for a conditional jump: hop over an unconditional one.
        program[test].jf = 1;
        let far = u32::try_from(skipped).expect("a filter is shorter than 2³² instructions");
        program.insert(test + 1, plain(JUMP, far));
    }
    emit_tree(right, program);
}

fn emit_decision(decision: &Decision, program: &mut Vec<Instruction>) {
    for (conditions, action) in &decision.rules {
        let pieces: Vec<Vec<Step>> = conditions.iter().map(compare).collect();
        let mut remaining: usize = pieces.iter().map(Vec::len).sum::<usize>() + 1;
        for piece in pieces {
            let length = piece.len();
            for (index, step) in piece.into_iter().enumerate() {
                // Distances count from the next instruction.
                let to_hit = length - index - 1;
                let to_miss = remaining - index - 1;
                program.push(step.resolve(to_hit, to_miss));
            }
            remaining -= length;
        }
        program.push(plain(RETURN, *action));
    }
    program.push(plain(RETURN, decision.otherwise));
}

/// Where a comparison goes on: after it (the condition holds), or at the next rule.
#[derive(Clone, Copy)]
enum Target {
    Next,
    Hit,
    Miss,
}

enum Step {
    Plain(u16, u32),
    Test(u16, u32, Target, Target),
}

impl Step {
    fn resolve(self, to_hit: usize, to_miss: usize) -> Instruction {
        let distance = |target: Target| {
            let distance = match target {
                Target::Next => 0,
                Target::Hit => to_hit,
                Target::Miss => to_miss,
            };
            u8::try_from(distance).expect("six comparisons are at most 37 instructions")
        };
        match self {
            Self::Plain(code, k) => plain(code, k),
            Self::Test(code, k, yes, no) => Instruction { code, jt: distance(yes), jf: distance(no), k },
        }
    }
}

fn compare(condition: &Condition) -> Vec<Step> {
    use LinuxSeccompOperator as Op;
    use Target::{Hit, Miss};
    match condition.op {
        Op::ScmpCmpEq => equal(condition, condition.value, u64::MAX, Hit, Miss),
        Op::ScmpCmpNe => equal(condition, condition.value, u64::MAX, Miss, Hit),
        Op::ScmpCmpMaskedEq => equal(condition, condition.value_two, condition.value, Hit, Miss),
        Op::ScmpCmpGt => ordered(condition, IF_GREATER, Hit, Miss),
        Op::ScmpCmpGe => ordered(condition, IF_AT_LEAST, Hit, Miss),
        Op::ScmpCmpLe => ordered(condition, IF_GREATER, Miss, Hit),
        Op::ScmpCmpLt => ordered(condition, IF_AT_LEAST, Miss, Hit),
    }
}

fn equal(condition: &Condition, value: u64, mask: u64, yes: Target, no: Target) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut half = |offset: u32, value: u32, mask: u32, yes: Target| {
        steps.push(Step::Plain(LOAD, offset));
        if mask != u32::MAX {
            steps.push(Step::Plain(AND, mask));
        }
        steps.push(Step::Test(IF_EQUAL, value, yes, no));
    };
    let (low_offset, high_offset) = offsets(condition);
    if !condition.is_int {
        half(high_offset, high(value), high(mask), Target::Next);
    }
    half(low_offset, low(value), low(mask), yes);
    steps
}

/// `code` decides on the lower halves when the upper ones are equal.
fn ordered(condition: &Condition, code: u16, yes: Target, no: Target) -> Vec<Step> {
    let (low_offset, high_offset) = offsets(condition);
    let mut steps = Vec::new();
    if !condition.is_int {
        steps.push(Step::Plain(LOAD, high_offset));
        steps.push(Step::Test(IF_GREATER, high(condition.value), yes, Target::Next));
        steps.push(Step::Test(IF_EQUAL, high(condition.value), Target::Next, no));
    }
    steps.push(Step::Plain(LOAD, low_offset));
    steps.push(Step::Test(code, low(condition.value), yes, no));
    steps
}

fn offsets(condition: &Condition) -> (u32, u32) {
    let low = ARGUMENTS + 8 * condition.argument;
    (low, low + 4)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn low(value: u64) -> u32 {
    value as u32
}

fn high(value: u64) -> u32 {
    low(value >> 32)
}
