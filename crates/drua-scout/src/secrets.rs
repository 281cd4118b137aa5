//! Files that look like credentials. Rules with a fixed shape only, since a guess that is wrong costs trust; the values
//! are never recorded.

use std::sync::OnceLock;

use regex::bytes::Regex;

/// Larger files are no credentials.
pub(crate) const MAX_BYTES: u64 = 512 << 10;

/// Name of the rule, what it must contain (for speed), and its shape.
const RULES: [(&str, &str); 12] = [
    (
        "private-key",
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?PRIVATE KEY(?: BLOCK)?-----\s*\n[A-Za-z0-9+/=:, \n\r-]{64}",
    ),
    ("aws-access-key", r"\b(?:AKIA|ASIA)[A-Z2-7]{16}\b"),
    ("github-token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{82})\b"),
    ("gitlab-token", r"\bglpat-[A-Za-z0-9_-]{20}\b"),
    ("slack-token", r"\bxox[abposr]-[0-9A-Za-z-]{20,}"),
    ("stripe-key", r"\b[sr]k_live_[0-9A-Za-z]{24,}"),
    ("google-api-key", r"\bAIza[0-9A-Za-z_-]{35}\b"),
    ("npm-token", r"\bnpm_[A-Za-z0-9]{36}\b|_authToken=[A-Za-z0-9_-]{20,}"),
    ("pypi-token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}"),
    ("vault-token", r"\bhvs\.[A-Za-z0-9_-]{24,}"),
    ("docker-credentials", r#""auth"\s*:\s*"[A-Za-z0-9+/]{12,}={0,2}""#),
    ("anthropic-or-openai-key", r"\bsk-(?:ant-|proj-)[A-Za-z0-9_-]{24,}"),
];

/// One search for all: whatever has none of these is clean.
const ANCHORS: &str = r#"PRIVATE KEY|AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abposr]-|[sr]k_live_|AIza|npm_|_authToken=|pypi-AgE|hvs\.|"auth"|sk-ant-|sk-proj-"#;

/// Whether a file of this name and size is worth a look. What distributions and package managers install is not: the
/// examples and test keys there are public.
pub(crate) fn is_candidate(path: &str, size: u64) -> bool {
    const PUBLIC: [&str; 12] = [
        "/usr/share/",
        "/usr/lib/",
        "/usr/lib64/",
        "/lib/",
        "/usr/include/",
        "/usr/src/",
        "/site-packages/",
        "/dist-packages/",
        "/node_modules/",
        "/var/lib/dpkg/",
        "/testdata/",
        "/test/",
    ];
    size > 0 && size <= MAX_BYTES && !PUBLIC.iter().any(|part| path.contains(part))
}

/// Rules that match, with the 1-based line of the first match.
pub(crate) fn find(_path: &str, bytes: &[u8]) -> Vec<(&'static str, u32)> {
    static COMPILED: OnceLock<(Option<Regex>, Vec<(&str, Regex)>)> = OnceLock::new();
    let (anchors, rules) = COMPILED.get_or_init(|| {
        let rules =
            RULES.iter().filter_map(|(name, pattern)| Some((*name, Regex::new(&format!("(?-u){pattern}")).ok()?)));
        (Regex::new(&format!("(?-u){ANCHORS}")).ok(), rules.collect())
    });
    let is_text = !bytes[..bytes.len().min(512)].contains(&0);
    if !is_text || !anchors.as_ref().is_some_and(|anchors| anchors.is_match(bytes)) {
        return Vec::new();
    }
    let line = |at: usize| 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    rules
        .iter()
        .filter_map(|(name, rule)| Some((*name, u32::try_from(line(rule.find(bytes)?.start())).unwrap_or(u32::MAX))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_compiles_and_has_an_anchor() {
        let samples = [
            ("private-key", format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n", "b3BlbnNzaC1rZXktdjEAAAAA".repeat(4))),
            ("aws-access-key", "key = AKIAIOSFODNN7EXAMPLE".to_owned()),
            ("github-token", format!("ghp_{}", "a1".repeat(18))),
            ("npm-token", format!("//registry/:_authToken={}", "x".repeat(36))),
            ("docker-credentials", r#"{"auths":{"r.example":{"auth":"dXNlcjpwYXNzd29yZA=="}}}"#.to_owned()),
            ("google-api-key", format!("AIza{}", "B".repeat(35))),
        ];
        for (rule, text) in samples {
            assert_eq!(find("/x", format!("first line\n{text}\n").as_bytes()), [(rule, 2)], "{rule}");
        }
        assert!(find("/x", b"nothing to see: AKIA").is_empty());
        assert_eq!(RULES.len(), RULES.iter().filter(|(_, pattern)| Regex::new(pattern).is_ok()).count());
    }
}
