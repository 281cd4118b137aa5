use drua_dockerfile::{Dockerfile, Kind, LineIndex, excerpt};

const SOURCE: &str = "# syntax=docker/dockerfile:1\n\nFROM --platform=linux/amd64 \\\n  # why\n  alpine AS base\nRUN echo \\\n  one && \\\n  two\nCOPY --chown=1:2 <<A <<B /x/\na\nA\nb\nB\nENV A=1 \\\n    B=\"2 3\"\nCMD [\"sh\", \"-c\"]\n";

/// A linter must be able to point at every token.
#[test]
fn every_token_knows_its_place() {
    let file = Dockerfile::parse(SOURCE).unwrap();
    let at = |span: drua_dockerfile::Span| &SOURCE[span.range()];
    let Kind::From(from) = &file.instructions[0].kind else { panic!() };
    assert_eq!(at(from.base.span), "alpine");
    assert_eq!(at(from.platform.as_ref().unwrap().span), "linux/amd64");
    assert_eq!(at(from.name.as_ref().unwrap().span), "base");
    assert_eq!(at(file.instructions[0].keyword.span), "FROM");
    assert_eq!(at(file.instructions[1].span), "RUN echo \\\n  one && \\\n  two");
    assert_eq!(at(file.instructions[2].flags[0].span), "--chown=1:2");
    assert_eq!(at(file.instructions[2].heredocs[1].span), "b\nB");
    let Kind::Env(pairs) = &file.instructions[3].kind else { panic!() };
    assert_eq!(at(pairs[1].name.span), "B");
    assert_eq!(at(pairs[1].value.span), "\"2 3\"");
    let Kind::Cmd(drua_dockerfile::CommandLine::Exec(words)) = &file.instructions[4].kind else { panic!() };
    assert_eq!(at(words[1].span), "\"-c\"");
    assert_eq!(at(file.comments[0].span), "# why");
    assert_eq!(file.directive("syntax"), Some("docker/dockerfile:1"));
    let lines = LineIndex::new(SOURCE);
    assert_eq!(lines.lines(file.instructions[2].span), (9, 13));
    assert_eq!(lines.position(words[1].span.start).column, 12);
}

#[test]
fn all_errors_are_listed_and_the_rest_is_parsed() {
    let (file, errors) = Dockerfile::read("FROM a\nRNU x\nRUN ok\nCOPY x\nWORKDIR\n");
    assert_eq!(file.instructions.len(), 2);
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [2, 4, 5]);
}

#[test]
fn excerpts_mark_the_lines() {
    let text = excerpt("Dockerfile", "FROM a\n\nRUN x \\\n  y\nCMD z\nUSER q\nUSER r\n", 3, 4);
    let expected = "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |\n   3 | >>> RUN x \\\n   4 | >>>   y\n   5 |     CMD z\n   6 |     USER q\n--------------------\n";
    assert_eq!(text, expected);
}
