//! Bad input: findings have places inside the text, nothing panics, and what does not parse is not mended.

use std::path::Path;

use drua_dockerfile::Dockerfile;
use drua_lint::{Build, Input, Safety, Text};

/// Everything that must hold of any text.
#[track_caller]
pub(crate) fn holds(text: &str) {
    let build = Build {
        dockerfile: Text { path: "Dockerfile", text },
        ignore: Some(Text { path: ".dockerignore", text }),
        context: None,
        context_path: ".",
    };
    let compose = vec![Text { path: "compose.yaml", text }];
    let input = Input { builds: vec![build], compose, today: drua_lint::Date::parse("2026-11-23"), ..Input::default() };
    let report = drua_lint::lint(&input);
    for found in &report.diagnostics {
        assert!(
            text.get(found.span.range()).is_some(),
            "{} has no place in the text: {:?}",
            found.rule.code,
            found.span
        );
        assert!(found.start.line >= 1 && found.end.line >= found.start.line, "{found:?}");
        for edit in found.fix.iter().flat_map(|fix| &fix.edits) {
            assert!(text.get(edit.span.range()).is_some(), "{} edits outside of the text: {edit:?}", found.rule.code);
        }
    }
    let parses = Dockerfile::parse(text).is_ok();
    for fixed in drua_lint::fix(&input, Safety::Unsafe) {
        if fixed.path == "Dockerfile" {
            assert!(parses, "a broken file was mended:\n{text}");
            assert!(Dockerfile::parse(&fixed.text).is_ok(), "mending broke the file:\n{text}\n---\n{}", fixed.text);
        }
    }
    // Reports can always be written.
    let source = |_: &str| text.to_owned();
    let _ = drua_lint::render::json(&report).to_string();
    let _ = drua_lint::render::sarif(&report, "0", &source).to_string();
    let _ = drua_lint::render::github(&report);
}

#[test]
fn every_fixture_of_the_parser_is_looked_at() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drua-dockerfile/tests");
    let mut seen = 0;
    for kind in ["fixtures", "negative"] {
        for case in std::fs::read_dir(root.join(kind)).unwrap() {
            let text = std::fs::read_to_string(case.unwrap().path().join("Dockerfile")).unwrap();
            holds(&text);
            holds(&text.replace('\n', "\r\n"));
            holds(&format!("\u{feff}{text}"));
            let broken = drua_lint::lint(&Input::dockerfile("Dockerfile", &text));
            let says = broken.diagnostics.iter().any(|found| found.rule.code == "DR0001");
            assert_eq!(says, Dockerfile::parse(&text).is_err());
            seen += 1;
        }
    }
    assert!(seen > 60, "only {seen}");
}

#[test]
fn a_huge_file_is_refused_at_once() {
    let text = "RUN echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n".repeat(100_000_000 / 45);
    let before = std::time::Instant::now();
    let report = drua_lint::lint(&Input::dockerfile("Dockerfile", &text));
    assert_eq!(report.diagnostics.len(), 1);
    assert!(report.diagnostics[0].message.contains("the limit is"), "{}", report.diagnostics[0].message);
    assert!(drua_lint::fix(&Input::dockerfile("Dockerfile", &text), Safety::Unsafe).is_empty());
    assert!(before.elapsed().as_secs() < 10, "{:?}", before.elapsed());
}

#[test]
fn the_largest_file_that_is_read_is_looked_at() {
    let line = "RUN apt-get update && apt-get install -y curl && echo $a `b` 'c' | sh\n";
    let text = format!("FROM debian:13\n{}", line.repeat((1 << 20) / line.len()));
    let before = std::time::Instant::now();
    assert!(drua_lint::lint(&Input::dockerfile("Dockerfile", &text)).diagnostics.len() > 1000);
    assert!(before.elapsed().as_secs() < 30, "{:?}", before.elapsed());
}

#[test]
fn odd_texts_are_survived() {
    for text in [
        "",
        "\n",
        "\u{feff}",
        "\0\0\0",
        "FROM",
        "FROM \u{0}\nRUN \u{1b}[31m",
        "# syntax=unknown/frontend\nFROM a\n",
        "# escape=x\nFROM a\n",
        "FROM a\nRUN <<EOF\n",
        "FROM a\nRUN <<EOF\n$(\"`'\nEOF\n",
        "FROM a\nRUN \\\n\\\n\\\n",
        "FROM a\nENV A\u{a0}b=\u{e9}\n",
        "a: &a [*a]\n",
        "&a a: *a\n",
        "services:\n  a:\n    ports: [{}]\n    build: {args: [A, {}]}\n",
        "services: {a: {build: ., volumes: [':', '::']}}\n",
        "? [a]\n: b\n",
        "services:\n\ta: b\n",
        "FROM a AS b\nFROM b AS a\nCOPY --from=9 / /\nCOPY --from=a . .\n",
    ] {
        holds(text);
    }
    holds(&"RUN ((((((".repeat(10_000));
    holds(&format!("FROM a\nRUN {}\n", "$(".repeat(200_000)));
    holds(&format!("FROM a\nRUN {}\n", "if true; then ".repeat(50_000)));
    holds(&format!("FROM a\nENV A={}\n", "${A:-".repeat(50_000)));
}
