//! The rules as a table: what each is called, how bad it is, why, and what is wrong and right by it.
//!
//! [docs/lint.md](../../../docs/lint.md) is made of this table, and every example is a test: the bad one must be found, the
//! good one must not.

mod buildkit;
mod compose;
mod drua;
mod hadolint;
mod shell;

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::report::{Safety, Severity};

/// Whose rule it is, and what it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// BuildKit's checks, under their names.
    BuildKit,
    /// hadolint's, under its codes.
    Hadolint,
    /// ShellCheck's, under its codes.
    Shell,
    /// Our own about Dockerfiles.
    Dockerfile,
    /// About what is sent to the builder.
    Context,
    /// About WebAssembly.
    Wasm,
    /// About several files together.
    Project,
    /// About compose files.
    Compose,
}

impl Family {
    /// Every family, as the documentation lists them.
    pub const ALL: [Self; 8] = [
        Self::BuildKit,
        Self::Hadolint,
        Self::Shell,
        Self::Dockerfile,
        Self::Context,
        Self::Wasm,
        Self::Project,
        Self::Compose,
    ];

    /// A heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::BuildKit => "BuildKit's checks",
            Self::Hadolint => "hadolint's rules",
            Self::Shell => "Shell",
            Self::Dockerfile => "Dockerfiles",
            Self::Context => "Build context and .dockerignore",
            Self::Wasm => "WebAssembly",
            Self::Project => "Several files together",
            Self::Compose => "Compose files",
        }
    }
}

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it is called in output, ignores and configuration.
    pub code: &'static str,
    /// The same in words; BuildKit's have only one of the two.
    pub name: &'static str,
    /// Codes of others for the same finding; they work wherever `code` does.
    pub aliases: &'static [&'static str],
    /// Whose it is.
    pub family: Family,
    /// How bad its findings are.
    pub severity: Severity,
    /// Whether it applies when nobody asks for it.
    pub on: bool,
    /// What it wants, in one line.
    pub summary: &'static str,
    /// Why.
    pub why: &'static str,
    /// What it finds. Further files begin with a line `=== path`; `=== files` lists the build context.
    pub bad: &'static str,
    /// What it does not find.
    pub good: &'static str,
    /// How its findings can be mended, where they can.
    pub fix: Option<Safety>,
}

impl Rule {
    const fn new(family: Family, code: &'static str, name: &'static str, severity: Severity) -> Self {
        let (summary, why, bad, good) = ("", "", "", "");
        Self { code, name, aliases: &[], family, severity, on: true, summary, why, bad, good, fix: None }
    }

    const fn says(mut self, summary: &'static str, why: &'static str) -> Self {
        self.summary = summary;
        self.why = why;
        self
    }

    const fn shows(mut self, bad: &'static str, good: &'static str) -> Self {
        self.bad = bad;
        self.good = good;
        self
    }

    const fn also(mut self, aliases: &'static [&'static str]) -> Self {
        self.aliases = aliases;
        self
    }

    const fn mends(mut self, safety: Safety) -> Self {
        self.fix = Some(safety);
        self
    }

    /// Off unless asked for.
    const fn off(mut self) -> Self {
        self.on = false;
        self
    }

    /// BuildKit's page about it, or the place in our documentation.
    pub fn url(&self) -> String {
        match self.family {
            Family::BuildKit => format!("https://docs.docker.com/go/dockerfile/rule/{}/", kebab(self.code)),
            _ => format!("docs/lint.md#{}", self.anchor()),
        }
    }

    /// The heading's anchor in docs/lint.md.
    pub fn anchor(&self) -> String {
        let heading =
            if self.name == self.code { self.code.to_owned() } else { format!("{} {}", self.code, self.name) };
        heading.to_lowercase().replace(' ', "-")
    }

    /// Whether a name, code or alias means this rule.
    pub fn is(&self, name: &str) -> bool {
        let same = |known: &str| known.eq_ignore_ascii_case(name);
        same(self.code) || same(self.name) || self.aliases.iter().any(|alias| same(alias))
    }
}

/// `StageNameCasing` → `stage-name-casing`, `JSONArgsRecommended` → `json-args-recommended`.
fn kebab(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut kebab = String::new();
    for (index, c) in chars.iter().enumerate() {
        let before_is_lower = index > 0 && chars[index - 1].is_ascii_lowercase();
        let begins_word = index > 0 && chars.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if c.is_ascii_uppercase() && (before_is_lower || begins_word) {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

/// Every rule, in the order of the documentation.
pub fn all() -> impl Iterator<Item = &'static Rule> {
    let tables: [&'static [Rule]; 5] = [buildkit::RULES, hadolint::RULES, shell::RULES, drua::RULES, compose::RULES];
    tables.into_iter().flatten()
}

static BY_CODE: LazyLock<HashMap<&'static str, &'static Rule>> =
    LazyLock::new(|| all().map(|rule| (rule.code, rule)).collect());

static BY_ANY_NAME: LazyLock<HashMap<String, &'static Rule>> = LazyLock::new(|| {
    let names = |rule: &'static Rule| rule.aliases.iter().copied().chain([rule.name, rule.code]);
    all().flat_map(|rule| names(rule).map(move |name| (name.to_ascii_lowercase(), rule))).collect()
});

/// The rule with a code, a name or an alias, in any case.
pub fn find(name: &str) -> Option<&'static Rule> {
    BY_ANY_NAME.get(&name.trim().to_ascii_lowercase()).copied()
}

/// The rule of a code that one of our checks names.
pub(crate) fn known(code: &str) -> &'static Rule {
    static UNKNOWN: Rule = Rule::new(Family::Dockerfile, "DR0000", "unknown-rule", Severity::Error);
    let rule = BY_CODE.get(code).copied();
    debug_assert!(rule.is_some(), "a check names the rule `{code}`, which is not in the table");
    rule.unwrap_or(&UNKNOWN)
}
