//! `--security-opt`.

use drua_engine::container::Seccomp;

use super::Result;
use crate::http::Failure;

/// What the options say.
#[derive(Debug, Default)]
pub(super) struct Security {
    pub(super) seccomp: Seccomp,
    pub(super) no_new_privileges: bool,
    /// `systempaths=unconfined`: nothing is hidden. The docker CLI sends empty lists in its place.
    bare: bool,
}

impl Security {
    pub(super) fn masked(&self, asked: Option<Vec<String>>) -> Option<Vec<String>> {
        if self.bare { Some(Vec::new()) } else { asked }
    }

    pub(super) fn readonly(&self, asked: Option<Vec<String>>) -> Option<Vec<String>> {
        if self.bare { Some(Vec::new()) } else { asked }
    }
}

pub(super) fn options(options: &[String], warnings: &mut Vec<String>) -> Result<Security> {
    let mut security = Security::default();
    for option in options {
        let (key, value) = option.split_once(['=', ':']).unwrap_or((option, ""));
        let unknown = || Failure::invalid(format!("invalid --security-opt 2: {option:?}"));
        match (key, value) {
            ("no-new-privileges", "" | "true") => security.no_new_privileges = true,
            ("no-new-privileges", "false") => security.no_new_privileges = false,
            ("seccomp", "unconfined") => security.seccomp = Seccomp::Unconfined,
            ("seccomp", "builtin" | "") => security.seccomp = Seccomp::Default,
            ("seccomp", profile) => {
                // Said now rather than at the start.
                serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(profile)
                    .map_err(|error| Failure::invalid(format!("opening seccomp profile failed: {error}")))?;
                security.seccomp = Seccomp::Custom(profile.to_owned());
            }
            ("systempaths", "unconfined") => security.bare = true,
            ("apparmor", "unconfined") | ("label", "disable") => {}
            ("apparmor", "") | ("label", "") => return Err(unknown()),
            ("apparmor", profile) => warnings.push(format!(
                "AppArmor profiles are not applied: `{profile}` is discarded. The seccomp filter, the capabilities and the masked paths are in force."
            )),
            ("label", label) => {
                warnings.push(format!("SELinux labels are not applied: `{label}` is discarded."));
            }
            _ => return Err(unknown()),
        }
    }
    Ok(security)
}
