//! Comments that silence findings, in the dialects that people have in their files already.
//!
//! ```text
//! # check=skip=JSONArgsRecommended;error=true     BuildKit's directive, at the top, for the whole file
//! # hadolint ignore=DL3008,SC2046                 for the instruction below
//! # hadolint global ignore=DL3008                 for the whole file
//! # drua ignore=DL3008 because of …               for the instruction or line below
//! # drua ignore-file=DL3008                       for the whole file
//! # shellcheck disable=SC2046                     for the instruction below, or inside a script
//! ```

use drua_dockerfile::Span;

use crate::report::Diagnostic;
use crate::rules::{self, Family};
use crate::unit::{Unit, View};

/// What a comment silences: codes, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Silence {
    names: Vec<String>,
    /// `None` is the whole file.
    span: Option<Span>,
}

/// What comments of a file silence.
#[derive(Debug, Default)]
pub(crate) struct Silences(Vec<Silence>);

/// Names after a comment's prefix; what does not look like one ends them.
fn names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for part in text.split(',') {
        let part = part.trim_start();
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(part.len());
        if end > 0 {
            names.push(part[..end].to_owned());
        }
        if !part[end..].trim().is_empty() {
            break;
        }
    }
    names
}

/// What a comment without its `#` silences, and whether in the whole file.
fn read(comment: &str) -> Option<(Vec<String>, bool)> {
    let comment = comment.trim();
    for (prefix, global) in [
        ("hadolint global ignore=", true),
        ("hadolint ignore=", false),
        ("drua ignore-file=", true),
        ("drua ignore=", false),
        ("shellcheck disable=", false),
    ] {
        if let Some(rest) = comment.strip_prefix(prefix) {
            return Some((names(rest), global));
        }
    }
    None
}

/// What `# check=` says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CheckDirective {
    pub(crate) skip: Vec<String>,
    pub(crate) skip_all: bool,
    pub(crate) experimental: Vec<String>,
    pub(crate) error: bool,
}

impl CheckDirective {
    pub(crate) fn of(unit: &Unit<'_>) -> Self {
        unit.file.directive("check").map(Self::parse).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let mut directive = Self::default();
        for option in text.split(';') {
            let (key, value) = option.split_once('=').unwrap_or((option, ""));
            let list = || value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned);
            match key.trim() {
                "skip" => {
                    directive.skip.extend(list());
                    directive.skip_all = directive.skip.iter().any(|name| name.eq_ignore_ascii_case("all"));
                }
                "experimental" => directive.experimental.extend(list()),
                "error" => directive.error = value.trim().eq_ignore_ascii_case("true") || value.trim() == "1",
                _ => {}
            }
        }
        directive
    }
}

impl Silences {
    /// Those of a Dockerfile.
    pub(crate) fn of_dockerfile(view: &View<'_>) -> Self {
        let file = &view.unit.file;
        let mut all = Vec::new();
        for comment in &file.comments {
            let Some((names, global)) = read(&comment.text) else { continue };
            let below = file.instructions.iter().find(|instruction| instruction.span.end > comment.span.start);
            let span = if global { None } else { Some(below.map_or(comment.span, |instruction| instruction.span)) };
            all.push(Silence { names, span });
        }
        for step in &view.steps {
            if let Some(script) = step.script.as_ref().filter(|script| !script.disabled.is_empty()) {
                all.push(Silence { names: script.disabled.clone(), span: Some(step.instruction.span) });
            }
        }
        Self(all)
    }

    /// Those of a file with `#` comments in which lines stand for themselves.
    pub(crate) fn of_lines(text: &str) -> Self {
        let mut all = Vec::new();
        let mut at = 0;
        let mut open: Vec<usize> = Vec::new();
        for line in text.split_inclusive('\n') {
            let span = Span::new(at, at + line.len());
            at += line.len();
            let comment = line.find('#').and_then(|start| Some((start, read(&line[start + 1..])?)));
            let alone = line.trim_start().starts_with('#');
            if !alone {
                for index in open.drain(..) {
                    let silence: &mut Silence = &mut all[index];
                    silence.span = Some(span);
                }
            }
            if let Some((_, (names, global))) = comment {
                all.push(Silence { names, span: (!global).then_some(span) });
                if alone && !global {
                    open.push(all.len() - 1);
                }
            }
        }
        Self(all)
    }

    /// Whether a finding is silenced.
    pub(crate) fn cover(&self, found: &Diagnostic) -> bool {
        self.0.iter().any(|silence| {
            let inside = silence.span.is_none_or(|span| found.span.start < span.end && span.start <= found.span.start);
            inside && silence.names.iter().any(|name| found.rule.is(name))
        })
    }
}

/// Whether BuildKit's directive silences a finding.
pub(crate) fn skipped(directive: &CheckDirective, found: &Diagnostic) -> bool {
    let named = directive.skip.iter().any(|name| found.rule.is(name));
    named || directive.skip_all && found.rule.family == Family::BuildKit
}

/// Whether BuildKit's directive asks for a rule that is off by itself.
pub(crate) fn is_asked_for(directive: &CheckDirective, found: &Diagnostic) -> bool {
    directive.experimental.iter().any(|name| name.eq_ignore_ascii_case("all") || rules::find(name) == Some(found.rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_name_rules_and_may_say_why() {
        for (comment, expected) in [
            ("hadolint ignore=DL3008,SC2046", Some((vec!["DL3008", "SC2046"], false))),
            ("hadolint ignore=DL3008, SC2046 we need it", Some((vec!["DL3008", "SC2046"], false))),
            ("hadolint global ignore=DL3003", Some((vec!["DL3003"], true))),
            ("drua ignore=mutable-tag because the tag is ours", Some((vec!["mutable-tag"], false))),
            ("shellcheck disable=SC2086", Some((vec!["SC2086"], false))),
            ("hadolint is nice", None),
        ] {
            let expected =
                expected.map(|(names, global)| (names.into_iter().map(str::to_owned).collect::<Vec<_>>(), global));
            assert_eq!(read(comment), expected, "{comment}");
        }
    }

    #[test]
    fn the_check_directive_is_read_as_buildkit_reads_it() {
        let parsed = CheckDirective::parse("skip=JSONArgsRecommended, StageNameCasing;error=true");
        assert_eq!(parsed.skip, ["JSONArgsRecommended", "StageNameCasing"]);
        assert!(parsed.error && !parsed.skip_all);
        assert!(CheckDirective::parse("skip=all").skip_all);
    }
}
