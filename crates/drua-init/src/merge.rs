//! What is done with files that exist: lines are added, services are added, hunks are chosen one by one.

use similar::{DiffOp, TextDiff};

/// A place where two texts differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// The first line of it in the old text, from 0.
    pub line: usize,
    /// The lines of the old text.
    pub old: Vec<String>,
    /// The lines of the new text.
    pub new: Vec<String>,
}

/// Where a new text differs from an old one.
pub fn hunks(old: &str, new: &str) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(old, new);
    let lines =
        |text: &[&str], range: std::ops::Range<usize>| text[range].iter().map(|line| (*line).to_owned()).collect();
    let of = |operation: &DiffOp| {
        let differs = !matches!(operation, DiffOp::Equal { .. });
        differs.then(|| Hunk {
            line: operation.old_range().start,
            old: lines(diff.old_slices(), operation.old_range()),
            new: lines(diff.new_slices(), operation.new_range()),
        })
    };
    diff.ops().iter().filter_map(of).collect()
}

/// The old text with those hunks of [`hunks`] that are chosen.
pub fn apply(old: &str, hunks: &[Hunk], chosen: &[bool]) -> String {
    let lines: Vec<&str> = old.split_inclusive('\n').collect();
    let mut text = String::new();
    let mut at = 0;
    for (hunk, chosen) in hunks.iter().zip(chosen) {
        text.extend(lines[at..hunk.line].iter().copied());
        let taken = if *chosen { &hunk.new } else { &hunk.old };
        for line in taken {
            if !text.is_empty() && !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(line);
        }
        at = hunk.line + hunk.old.len();
    }
    text.extend(lines[at..].iter().copied());
    text
}

/// A list of lines, such as `.dockerignore`, with the new lines that are missing in it at its end.
///
/// The order of the old lines stays, since later ones win. What an exception of the old list brings back stays back.
pub fn merge_lines(old: &str, new: &str) -> String {
    let known: Vec<&str> = old.lines().map(normal).collect();
    let wanted = |line: &&str| !line.trim().is_empty() && !line.starts_with('#') && !line.starts_with('!');
    let missing: Vec<&str> = new.lines().filter(wanted).filter(|line| !known.contains(&normal(line))).collect();
    if missing.is_empty() {
        return old.to_owned();
    }
    let exceptions: Vec<&str> = old.lines().filter(|line| line.starts_with('!')).collect();
    let mut text = old.trim_end().to_owned();
    text.push_str("\n\n# Added by `drua init`\n");
    for line in missing.into_iter().chain(exceptions) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// `/dist/`, `dist` and `**/dist` say the same often enough not to be listed twice.
fn normal(line: &str) -> &str {
    line.trim().trim_start_matches("**/").trim_matches('/')
}

/// A compose file with the services, volumes and secrets that are missing in it; the rest stays as it is, comments
/// included. `None` where the old file cannot be extended line by line.
pub fn merge_compose(old: &str, new: &str) -> Option<String> {
    let mut sections = sections(old)?;
    for section in self::sections(new)? {
        let Some(mine) = sections.iter_mut().find(|mine| mine.key == section.key) else {
            sections.push(Section { added: true, ..section });
            continue;
        };
        if section.children.is_empty() {
            continue;
        }
        for (name, lines) in section.children {
            if mine.children.iter().any(|(known, _)| *known == name) {
                continue;
            }
            if mine.indent != Some(2) && mine.indent.is_some() {
                return None;
            }
            if let Some((_, last)) = mine.children.last_mut() {
                while last.last().is_some_and(|line| line.trim().is_empty()) {
                    last.pop();
                }
                last.push(String::new());
            }
            mine.children.push((name, lines));
        }
    }
    let mut text = String::new();
    for section in sections {
        let spaced = section.before.first().is_some_and(|line| line.trim().is_empty());
        if !section.children.is_empty() && !text.is_empty() && !spaced && section.added {
            text.push('\n');
        }
        for line in section.before.iter().chain(section.children.iter().flat_map(|(_, lines)| lines)) {
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    Some(format!("{}\n", text.trim_end()))
}

/// A key at the outermost level with what is below it.
struct Section {
    key: String,
    /// Comments above it, and its own line.
    before: Vec<String>,
    /// How far its children are indented.
    indent: Option<usize>,
    children: Vec<(String, Vec<String>)>,
    /// Whether it was not there before.
    added: bool,
}

/// Cuts a compose file into lines. Documents that are not written line by line (`{services: …}`, several documents) are
/// left to people.
fn sections(text: &str) -> Option<Vec<Section>> {
    let mut sections: Vec<Section> = Vec::new();
    let mut pending: Vec<String> = Vec::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            pending.push(line.to_owned());
            continue;
        }
        if line.starts_with(['{', '-', '\t', '%']) {
            return None;
        }
        if indent == 0 {
            let (key, rest) = content.split_once(':')?;
            let mut before = std::mem::take(&mut pending);
            before.push(line.to_owned());
            if rest.trim_start().starts_with(['{', '&', '*']) && rest.trim() != "{}" {
                return None;
            }
            sections.push(Section {
                key: key.trim_matches(['"', '\'']).to_owned(),
                before,
                indent: None,
                children: Vec::new(),
                added: false,
            });
            continue;
        }
        let section = sections.last_mut()?;
        let level = *section.indent.get_or_insert(indent);
        let mut lines = std::mem::take(&mut pending);
        lines.push(line.to_owned());
        match section.children.last_mut() {
            Some((_, last)) if indent > level => last.extend(lines),
            _ => {
                let name = content.split_once(':').map_or(content, |(name, _)| name).trim_matches(['"', '\'']);
                section.children.push((name.to_owned(), lines));
            }
        }
    }
    if let Some(section) = sections.last_mut() {
        match section.children.last_mut() {
            Some((_, last)) => last.extend(pending),
            None => section.before.extend(pending),
        }
    }
    Some(sections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hunks_are_taken_one_by_one() {
        let (old, new) = ("a\nb\nc\nd\n", "a\nB\nc\nd\ne\n");
        let found = hunks(old, new);
        assert_eq!(found.len(), 2);
        assert_eq!(apply(old, &found, &[true, true]), new);
        assert_eq!(apply(old, &found, &[false, false]), old);
        assert_eq!(apply(old, &found, &[false, true]), "a\nb\nc\nd\ne\n");
        let (old, new) = ("a", "a\nb\n");
        assert_eq!(apply(old, &hunks(old, new), &[true]), new);
    }

    #[test]
    fn lines_are_added_once() {
        let merged = merge_lines("dist\n!dist/keep\n", "# why\n**/dist/\n.git/\n!.env.example\n");
        assert_eq!(merged, "dist\n!dist/keep\n\n# Added by `drua init`\n.git/\n!dist/keep\n");
        assert_eq!(merge_lines(&merged, ".git/\n"), merged);
    }

    #[test]
    fn services_are_added_and_mine_stay() {
        let old = "# mine\nname: x\nservices:\n  # the web\n  web:\n    image: mine # really\n\nnetworks:\n  n: {}\n";
        let new =
            "services:\n  # other\n  web:\n    build: .\n  # cache\n  redis:\n    image: redis\n\nvolumes:\n  data:\n";
        let merged = merge_compose(old, new).unwrap();
        assert_eq!(
            merged,
            "# mine\nname: x\nservices:\n  # the web\n  web:\n    image: mine # really\n\n  # cache\n  redis:\n    image: redis\n\n\
             networks:\n  n: {}\n\nvolumes:\n  data:\n"
        );
        assert_eq!(merge_compose(&merged, new).unwrap(), merged);
        assert_eq!(merge_compose("{services: {}}\n", new), None);
    }
}
