//! A profile before it is known whom it is for.

use std::collections::HashSet;

use oci_spec::runtime::{
    Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag, LinuxSyscall,
};

use super::arch;

/// Rules some of which apply only with a capability, on an architecture or from a kernel version on.
#[derive(Debug, Clone, PartialEq)]
pub struct Profile {
    /// What happens to a system call that no rule mentions.
    pub default_action: LinuxSeccompAction,
    /// The error number for [`LinuxSeccompAction::ScmpActErrno`]; default EPERM.
    pub default_errno: Option<u32>,
    /// The rules. For one system call the first that matches decides.
    pub rules: Vec<Rule>,
    /// `SECCOMP_FILTER_FLAG_*`.
    pub flags: Vec<LinuxSeccompFilterFlag>,
}

/// What happens to some system calls under some conditions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The system calls, by name. Names that this architecture lacks are ignored.
    pub names: Vec<String>,
    /// What happens to them.
    pub action: LinuxSeccompAction,
    /// The error number for [`LinuxSeccompAction::ScmpActErrno`].
    pub errno: Option<u32>,
    /// Comparisons of arguments, all of which must be true; empty is unconditional.
    pub args: Vec<LinuxSeccompArg>,
    /// The rule applies only where it is met.
    pub includes: Condition,
    /// The rule does not apply where it is met.
    pub excludes: Condition,
}

/// For whom a rule is meant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Condition {
    /// Any of these capabilities.
    pub capabilities: Vec<Capability>,
    /// Any of these architectures, in Go's words (`amd64`).
    pub architectures: Vec<String>,
    /// This kernel or a newer one.
    pub min_kernel: Option<(u32, u32)>,
}

impl Profile {
    /// The rules for a container with these capabilities on this kernel and architecture.
    pub fn resolve(&self, capabilities: &HashSet<Capability>, kernel: (u32, u32)) -> LinuxSeccomp {
        let applies =
            |rule: &&Rule| rule.includes.allows(capabilities, kernel) && !rule.excludes.excludes(capabilities, kernel);
        let mut resolved = LinuxSeccomp::default();
        resolved
            .set_default_action(self.default_action)
            .set_default_errno_ret(self.default_errno)
            .set_architectures(Some(vec![arch::NAMES.0]))
            .set_flags(Some(self.flags.clone()).filter(|flags| !flags.is_empty()))
            .set_syscalls(Some(self.rules.iter().filter(applies).map(Rule::to_oci).collect()));
        resolved
    }
}

impl Condition {
    /// As `includes`: every part that is given must be met.
    fn allows(&self, capabilities: &HashSet<Capability>, kernel: (u32, u32)) -> bool {
        (self.capabilities.is_empty() || self.has_capability(capabilities))
            && (self.architectures.is_empty() || self.has_architecture())
            && self.min_kernel.is_none_or(|min| kernel >= min)
    }

    /// As `excludes`: one part that is met is enough.
    fn excludes(&self, capabilities: &HashSet<Capability>, kernel: (u32, u32)) -> bool {
        self.has_capability(capabilities) || self.has_architecture() || self.min_kernel.is_some_and(|min| kernel >= min)
    }

    fn has_capability(&self, capabilities: &HashSet<Capability>) -> bool {
        self.capabilities.iter().any(|capability| capabilities.contains(capability))
    }

    fn has_architecture(&self) -> bool {
        self.architectures.iter().any(|name| name == arch::NAMES.1)
    }
}

impl Rule {
    fn to_oci(&self) -> LinuxSyscall {
        let mut syscall = LinuxSyscall::default();
        syscall
            .set_names(self.names.clone())
            .set_action(self.action)
            .set_errno_ret(self.errno)
            .set_args(Some(self.args.clone()).filter(|args| !args.is_empty()));
        syscall
    }
}
