//! Profiles in Docker's JSON format (`--security-opt seccomp=profile.json`).
//!
//! `archMap` and `architectures` are accepted and ignored: the filter always is for the architecture of this host, and
//! calls of other ABIs fail with ENOSYS.

use oci_spec::runtime::{
    Capability, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder, LinuxSeccompFilterFlag,
    LinuxSeccompOperator,
};
use serde::Deserialize;

use super::profile::{Condition, Profile, Rule};
use crate::spec::InvalidCapability;

/// A profile that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// It is larger than a profile can sensibly be.
    #[error("the profile is larger than {} bytes", MAX_BYTES)]
    TooLarge,
    /// It is not JSON of the expected form.
    #[error("decoding seccomp profile failed")]
    Json(#[source] serde_json::Error),
    /// A rule has both `name` and `names`, or neither.
    #[error("use either 'name' or 'names' in the list of seccomp rules")]
    Names,
    /// A rule depends on a capability that does not exist.
    #[error("a rule depends on an unknown capability")]
    Capability(#[source] InvalidCapability),
    /// A rule depends on a kernel version that is none.
    #[error("invalid kernel version: \"{0}\"")]
    Kernel(String),
    /// System calls have six arguments.
    #[error("a rule compares argument {0}; there are arguments 0 to 5")]
    Argument(usize),
}

/// 4096 BPF instructions cannot hold more than a fraction of it.
const MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProfileJson {
    default_action: LinuxSeccompAction,
    #[serde(default)]
    default_errno_ret: Option<u32>,
    #[serde(default)]
    flags: Option<Vec<LinuxSeccompFilterFlag>>,
    #[serde(default)]
    syscalls: Option<Vec<RuleJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RuleJson {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    action: LinuxSeccompAction,
    #[serde(default)]
    errno_ret: Option<u32>,
    #[serde(default)]
    args: Option<Vec<ArgJson>>,
    #[serde(default)]
    includes: Option<ConditionJson>,
    #[serde(default)]
    excludes: Option<ConditionJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArgJson {
    index: usize,
    value: u64,
    #[serde(default)]
    value_two: u64,
    op: LinuxSeccompOperator,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ConditionJson {
    caps: Option<Vec<String>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<String>,
}

impl Profile {
    /// Reads a profile in Docker's format. Plain OCI profiles are a subset of it.
    pub fn from_json(text: &str) -> Result<Self, ProfileError> {
        if text.len() > MAX_BYTES {
            return Err(ProfileError::TooLarge);
        }
        let json: ProfileJson = serde_json::from_str(text).map_err(ProfileError::Json)?;
        let rules = json.syscalls.unwrap_or_default().into_iter().map(convert_rule).collect::<Result<_, _>>()?;
        Ok(Self {
            default_action: json.default_action,
            default_errno: json.default_errno_ret,
            rules,
            flags: json.flags.unwrap_or_default(),
        })
    }
}

fn convert_rule(json: RuleJson) -> Result<Rule, ProfileError> {
    let names = json.names.unwrap_or_default();
    let names = match (json.name.is_empty(), names.is_empty()) {
        (false, true) => vec![json.name],
        (true, false) => names,
        (true, true) | (false, false) => return Err(ProfileError::Names),
    };
    Ok(Rule {
        names,
        action: json.action,
        errno: json.errno_ret,
        args: json.args.unwrap_or_default().into_iter().map(convert_arg).collect::<Result<_, _>>()?,
        includes: convert_condition(json.includes.unwrap_or_default())?,
        excludes: convert_condition(json.excludes.unwrap_or_default())?,
    })
}

fn convert_arg(json: ArgJson) -> Result<LinuxSeccompArg, ProfileError> {
    if json.index > 5 {
        return Err(ProfileError::Argument(json.index));
    }
    let builder = LinuxSeccompArgBuilder::default().index(json.index).value(json.value).op(json.op);
    Ok(builder.value_two(json.value_two).build().expect("every field has a default"))
}

fn convert_condition(json: ConditionJson) -> Result<Condition, ProfileError> {
    let capability = |name: &String| -> Result<Capability, ProfileError> {
        crate::spec::parse_capability(name).map_err(ProfileError::Capability)
    };
    Ok(Condition {
        capabilities: json.caps.unwrap_or_default().iter().map(capability).collect::<Result<_, _>>()?,
        architectures: json.arches.unwrap_or_default(),
        min_kernel: json.min_kernel.filter(|text| !text.is_empty()).map(|text| parse_kernel(&text)).transpose()?,
    })
}

/// `4.8`.
fn parse_kernel(text: &str) -> Result<(u32, u32), ProfileError> {
    let parsed = text.split_once('.').and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
    parsed.ok_or_else(|| ProfileError::Kernel(text.chars().take(40).collect()))
}
