//! Mending: edits are applied, the result is parsed again and compared, and what does not hold is taken back.
//!
//! ```text
//! findings ─choose (safety, no overlap)─► edits ─apply─► text ─parse, compare─► kept, or tried one by one
//!     ▲                                                                │
//!     └────────────────────────── again, until nothing is left ────────┘
//! ```
//!
//! Outside of edits every byte stays. A file that does not parse is not touched.

use drua_dockerfile::{Dockerfile, Kind, Span};

use crate::input::Input;
use crate::report::{Diagnostic, Edit, Safety};
use crate::unit::{Unit, View, sources_of};
use crate::yaml;

/// One fix may make room for another; nobody needs more rounds.
const MAX_ROUNDS: usize = 12;

/// A file that has been mended.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixed {
    /// The file, as the input calls it.
    pub path: String,
    /// The new text.
    pub text: String,
    /// What was done: the findings that are gone.
    pub applied: Vec<Diagnostic>,
    /// Findings whose fix was taken back, since the result would not have been what it should.
    pub refused: Vec<Diagnostic>,
}

/// Which kind of file it is, for parsing again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Dockerfile(usize),
    Ignore(usize),
    Compose(usize),
}

/// Mends every file of the input as far as `safety` allows. Files in which nothing changes are left out.
pub fn fix(input: &Input<'_>, safety: Safety) -> Vec<Fixed> {
    let mut places: Vec<(Place, &str, &str)> = Vec::new();
    for (index, build) in input.builds.iter().enumerate() {
        places.push((Place::Dockerfile(index), build.dockerfile.path, build.dockerfile.text));
        if let Some(ignore) = build.ignore
            && !places.iter().any(|(_, path, _)| *path == ignore.path)
        {
            places.push((Place::Ignore(index), ignore.path, ignore.text));
        }
    }
    places.extend(input.compose.iter().enumerate().map(|(index, text)| (Place::Compose(index), text.path, text.text)));
    let mended = places.into_iter().filter_map(|(place, path, text)| mend(input, safety, place, path, text));
    mended.collect()
}

fn mend(input: &Input<'_>, safety: Safety, place: Place, path: &str, text: &str) -> Option<Fixed> {
    let mut fixed = Fixed { path: path.to_owned(), text: text.to_owned(), applied: Vec::new(), refused: Vec::new() };
    for _ in 0..MAX_ROUNDS {
        let findings = findings(input, place, path, &fixed.text)?;
        let mut chosen: Vec<Diagnostic> = Vec::new();
        for found in findings {
            let fits = found.fix.as_ref().is_some_and(|fix| fix.safety <= safety && !fix.edits.is_empty());
            let known = |other: &Diagnostic| {
                (other.rule, other.span, &other.message) == (found.rule, found.span, &found.message)
            };
            let free = |other: &Diagnostic| !overlap(other, &found);
            if fits && !fixed.refused.iter().any(known) && chosen.iter().all(free) {
                chosen.push(found);
            }
        }
        if chosen.is_empty() {
            break;
        }
        match applied(&fixed.text, &chosen).filter(|new| holds(place, &fixed.text, new, &chosen)) {
            Some(new) => {
                fixed.text = new;
                fixed.applied.append(&mut chosen);
            }
            // One of them does not hold: whichever does goes first, the others are looked at again in the next round.
            None => {
                let one = chosen.iter().position(|found| {
                    let only = std::slice::from_ref(found);
                    applied(&fixed.text, only).is_some_and(|new| holds(place, &fixed.text, &new, only))
                });
                match one {
                    None => fixed.refused.append(&mut chosen),
                    Some(index) => {
                        let found = chosen.swap_remove(index);
                        fixed.text = applied(&fixed.text, std::slice::from_ref(&found))?;
                        fixed.applied.push(found);
                    }
                }
            }
        }
    }
    (fixed.text != text || !fixed.refused.is_empty()).then_some(fixed)
}

/// The findings about one file with a new text; `None` when it cannot be parsed.
fn findings(input: &Input<'_>, place: Place, path: &str, text: &str) -> Option<Vec<Diagnostic>> {
    let mut input: Input<'_> = input.clone();
    match place {
        Place::Dockerfile(index) => input.builds[index].dockerfile.text = text,
        Place::Ignore(index) => {
            if let Some(ignore) = &mut input.builds[index].ignore {
                ignore.text = text;
            }
        }
        Place::Compose(index) => input.compose[index].text = text,
    }
    let mut findings = crate::lint(&input).diagnostics;
    findings.retain(|found| found.file == path);
    let is_broken = findings.iter().any(|found| matches!(found.rule.code, "DR0001" | "DC0001"));
    (!is_broken).then_some(findings)
}

fn edits(found: &Diagnostic) -> &[Edit] {
    found.fix.as_ref().map(|fix| fix.edits.as_slice()).unwrap_or_default()
}

fn overlap(a: &Diagnostic, b: &Diagnostic) -> bool {
    // Edits that touch each other change places when they are applied together.
    edits(a).iter().any(|a| edits(b).iter().any(|b| a.span.start <= b.span.end && b.span.start <= a.span.end))
}

/// Applies edits; `None` when they overlap or cut a character.
pub fn apply(text: &str, edits: &[Edit]) -> Option<String> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut new = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in sorted {
        new.push_str(text.get(at..edit.span.start)?);
        new.push_str(&edit.text);
        at = edit.span.end;
    }
    new.push_str(text.get(at..)?);
    Some(new)
}

fn applied(text: &str, chosen: &[Diagnostic]) -> Option<String> {
    let all: Vec<Edit> = chosen.iter().flat_map(edits).cloned().collect();
    apply(text, &all)
}

/// Whether a new text is the old one but for the edits, by what it means.
fn holds(place: Place, old: &str, new: &str, chosen: &[Diagnostic]) -> bool {
    let all: Vec<Edit> = chosen.iter().flat_map(edits).cloned().collect();
    let touched = touched(&all);
    match place {
        Place::Dockerfile(_) => graph_holds(old, new, &all, &touched),
        Place::Compose(_) => tree_holds(old, new, &all, &touched),
        // Lines of their own without structure.
        Place::Ignore(_) => true,
    }
}

/// Where edits end up in the new text.
fn touched(edits: &[Edit]) -> Vec<Span> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| edit.span.start);
    let mut shift = 0_isize;
    let mut touched = Vec::new();
    for edit in sorted {
        let start = edit.span.start.saturating_add_signed(shift);
        touched.push(Span::new(start, start + edit.text.len()));
        shift += edit.text.len() as isize - (edit.span.end - edit.span.start) as isize;
    }
    touched
}

fn meets(span: Span, edits: &[Span]) -> bool {
    edits.iter().any(|edit| match edit.start == edit.end {
        true => span.start <= edit.start && edit.start <= span.end,
        false => span.start < edit.end && edit.start <= span.end,
    })
}

/// The same instructions outside of the edits, and the same stages standing on and taking from the same others.
fn graph_holds(old: &str, new: &str, edits: &[Edit], touched: &[Span]) -> bool {
    let (Ok(old), Ok(new)) = (Dockerfile::parse(old), Dockerfile::parse(new)) else { return false };
    let before: Vec<Span> = edits.iter().map(|edit| edit.span).collect();
    let rest = |file: &Dockerfile, edits: &[Span]| -> Vec<String> {
        let untouched = file.instructions.iter().filter(|instruction| !meets(instruction.span, edits));
        untouched.map(|instruction| format!("{} {}", instruction.canonical(), instruction.expression())).collect()
    };
    rest(&old, &before) == rest(&new, touched) && edges(&old.source) == edges(&new.source)
}

/// What each stage stands on and takes from.
fn edges(text: &str) -> Vec<String> {
    let unit = Unit::new(crate::input::Build {
        dockerfile: crate::input::Text { path: "", text },
        ignore: None,
        context: None,
        context_path: ".",
    });
    let view = View::new(&unit);
    let mut edges = Vec::new();
    for stage in &view.stages {
        edges.push(format!("{} on {:?}", stage.stage.index, stage.base));
        for step in view.steps_of(stage) {
            for name in sources_of(step.instruction) {
                let from = view.stage_named(&name, stage.stage.index).map_or(name, |index| index.to_string());
                edges.push(format!("{} from {from}", stage.stage.index));
            }
            if let Kind::Arg(_) | Kind::Env(_) = step.instruction.kind {
                edges.push(format!("{} knows {:?}", stage.stage.index, crate::unit::defines(step.instruction)));
            }
        }
    }
    edges
}

/// The same values outside of the edits.
fn tree_holds(old: &str, new: &str, edits: &[Edit], touched: &[Span]) -> bool {
    let (Ok(Some(old)), Ok(Some(new))) = (yaml::parse(old), yaml::parse(new)) else { return false };
    let before: Vec<Span> = edits.iter().map(|edit| edit.span).collect();
    let leaves = |node: &yaml::Node, edits: &[Span]| {
        let mut leaves = Vec::new();
        flatten(node, String::new(), &mut leaves);
        leaves.retain(|(_, span)| !meets(*span, edits));
        leaves.into_iter().map(|(text, _)| text).collect::<Vec<_>>()
    };
    leaves(&old, &before) == leaves(&new, touched)
}

fn flatten(node: &yaml::Node, path: String, leaves: &mut Vec<(String, Span)>) {
    match &node.value {
        yaml::Value::Scalar(text, quoted) => leaves.push((format!("{path}={text}{quoted}"), node.span)),
        yaml::Value::List(items) => items.iter().for_each(|item| flatten(item, format!("{path}[]"), leaves)),
        yaml::Value::Map(entries) => {
            entries.iter().for_each(|entry| flatten(&entry.value, format!("{path}.{}", entry.key), leaves));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_applied_in_any_order_and_never_over_each_other() {
        let edit = |start, end, text: &str| Edit { span: Span::new(start, end), text: text.to_owned() };
        assert_eq!(apply("abcdef", &[edit(4, 5, "E"), edit(0, 1, "")]).as_deref(), Some("bcdEf"));
        assert_eq!(apply("abcdef", &[edit(0, 3, "x"), edit(2, 4, "y")]), None);
        assert_eq!(apply("ä", &[edit(1, 1, "x")]), None);
    }

    #[test]
    fn a_fix_that_changes_more_than_it_should_does_not_hold() {
        let old = "FROM a AS x\nRUN b\nFROM c\nCOPY --from=x / /\n";
        for (edit, holds) in [
            (Edit { span: Span::new(16, 17), text: "bb".into() }, true),
            // The stage's name, but not where it is used.
            (Edit { span: Span::new(10, 11), text: "y".into() }, false),
            // A line continues that did not.
            (Edit { span: Span::new(17, 17), text: " \\".into() }, false),
            (Edit { span: Span::new(0, 4), text: "FRM".into() }, false),
        ] {
            let new = apply(old, std::slice::from_ref(&edit)).unwrap();
            let touched = touched(std::slice::from_ref(&edit));
            assert_eq!(graph_holds(old, &new, std::slice::from_ref(&edit), &touched), holds, "{new}");
        }
    }
}
