//! `--chmod` and `--chown`.

use drua_dockerfile::Word;
use rustix::fs::Mode;

use crate::error::{BuildError, Result};

/// A change of permissions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chmod {
    /// `755`
    Exact(u32),
    /// `u=rwX,go-w`
    Symbolic(Vec<Clause>),
}

/// One part of a symbolic mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Clause {
    who: u32,
    operator: char,
    permissions: Vec<char>,
}

impl Chmod {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let bad = || {
            BuildError::Value(format!(
                "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or symbolic as in chmod(1)"
            ))
        };
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
            return mode.map(Self::Exact).ok_or_else(bad);
        }
        let mut clauses = Vec::new();
        for part in text.split(',') {
            let at = part.find(['+', '-', '=']).ok_or_else(bad)?;
            let mut who = 0;
            for c in part[..at].chars() {
                who |= match c {
                    'u' => 0o4700,
                    'g' => 0o2070,
                    'o' => 0o1007,
                    'a' => 0o7777,
                    _ => return Err(bad()),
                };
            }
            let who = if who == 0 { 0o7777 } else { who };
            let mut rest = &part[at..];
            while let Some(operator) = rest.chars().next() {
                let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
                let permissions: Vec<char> = rest[1..end].chars().collect();
                if !permissions.iter().all(|c| "rwxXstugo".contains(*c)) {
                    return Err(bad());
                }
                clauses.push(Clause { who, operator, permissions });
                rest = &rest[end..];
            }
        }
        Ok(Self::Symbolic(clauses))
    }

    /// The permissions of a file that has `mode` so far.
    pub(crate) fn apply(&self, mode: u32, is_dir: bool) -> Mode {
        let mut result = mode & 0o7777;
        match self {
            Self::Exact(exact) => result = *exact,
            Self::Symbolic(clauses) => {
                for clause in clauses {
                    let before = result;
                    let mut bits = 0;
                    for permission in &clause.permissions {
                        bits |= match permission {
                            'r' => 0o444,
                            'w' => 0o222,
                            'x' => 0o111,
                            'X' if is_dir || before & 0o111 != 0 => 0o111,
                            's' => 0o6000,
                            't' => 0o1000,
                            'u' => (before >> 6 & 7) * 0o111,
                            'g' => (before >> 3 & 7) * 0o111,
                            'o' => (before & 7) * 0o111,
                            _ => 0,
                        };
                    }
                    let bits = bits & clause.who;
                    result = match clause.operator {
                        '+' => result | bits,
                        '-' => result & !bits,
                        _ => result & !(clause.who & 0o777) & !(if is_dir { 0 } else { clause.who & 0o7000 }) | bits,
                    };
                }
            }
        }
        Mode::from_raw_mode(result)
    }
}

/// Parses a flag that may be there, after expansion.
pub(crate) fn optional(word: Option<&Word>, expand: &dyn Fn(&str) -> Result<String>) -> Result<Option<String>> {
    word.map(|word| expand(&word.text)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_as_chmod_reads_them() {
        for (text, mode, dir, expected) in [
            ("755", 0o600, false, 0o755),
            ("0644", 0o777, false, 0o644),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("+x", 0o644, false, 0o755),
            ("a-w", 0o666, false, 0o444),
            ("g=u", 0o640, false, 0o660),
            ("u+s", 0o755, false, 0o4755),
            ("o-rwx,g-w", 0o777, false, 0o750),
            ("go+rX", 0o700, false, 0o755),
        ] {
            let chmod = Chmod::parse(text).unwrap();
            assert_eq!(chmod.apply(mode, dir).as_raw_mode(), expected, "{text} on {mode:o}");
        }
        for text in ["8", "99999", "u~x", "u+q", "k=r", ""] {
            assert!(Chmod::parse(text).is_err() || text.is_empty(), "{text}");
        }
    }
}
