//! Unified diffs of small edits.

use std::fmt::Write as _;

/// Lines around a change that are shown.
const CONTEXT: usize = 3;
/// Files with more lines are compared from their ends only.
const MAX_LINES: usize = 100_000;

/// The difference between two texts as `diff -u` writes it; empty when there is none. The edits that drua makes lie close
/// together, so that one hunk holds them: what is equal at both ends is left out.
pub fn unified(path: &str, before: &str, after: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    if old == new {
        return String::new();
    }
    let mut text = format!("--- a/{path}\n+++ b/{path}\n");
    for hunk in hunks(&old, &new) {
        hunk.write(&old, &new, &mut text);
    }
    text
}

/// Lines `old` are replaced by lines `new`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Change {
    old: std::ops::Range<usize>,
    new: std::ops::Range<usize>,
}

struct Hunk(Vec<Change>);

/// Changes whose surroundings touch, together.
fn hunks(old: &[&str], new: &[&str]) -> Vec<Hunk> {
    let mut hunks: Vec<Hunk> = Vec::new();
    for change in changes(old, new) {
        match hunks.last_mut() {
            Some(hunk) if hunk.0.last().is_some_and(|last| change.old.start <= last.old.end + 2 * CONTEXT) => {
                hunk.0.push(change);
            }
            _ => hunks.push(Hunk(vec![change])),
        }
    }
    hunks
}

/// Greedy: at a difference, the nearest line that both have again.
fn changes(old: &[&str], new: &[&str]) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut at, mut to) = (0, 0);
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            (at, to) = (at + 1, to + 1);
            continue;
        }
        let (next_at, next_to) = resync(&old[at..], &new[to..]);
        changes.push(Change { old: at..at + next_at, new: to..to + next_to });
        (at, to) = (at + next_at, to + next_to);
    }
    changes
}

/// How many lines of each side to skip until they agree.
fn resync(old: &[&str], new: &[&str]) -> (usize, usize) {
    if old.len() + new.len() > MAX_LINES {
        return (old.len(), new.len());
    }
    for distance in 1..=old.len() + new.len() {
        for skipped in 0..=distance.min(old.len()) {
            let other = distance - skipped;
            if let (Some(a), Some(b)) = (old.get(skipped), new.get(other))
                && a == b
            {
                return (skipped, other);
            }
        }
        if distance > 200 {
            break;
        }
    }
    (old.len(), new.len())
}

impl Hunk {
    fn write(&self, old: &[&str], new: &[&str], text: &mut String) {
        let (Some(first), Some(last)) = (self.0.first(), self.0.last()) else { return };
        let from = first.old.start.saturating_sub(CONTEXT);
        let until = (last.old.end + CONTEXT).min(old.len());
        let lead = first.old.start - from;
        let (new_from, new_until) = (first.new.start - lead, (last.new.end + until - last.old.end).min(new.len()));
        let range = |from: usize, until: usize| match until - from {
            0 => format!("{from},0"),
            1 => format!("{}", from + 1),
            count => format!("{},{count}", from + 1),
        };
        let _ = writeln!(text, "@@ -{} +{} @@", range(from, until), range(new_from, new_until));
        let mut at = from;
        let mut line = |mark: char, line: &str| {
            text.push(mark);
            text.push_str(line);
            text.push('\n');
        };
        for change in &self.0 {
            old[at..change.old.start].iter().for_each(|text| line(' ', text));
            old[change.old.clone()].iter().for_each(|text| line('-', text));
            new[change.new.clone()].iter().for_each(|text| line('+', text));
            at = change.old.end;
        }
        old[at..until].iter().for_each(|text| line(' ', text));
    }
}
