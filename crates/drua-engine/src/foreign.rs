//! Images for other architectures: the kernel runs them through an emulator that is registered with binfmt_misc.
//!
//! The registration must have the flag `F` (kernel Documentation/admin-guide/binfmt-misc.rst), which opens the emulator
//! once and for all: within the container's root it could not be found.

use std::path::Path;

use drua_types::Platform;

use crate::Error;

const BINFMT: &str = "/proc/sys/fs/binfmt_misc";

/// What qemu calls an architecture.
fn qemu_name(platform: &Platform) -> Option<&'static str> {
    match (platform.architecture(), platform.variant()) {
        ("amd64", _) => Some("x86_64"),
        ("386", _) => Some("i386"),
        ("arm64", _) => Some("aarch64"),
        ("arm", _) => Some("arm"),
        ("riscv64", _) => Some("riscv64"),
        ("ppc64le", _) => Some("ppc64le"),
        ("s390x", _) => Some("s390x"),
        ("mips64le", _) => Some("mips64el"),
        ("loong64", _) => Some("loongarch64"),
        _ => None,
    }
}

/// Whether the emulator for a platform is registered, as the file in binfmt_misc says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Emulator {
    Missing,
    /// Registered, but without `F`: it works on the host and not in containers.
    HostOnly,
    Ready,
}

fn emulator(dir: &Path, platform: &Platform) -> Emulator {
    let Some(name) = qemu_name(platform) else { return Emulator::Missing };
    let Ok(text) = std::fs::read_to_string(dir.join(format!("qemu-{name}"))) else { return Emulator::Missing };
    let enabled = text.lines().next() == Some("enabled");
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap_or_default();
    match (enabled, flags.contains('F')) {
        (false, _) => Emulator::Missing,
        (true, false) => Emulator::HostOnly,
        (true, true) => Emulator::Ready,
    }
}

/// Adds to a failed start of a foreign image what is missing on this machine.
pub(crate) fn explain(error: Error, platform: &Platform) -> Error {
    match error {
        Error::Task(text) if !platform.runs_here() && text.contains("xec format error") => {
            Error::Task(match advice(Path::new(BINFMT), platform) {
                Some(advice) => {
                    format!("{text}: the image is for {platform} and this machine is {}; {advice}", Platform::host())
                }
                None => text,
            })
        }
        other => other,
    }
}

fn advice(dir: &Path, platform: &Platform) -> Option<String> {
    match emulator(dir, platform) {
        Emulator::Missing => Some("to emulate it: `apt-get install qemu-user-static binfmt-support`".to_owned()),
        Emulator::HostOnly => Some(
            "its emulator is registered without the flag F (fix-binary): `apt-get install --reinstall qemu-user-static`"
                .to_owned(),
        ),
        Emulator::Ready => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_missing() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let platform: Platform = "linux/arm64".parse().expect("valid");
        let check = |text: Option<&str>| {
            if let Some(text) = text {
                std::fs::write(dir.path().join("qemu-aarch64"), text).expect("write");
            }
            emulator(dir.path(), &platform)
        };
        assert_eq!(check(None), Emulator::Missing);
        assert_eq!(check(Some("disabled\ninterpreter /usr/bin/qemu\nflags: OCF\n")), Emulator::Missing);
        assert_eq!(check(Some("enabled\ninterpreter /usr/bin/qemu\nflags: OC\n")), Emulator::HostOnly);
        assert!(advice(dir.path(), &platform).is_some_and(|text| text.contains("flag F")));
        assert_eq!(check(Some("enabled\ninterpreter /usr/bin/qemu\nflags: OCF\n")), Emulator::Ready);
        assert_eq!(advice(dir.path(), &platform), None);
        let failed = Error::Task("exec /x: exec format error".to_owned());
        let foreign: Platform = "linux/no-such".parse().expect("valid");
        assert!(explain(failed, &foreign).to_string().contains("qemu-user-static"));
    }
}
