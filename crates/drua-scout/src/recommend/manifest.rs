//! A dependency's version in the file that asks for it. Only what is one version on one line is touched; everything else is
//! left to the ecosystem's own tool.

use crate::advisory::normalized_name;
use crate::model::PackageKind;

/// The file with the new version, if it asks for the package in a way that can be edited.
pub(super) fn edit(path: &str, text: &str, kind: PackageKind, name: &str, to: &str) -> Option<String> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let change: &dyn Fn(&str) -> Option<String> = match (kind, file) {
        (PackageKind::Pypi, _) if file.ends_with(".txt") && file.contains("requirements") => {
            &|line| requirement(line, name, to)
        }
        (PackageKind::Npm, "package.json") | (PackageKind::Composer, "composer.json") => {
            &|line| json_entry(line, name, to)
        }
        (PackageKind::Golang, "go.mod") => &|line| go_require(line, name, to),
        (PackageKind::Cargo, "Cargo.toml") => &|line| cargo_entry(line, name, to),
        (PackageKind::Gem, "Gemfile") => &|line| gem_line(line, name, to),
        _ => return None,
    };
    let mut changed = false;
    let lines: Vec<String> = text
        .split('\n')
        .map(|line| match change(line) {
            Some(new) if new != line => {
                changed = true;
                new
            }
            _ => line.to_owned(),
        })
        .collect();
    changed.then(|| lines.join("\n"))
}

/// Whether a name or version can stand in a command or a file as it is: nothing that a shell or a parser reads.
pub(super) fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "@/._+:~-!".contains(c))
}

/// What to run after an edit, or instead of one.
pub(super) fn command(kind: PackageKind, name: &str, to: &str) -> Option<String> {
    if !is_plain(name) || !is_plain(to) {
        return None;
    }
    Some(match kind {
        PackageKind::Npm => format!("npm install {name}@{to}"),
        PackageKind::Pypi => format!("pip install '{name}=={to}'"),
        PackageKind::Cargo => format!("cargo update -p {name} --precise {to}"),
        PackageKind::Golang if name == "stdlib" || name == "toolchain" => {
            format!("rebuild with Go {}", to.trim_start_matches("go"))
        }
        PackageKind::Golang => format!("go get {name}@{}", with_v(to)),
        PackageKind::Gem => format!("bundle update {name} --conservative"),
        PackageKind::Composer => format!("composer require {name}:{to}"),
        PackageKind::Nuget => format!("dotnet add package {name} --version {to}"),
        PackageKind::Maven => format!("set the version of {name} to {to} in pom.xml"),
        PackageKind::Hex => format!("mix deps.update {name}"),
        PackageKind::Pub => format!("dart pub upgrade {name}"),
        _ => return None,
    })
}

fn with_v(version: &str) -> String {
    if version.starts_with('v') { version.to_owned() } else { format!("v{version}") }
}

/// `Name[extra]==1.2 ; marker  # comment`.
fn requirement(line: &str, name: &str, to: &str) -> Option<String> {
    let (before, after) = line.split_once("==")?;
    let own = before.trim().split('[').next().unwrap_or_default().trim();
    if own.is_empty()
        || normalized_name("PyPI", own) != normalized_name("PyPI", name)
        || line.contains("--hash")
        || line.trim_end().ends_with('\\')
    {
        return None;
    }
    let space = after.len() - after.trim_start().len();
    let rest = &after[space..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".!+_-*".contains(c))).unwrap_or(rest.len());
    Some(format!("{before}=={}{to}{}", &after[..space], &rest[end..]))
}

/// `"name": "^1.2.3",`
fn json_entry(line: &str, name: &str, to: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix(&format!("\"{name}\""))?;
    let value = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?;
    let old = &value[..value.find('"')?];
    let operator: String = old.chars().take_while(|c| "^~=>v".contains(*c)).collect();
    // A range, an address, a workspace: not ours to change.
    if !old[operator.len()..].starts_with(|c: char| c.is_ascii_digit()) || old.contains(' ') || operator.contains('>') {
        return None;
    }
    let at = line.rfind(&format!("\"{old}\""))?;
    let (head, tail) = line.split_at(at);
    Some(format!("{head}\"{operator}{}\"{}", to.trim_start_matches('v'), &tail[old.len() + 2..]))
}

/// `require name v1.2.3`, or the line inside the parentheses.
fn go_require(line: &str, name: &str, to: &str) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = usize::from(words.first() == Some(&"require"));
    let (own, version) = (words.get(at)?, words.get(at + 1)?);
    if *own != name || !version.starts_with('v') {
        return None;
    }
    let place = line.rfind(version)?;
    Some(format!("{}{}{}", &line[..place], with_v(to), &line[place + version.len()..]))
}

/// `name = "1.2"` and `name = { version = "1.2", … }`.
fn cargo_entry(line: &str, name: &str, to: &str) -> Option<String> {
    let rest = line.strip_prefix(name)?.trim_start().strip_prefix('=')?;
    let from = match rest.trim_start() {
        value if value.starts_with('"') => line.find('"')?,
        value if value.starts_with('{') => {
            let at = line.find("version")?;
            at + line[at..].find('"')?
        }
        _ => return None,
    };
    let value = &line[from + 1..];
    let old = &value[..value.find('"')?];
    let operator: String = old.chars().take_while(|c| "^~=".contains(*c)).collect();
    if !old[operator.len()..].starts_with(|c: char| c.is_ascii_digit()) || old.contains([',', ' ', '*']) {
        return None;
    }
    Some(format!("{}\"{operator}{to}\"{}", &line[..from], &value[old.len() + 1..]))
}

/// `gem "name", "1.2.3"`; `~>` stays.
fn gem_line(line: &str, name: &str, to: &str) -> Option<String> {
    let rest = line.trim_start().strip_prefix("gem ")?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let mut parts = rest[1..].splitn(2, quote);
    if parts.next()? != name {
        return None;
    }
    let after = parts.next()?.trim_start().strip_prefix(',')?.trim_start();
    let old = after.strip_prefix(quote)?.split(quote).next()?;
    let operator = if old.starts_with("~> ") { "~> " } else { "" };
    if !old[operator.len()..].starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let quoted = format!("{quote}{old}{quote}");
    let at = line.find(&quoted)?;
    Some(format!("{}{quote}{operator}{to}{quote}{}", &line[..at], &line[at + quoted.len()..]))
}
