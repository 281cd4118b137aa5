//! Fixes: they mend what they say, touch nothing else, and are done after once.

use drua_dockerfile::Dockerfile;
use drua_lint::{Input, Safety, apply, rules};

use crate::table::{files, lint, with};

/// Mends a Dockerfile; the same text when nothing is to be done.
#[track_caller]
fn fixed(text: &str, safety: Safety) -> String {
    let input = Input::dockerfile("Dockerfile", text);
    let fixed = drua_lint::fix(&input, safety);
    fixed.into_iter().next().map_or_else(|| text.to_owned(), |fixed| fixed.text)
}

/// A Dockerfile's instructions with their dialect of line ends, marks and escapes changed.
fn variants(text: &str) -> Vec<(&'static str, String)> {
    let backtick = text.replace("\\\n", "`\n");
    vec![
        ("as it is", text.to_owned()),
        ("CRLF", text.replace('\n', "\r\n")),
        ("BOM", format!("\u{feff}{text}")),
        ("no end of line", text.trim_end().to_owned()),
        ("comments", format!("# \u{e4} comment\n{text}# another\n")),
        ("tabs", text.lines().map(|line| format!("\t{line}\n")).collect()),
        ("escape=`", format!("# escape=`\n{backtick}")),
    ]
}

#[test]
fn every_fix_of_the_table_mends_its_example_in_every_dialect() {
    let mut count = 0;
    for rule in rules::all().filter(|rule| rule.fix.is_some() && rule.family != drua_lint::Family::Compose) {
        let parts = files(rule.bad, "Dockerfile");
        if parts.len() > 1 || rule.bad.trim_start().starts_with('#') {
            continue;
        }
        for (dialect, text) in variants(rule.bad) {
            let mut input = Input::dockerfile("Dockerfile", &text);
            input.config = with(rule);
            input.today = drua_lint::Date::parse("2026-11-23");
            let found = |report: drua_lint::Report| {
                report
                    .diagnostics
                    .into_iter()
                    .filter(|found| found.rule == rule && found.fix.is_some())
                    .collect::<Vec<_>>()
            };
            let before = found(drua_lint::lint(&input));
            // Scripts are not read where the escape character is that of Windows, and pins need an image that is known.
            if before.is_empty() {
                assert!(
                    dialect == "escape=`" || rule.code == "DR1001",
                    "{} in {dialect}: no fix for\n{text}",
                    rule.code
                );
                continue;
            }
            for one in &before {
                let edits = &one.fix.as_ref().unwrap().edits;
                let new = apply(&text, edits).unwrap_or_else(|| panic!("{} in {dialect}: {edits:?}", rule.code));
                assert!(Dockerfile::parse(&new).is_ok(), "{} in {dialect} breaks the file:\n{new}", rule.code);
                count += 1;
            }
            let mended = drua_lint::fix(&input, Safety::Unsafe);
            let mended = mended.first().unwrap_or_else(|| panic!("{} in {dialect}: not mended", rule.code));
            assert!(mended.refused.is_empty(), "{} in {dialect}: refused {:?}\n{text}", rule.code, mended.refused);
            let mut again = input.clone();
            again.builds[0].dockerfile.text = &mended.text;
            let left = found(drua_lint::lint(&again));
            assert!(left.is_empty(), "{} in {dialect}: still there in\n{}", rule.code, mended.text);
            assert!(drua_lint::fix(&again, Safety::Unsafe).is_empty(), "{} in {dialect}: not done at once", rule.code);
            let line_ends = |text: &str| {
                (text.matches("\r\n").count() > 0, text.matches('\n').count() == text.matches("\r\n").count())
            };
            if dialect == "CRLF" {
                assert_eq!(line_ends(&mended.text), (true, true), "{}:\n{:?}", rule.code, mended.text);
            }
        }
    }
    assert!(count > 100, "only {count}");
}

#[test]
fn fixes_of_other_files_mend_their_examples() {
    for rule in rules::all().filter(|rule| rule.fix.is_some()) {
        let report = lint(rule, rule.bad, with(rule));
        let first = if rule.family == drua_lint::Family::Compose { "compose.yaml" } else { "Dockerfile" };
        let parts = files(rule.bad, first);
        for found in report.diagnostics.iter().filter(|found| found.rule == rule) {
            let Some(fix) = &found.fix else { continue };
            let (_, text) = parts.iter().find(|(path, _)| *path == found.file).unwrap();
            let new = apply(text, &fix.edits).unwrap();
            let example = rule.bad.replace(text.as_str(), &new);
            let left = lint(rule, &example, with(rule))
                .diagnostics
                .iter()
                .any(|left| left.rule == rule && left.span == found.span);
            assert!(!left, "{} is still there in\n{example}", rule.code);
        }
    }
}

#[test]
fn what_is_outside_of_an_edit_stays_byte_for_byte() {
    let text = "\u{feff}# syntax=docker/dockerfile:1\r\n\r\n  FROM   debian:13 as Build  \r\n# keep  \t me\r\nRUN   apt-get update && \\\r\n    # inside\r\n    \
                apt-get   install curl=8.14.*  ;  \\\r\n    echo  'x   y'\r\nENV  A   b\r\nCOPY <<EOF /x\r\n  keep $me  \r\nEOF\r\n";
    let expected =
        text.replace("as Build", "AS build").replace("install curl", "install -y curl").replace("A   b", "A=b");
    assert_eq!(fixed(text, Safety::Safe), expected);
}

#[test]
fn a_renamed_stage_is_renamed_where_it_is_used() {
    let text = "FROM alpine:3.22 AS Build\nRUN make\nFROM scratch\nCOPY --from=Build /a /a\n";
    let expected = "FROM alpine:3.22 AS build\nRUN make\nFROM scratch\nCOPY --from=build /a /a\n";
    assert_eq!(fixed(text, Safety::Safe), expected);
}

#[test]
fn safe_fixes_leave_alone_what_only_looks_alike() {
    for text in [
        // A value with quotes inside means something else in the other form.
        "FROM alpine:3.22\nENV A b \"c\" d\n",
        // Only what is one chain can be added to.
        "FROM rockylinux:9\nRUN yum install -y a-1; echo done\n",
        // A file that does not parse is not touched.
        "FROM alpine:3.22 as x\nENV A b\nNOPE\n",
    ] {
        let only = ["LegacyKeyValueFormat", "DL3032", "FromAsCasing"];
        let input = Input::dockerfile("Dockerfile", text);
        for found in drua_lint::lint(&input).diagnostics.iter().filter(|found| only.contains(&found.rule.code)) {
            if !text.contains("NOPE") {
                assert!(found.fix.is_none(), "{found:?}");
            }
        }
        assert_eq!(fixed(text, Safety::Safe), text);
    }
}
