//! `.dockerignore`, by the rules of moby's patternmatcher, which are not git's.
//!
//! Patterns count from the root of the context. The last one that matches decides, and a pattern that matches a directory
//! matches everything in it. `**` is any number of directories, none included; `!` takes back.

use regex::Regex;

use crate::glob::{self, Glob};

/// A pattern is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// Just `!`.
    #[error("illegal exclusion pattern: \"!\"")]
    OnlyNot,
    /// It cannot be read.
    #[error("syntax error in pattern `{0}`")]
    Pattern(String),
    /// Too many.
    #[error("{0} patterns; the limit is {MAX_PATTERNS}")]
    TooMany(usize),
}

/// Every file is compared with every pattern.
const MAX_PATTERNS: usize = 10_000;

/// The patterns of an ignore file: comments and empty lines gone, leading slashes too.
pub fn read_ignore_file(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().filter(|line| !line.starts_with('#')).map(str::trim).filter(|line| !line.is_empty());
    let pattern = |line: &str| {
        let (not, path) = line.strip_prefix('!').map_or(("", line), |rest| ("!", rest.trim()));
        if path.is_empty() {
            return not.to_owned();
        }
        let path = clean(path);
        let path = if path.len() > 1 { path.strip_prefix('/').unwrap_or(&path) } else { &path };
        format!("{not}{path}")
    };
    lines.map(pattern).collect()
}

/// Go's `filepath.Clean`: no empty and no `.` components, `..` resolved by its text.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    match (rooted, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}

#[derive(Debug, Clone)]
enum Matcher {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Regex(Regex),
}

#[derive(Debug, Clone)]
struct Pattern {
    text: String,
    not: bool,
    matcher: Matcher,
}

/// A list of patterns.
#[derive(Debug, Clone, Default)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

impl Ignore {
    /// Compiles patterns.
    ///
    /// # Errors
    /// A pattern that is just `!`, or malformed.
    pub fn new<S: AsRef<str>>(patterns: &[S]) -> Result<Self, IgnoreError> {
        if patterns.len() > MAX_PATTERNS {
            return Err(IgnoreError::TooMany(patterns.len()));
        }
        let mut compiled = Vec::new();
        for pattern in patterns.iter().map(|pattern| pattern.as_ref().trim()).filter(|pattern| !pattern.is_empty()) {
            let cleaned = clean(pattern);
            let (not, text) = cleaned.strip_prefix('!').map_or((false, cleaned.as_str()), |rest| (true, rest));
            if text.is_empty() {
                return Err(IgnoreError::OnlyNot);
            }
            let malformed = || IgnoreError::Pattern(text.to_owned());
            Glob::new(text).map_err(|_| malformed())?;
            let matcher = Matcher::new(text).ok_or_else(malformed)?;
            compiled.push(Pattern { text: text.to_owned(), not, matcher });
        }
        Ok(Self { patterns: compiled })
    }

    /// Whether there is no pattern at all.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether a path, relative to the context and with `/`, is ignored. The root itself never is.
    pub fn matches(&self, path: &str) -> bool {
        if path.is_empty() || path == "." {
            return false;
        }
        let parents = || path.match_indices('/').map(|(at, _)| &path[..at]);
        let mut matched = false;
        for pattern in &self.patterns {
            // What would change nothing need not be asked.
            if pattern.not == matched
                && (pattern.matcher.is_match(path) || parents().any(|parent| pattern.matcher.is_match(parent)))
            {
                matched = !pattern.not;
            }
        }
        matched
    }

    /// Whether something below an ignored directory may be taken back, so that it must be walked.
    pub fn may_take_back_below(&self, directory: &str) -> bool {
        self.patterns.iter().filter(|pattern| pattern.not).any(|pattern| pattern.reaches_below(directory))
    }
}

impl Pattern {
    fn reaches_below(&self, directory: &str) -> bool {
        let mut wanted = self.text.split('/');
        for part in directory.split('/') {
            match wanted.next() {
                // It names a parent, and so everything in it.
                None => return true,
                Some(pattern) if pattern.contains("**") => return true,
                Some(pattern) if Glob::is_pattern(pattern) => {
                    if !Glob::new(pattern).is_ok_and(|glob| glob.matches(part)) {
                        return false;
                    }
                }
                Some(pattern) if pattern != part => return false,
                Some(_) => {}
            }
        }
        true
    }
}

impl Matcher {
    fn new(pattern: &str) -> Option<Self> {
        let mut regex = String::from("^");
        let (mut plain, mut suffix) = (true, false);
        let mut chars = pattern.chars().peekable();
        let mut prefix = None;
        let mut first = true;
        while let Some(c) = chars.next() {
            match c {
                '*' if chars.next_if_eq(&'*').is_some() => {
                    // The slash belongs to the stars: they may stand for nothing.
                    chars.next_if_eq(&'/');
                    if chars.peek().is_none() && plain && !suffix {
                        prefix = pattern.strip_suffix("**").map(str::to_owned);
                        plain = prefix.is_some();
                        regex.push_str(".*");
                    } else if chars.peek().is_none() {
                        regex.push_str(".*");
                        (plain, suffix) = (false, false);
                    } else {
                        regex.push_str("(?:.*/)?");
                        (plain, suffix) = (first, first);
                    }
                    if first {
                        suffix = true;
                    }
                }
                '*' => {
                    regex.push_str("[^/]*");
                    plain = false;
                }
                '?' => {
                    regex.push_str("[^/]");
                    plain = false;
                }
                '[' => {
                    glob::class(&mut chars, &mut regex)?;
                    plain = false;
                }
                '\\' => {
                    glob::literal(&mut regex, chars.next()?);
                    plain = false;
                }
                c => glob::literal(&mut regex, c),
            }
            first = false;
        }
        if !plain {
            regex.push('$');
            return Some(Self::Regex(glob::compile(&regex)?));
        }
        Some(match (suffix, prefix) {
            (true, _) => Self::Suffix(pattern[2..].to_owned()),
            (false, Some(prefix)) => Self::Prefix(prefix),
            (false, None) => Self::Exact(pattern.to_owned()),
        })
    }

    fn is_match(&self, path: &str) -> bool {
        match self {
            Self::Exact(text) => path == text,
            Self::Prefix(text) => path.starts_with(text.as_str()),
            // `**/name` is also `name`.
            Self::Suffix(text) => path.ends_with(text.as_str()) || text.strip_prefix('/') == Some(path),
            Self::Regex(regex) => regex.is_match(path),
        }
    }
}
