//! Device rules as an eBPF program: with cgroup v2 what the `devices` controller is with v1. libcgroups could do it, but
//! with libbpf, a C library.
//!
//! ```text
//!   r0 verdict   r2 type   r3 access that is still undecided   r4 major   r5 minor
//!
//!   for each rule, last first:    another type, major or minor? ────────────► next rule
//!       deny                      something of r3 is named?      return 0
//!       allow                     r3 −= what is named; empty?    return 1
//!   return 0
//! ```
//!
//! What the rules mean: for reading, writing and making a node, each on its own, the last rule that names device and
//! access decides, and without one the answer is no. Who wants several at once needs them all. (crun and runc ask one rule
//! for all at once, so that a rule against writing would not stop an open for reading and writing.)
//!
//! A cgroup keeps its program until it is removed, so nothing has to be remembered and a new daemon finds it in force.
//! Linux 5.11 or newer: before that, programs count against `RLIMIT_MEMLOCK`.

#[cfg(test)]
mod tests;

use std::path::Path;

use drua_sys::bpf::{self, Instruction};
use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};
use rustix::fs::{Mode, OFlags, open};

use super::CgroupError;
use crate::spec::standard_device_rules;

// `struct bpf_cgroup_dev_ctx`: u32 type and access, u32 major, u32 minor (linux/bpf.h).
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;
const MKNOD: u32 = 1;
const READ: u32 = 2;
const WRITE: u32 = 4;
const ANY_ACCESS: u32 = MKNOD | READ | WRITE;

// Registers.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const TYPE: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

// Operations, all on 32 bits (linux/bpf_common.h, linux/bpf.h).
const LOAD_WORD: u8 = 0x61;
const MOVE: u8 = 0xb4;
const MOVE_REGISTER: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_IF_EQUAL: u8 = 0x16;
const JUMP_IF_DIFFERENT: u8 = 0x56;
const EXIT: u8 = 0x95;

/// Limits the devices of the cgroup v2 at `directory` to `rules` and, as every runtime does, the standard ones. Rules that
/// allow everything, a privileged container's, need no program.
pub(super) fn limit(directory: &Path, rules: &[LinuxDeviceCgroup]) -> Result<(), CgroupError> {
    if rules.last().and_then(Rule::read) == Some(Rule::EVERYTHING) {
        return Ok(());
    }
    let failed = |action| move |err| CgroupError::DeviceFilter { action, path: directory.to_owned(), err };
    let program = compile(&[rules, &standard_device_rules()].concat());
    let program = bpf::load_device_filter(&program).map_err(failed("load"))?;
    let cgroup = open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("open")(errno.into()))?;
    bpf::attach_device_filter(&program, &cgroup).map_err(failed("attach"))
}

fn compile(rules: &[LinuxDeviceCgroup]) -> Vec<Instruction> {
    let mut program = vec![
        instruction(LOAD_WORD, TYPE, CONTEXT, 0, 0),
        instruction(MOVE_REGISTER, ACCESS, TYPE, 0, 0),
        with(AND, TYPE, 0xffff),
        with(SHIFT_RIGHT, ACCESS, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    let rules: Vec<Rule> = rules.iter().filter_map(Rule::read).collect();
    for (index, rule) in rules.iter().enumerate().rev() {
        // An equal rule further down leaves nothing to decide. The verifier takes a microsecond for each instruction.
        if !rules[index + 1..].contains(rule) {
            rule.emit(&mut program);
        }
    }
    program.extend(verdict(0));
    program
}

#[derive(Debug, PartialEq)]
struct Rule {
    allow: bool,
    // `None`: any.
    kind: Option<u32>,
    major: Option<u32>,
    minor: Option<u32>,
    access: u32,
}

impl Rule {
    const EVERYTHING: Self = Self { allow: true, kind: None, major: None, minor: None, access: ANY_ACCESS };

    /// `None` for a rule about devices that do not exist.
    fn read(rule: &LinuxDeviceCgroup) -> Option<Self> {
        let kind = match rule.typ().unwrap_or(LinuxDeviceType::A) {
            LinuxDeviceType::A => None,
            LinuxDeviceType::B => Some(BLOCK),
            LinuxDeviceType::C | LinuxDeviceType::U => Some(CHARACTER),
            LinuxDeviceType::P => return None,
        };
        // −1 is runc's wildcard.
        let number = |number: Option<i64>| match number {
            None | Some(-1) => Some(None),
            Some(number) => u32::try_from(number).ok().map(Some),
        };
        let access = match rule.access().as_deref() {
            // In doubt less is allowed.
            None | Some("") => (!rule.allow()).then_some(ANY_ACCESS)?,
            Some(letters) => letters.bytes().map(access_bit).fold(0, |all, bit| all | bit),
        };
        Some(Self { allow: rule.allow(), kind, major: number(rule.major())?, minor: number(rule.minor())?, access })
    }

    fn emit(&self, program: &mut Vec<Instruction>) {
        let named = self.access.cast_signed();
        let decision = if self.allow {
            vec![with(AND, ACCESS, !named), jump(JUMP_IF_DIFFERENT, ACCESS, 0, RETURN)]
        } else {
            let copy = instruction(MOVE_REGISTER, VERDICT, ACCESS, 0, 0);
            vec![copy, with(AND, VERDICT, named), jump(JUMP_IF_EQUAL, VERDICT, 0, RETURN)]
        };
        let checks = [(TYPE, self.kind), (MAJOR, self.major), (MINOR, self.minor)].into_iter();
        let checks: Vec<(u8, u32)> = checks.filter_map(|(register, value)| Some((register, value?))).collect();
        // To the next rule.
        let mut rest = i16::try_from(checks.len() + decision.len()).expect("a block is short") + RETURN;
        for (register, value) in checks {
            rest -= 1;
            program.push(jump(JUMP_IF_DIFFERENT, register, value.cast_signed(), rest));
        }
        program.extend(decision);
        program.extend(verdict(i32::from(self.allow)));
    }
}

fn access_bit(letter: u8) -> u32 {
    match letter {
        b'r' => READ,
        b'w' => WRITE,
        b'm' => MKNOD,
        _ => 0,
    }
}

/// How many instructions [`verdict`] has.
const RETURN: i16 = 2;

fn verdict(verdict: i32) -> [Instruction; RETURN as usize] {
    [with(MOVE, VERDICT, verdict), instruction(EXIT, 0, 0, 0, 0)]
}

fn with(code: u8, register: u8, immediate: i32) -> Instruction {
    instruction(code, register, 0, 0, immediate)
}

fn jump(code: u8, register: u8, immediate: i32, skip: i16) -> Instruction {
    instruction(code, register, 0, skip, immediate)
}

fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    Instruction { code, registers: source << 4 | destination, offset, immediate }
}
