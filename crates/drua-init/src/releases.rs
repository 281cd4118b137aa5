//! Which releases of languages are current, and which have ended.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

/// What `data/releases.toml` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Releases {
    /// Base images by the name that templates use.
    pub(crate) images: BTreeMap<String, String>,
    /// Versions of tools that templates install.
    pub(crate) tools: BTreeMap<String, String>,
    #[serde(flatten)]
    languages: BTreeMap<String, toml::Value>,
}

/// One language's releases.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Language {
    /// As people write it.
    pub(crate) name: String,
    /// What is taken where nothing is pinned.
    pub(crate) default: String,
    /// Release → its last day, empty where none is known.
    ends: BTreeMap<String, String>,
}

static RELEASES: LazyLock<Releases> = LazyLock::new(|| {
    toml::from_str(include_str!("../data/releases.toml")).expect("the table is part of the crate, and a test reads it")
});

/// The table.
pub(crate) fn releases() -> &'static Releases {
    &RELEASES
}

impl Releases {
    /// The releases of a language.
    ///
    /// # Panics
    ///
    /// When the table has no such language, which a test excludes.
    pub(crate) fn language(&self, name: &str) -> Language {
        let value = self.languages.get(name).cloned().expect("detectors name languages of the table");
        value.try_into().expect("the table is part of the crate, and a test reads it")
    }
}

impl Language {
    /// The release to which a version belongs: `3.12.4` is of `3.12`.
    fn release_of(&self, version: &str) -> Option<&str> {
        let of = |release: &&String| {
            version == release.as_str()
                || version.strip_prefix(release.as_str()).is_some_and(|rest| rest.starts_with(['.', '-']))
        };
        self.ends.keys().find(of).map(String::as_str)
    }

    /// The last day of a version, where it has passed.
    pub(crate) fn ended(&self, version: &str, today: Date) -> Option<Date> {
        let day: Date = self.ends.get(self.release_of(version)?)?.parse().ok()?;
        (day < today).then_some(day)
    }

    /// The release to take for a range such as `>=3.10,<3.13`, `^20 || ^22` or `~> 3.3`: the default where it fits, else
    /// the newest that fits and lives, else the newest that fits.
    pub(crate) fn newest_matching(&self, range: &str, today: Date) -> Option<&str> {
        let fits = |release: &str| matches(range, release);
        if fits(&self.default) {
            return Some(&self.default);
        }
        let mut fitting: Vec<&str> = self.ends.keys().map(String::as_str).filter(|release| fits(release)).collect();
        fitting.sort_by_key(|release| numbers(release));
        let alive = fitting.iter().rev().find(|release| self.ended(release, today).is_none());
        alive.or_else(|| fitting.last()).copied()
    }
}

/// Whether some version of a release (`3.12`) is in a range. Forms of pip, npm, Composer, RubyGems and Cargo.
fn matches(range: &str, release: &str) -> bool {
    let release = numbers(release);
    let alternatives = range.split("||").flat_map(|part| part.split(" | "));
    let spaced = |part: &str| {
        // `>= 3.10` is one condition, `>=18 <23` are two.
        let mut text = part.replace(',', " ");
        for operator in [">=", "<=", "~>", "==", "!=", ">", "<", "^", "~", "="] {
            text = text.replace(&format!("{operator} "), operator);
        }
        text
    };
    alternatives.into_iter().any(|part| {
        let text = spaced(part);
        let conditions: Vec<&str> = text.split_whitespace().filter(|word| *word != "-").collect();
        !conditions.is_empty() && conditions.iter().all(|condition| satisfies(condition, &release))
    })
}

/// Compares as many numbers as the release has: `>=3.10.2` admits the release `3.10`.
fn satisfies(condition: &str, release: &[u64]) -> bool {
    let at = condition.find(|c: char| c.is_ascii_digit() || c == '*').unwrap_or(condition.len());
    let (operator, version) = condition.split_at(at);
    let operator = operator.trim_end_matches('v');
    let wanted = numbers(version);
    if wanted.is_empty() {
        return version.starts_with('*') || condition == "x";
    }
    let length = wanted.len().min(release.len());
    let ordering = release[..length].cmp(&wanted[..length]);
    match operator {
        ">=" => ordering.is_ge(),
        ">" => {
            if wanted.len() > release.len() {
                ordering.is_ge()
            } else {
                ordering.is_gt()
            }
        }
        "<=" => ordering.is_le(),
        // `<3.13` excludes 3.13, `<3.13.5` does not exclude all of it, and `<4` excludes 4.
        "<" => {
            ordering.is_lt()
                || (ordering.is_eq() && wanted.len() > release.len() && wanted[length..].iter().any(|n| *n > 0))
        }
        "!=" => !(ordering.is_eq() && wanted.len() <= release.len()),
        // `^3.10` and `~> 3.10`: from there to the next major; `~> 3.10.1` and `~=3.10.1` to the next minor.
        "^" => release.first() == wanted.first() && ordering.is_ge(),
        "~>" | "~=" => {
            let fixed = wanted.len().saturating_sub(1).max(1).min(release.len());
            release[..fixed] == wanted[..fixed.min(wanted.len())] && ordering.is_ge()
        }
        "~" | "=" | "==" | "===" | "" => ordering.is_eq(),
        _ => false,
    }
}

fn numbers(version: &str) -> Vec<u64> {
    version
        .trim_start_matches(|c: char| !c.is_ascii_digit())
        .split(['.', '-', '+'])
        .map_while(|part| part.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> Date {
        "2026-11-23".parse().unwrap()
    }

    #[test]
    fn the_table_is_whole() {
        for name in releases().languages.keys().filter(|name| *name != "as_of") {
            let language = releases().language(name);
            assert!(language.ends.contains_key(&language.default), "{name}");
            assert!(language.ended(&language.default, today()).is_none(), "{name}: the default has ended");
            let days = language.ends.values().filter(|day| !day.is_empty());
            assert!(days.clone().all(|day| day.parse::<Date>().is_ok()), "{name}");
        }
    }

    #[test]
    fn versions_end() {
        let python = releases().language("python");
        assert_eq!(python.ended("3.8.10", today()).unwrap().to_string(), "2024-10-07");
        assert_eq!(python.ended("3.13.1", today()), None);
        assert_eq!(python.ended("3.1", today()), None, "unknown is not ended, and 3.1 is not 3.14");
    }

    #[test]
    fn ranges_choose_a_release() {
        for (language, range, expected) in [
            ("python", ">=3.10", Some("3.14")),
            ("python", ">=3.9,<3.13", Some("3.12")),
            ("python", "~=3.11.2", Some("3.11")),
            ("python", "^3.10", Some("3.14")),
            ("python", "==3.12.*", Some("3.12")),
            ("python", ">= 3.8, < 3.9", Some("3.8")),
            ("python", ">=4", None),
            ("node", ">=18", Some("26")),
            ("node", "^20 || ^22", Some("22")),
            ("node", "24.x", Some("24")),
            ("node", ">=18 <23", Some("22")),
            ("node", "*", Some("26")),
            ("ruby", "~> 3.3", Some("3.4")),
            ("ruby", "~> 3.3.0", Some("3.3")),
            ("php", "^8.2", Some("8.5")),
            ("php", "8.3.*", Some("8.3")),
            ("php", "nonsense", None),
        ] {
            assert_eq!(releases().language(language).newest_matching(range, today()), expected, "{language} {range}");
        }
    }
}
