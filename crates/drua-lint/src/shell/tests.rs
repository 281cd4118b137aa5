use super::ast::{List, PartKind};
use super::parse::parse;

/// The commands of a script, words between bars.
fn commands(script: &str) -> Vec<String> {
    let (list, _) = parse(script, true);
    list.commands()
        .iter()
        .map(|command| command.words.iter().map(|word| word.text.clone()).collect::<Vec<_>>().join("|"))
        .collect()
}

#[test]
fn commands_are_found_wherever_they_stand() {
    for (script, expected) in [
        ("a b 'c d' \"e f\" g\\ h", vec!["a|b|c d|e f|g h"]),
        ("a && b || c; d & e | f", vec!["a", "b", "c", "d", "e", "f"]),
        ("if a; then b; elif c; then d; else e; fi", vec!["a", "b", "c", "d", "e"]),
        ("while a; do b; done; until c; do d; done", vec!["a", "b", "c", "d"]),
        ("for x in 1 2 3; do a $x; done", vec!["a|$x"]),
        ("case $x in a|b) c;; *) d ;; esac", vec!["c", "d"]),
        ("f() { a; }; f", vec!["a", "f"]),
        ("( a; b ) > x", vec!["a", "b"]),
        ("a $(b `c` \"$(d)\") e", vec!["a|$(b `c` \"$(d)\")|e", "b|`c`|$(d)", "c", "d"]),
        ("a \\\n  b # comment\n# another\nc", vec!["a|b", "c"]),
        ("x=1 y=\"$(a)\" b > out 2>&1 < in", vec!["b", "a"]),
        ("cat <<EOF > x\na 'b\nEOF\nc", vec!["cat", "c"]),
        ("[[ $a == b* && -f c ]] && d", vec!["d"]),
        ("a ${x:-$(b)} ${y#\"}\"} ${z//\\}/x}", vec!["a|${x:-$(b)}|${y#\"}\"}|${z//\\}/x}", "b"]),
        ("set -eux; \\\n\tapt-get update", vec!["set|-eux", "apt-get|update"]),
        ("a=$((1 + (2 * 3))) b", vec!["b"]),
        ("x=(a b $(c)) d", vec!["d", "c"]),
    ] {
        let mut actual = commands(script);
        // Those of expansions come after their command; order among siblings does not matter here.
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        actual.sort();
        expected.sort();
        assert_eq!(actual, expected, "{script}");
        assert_eq!(parse(script, true).1, [], "{script}");
    }
}

#[test]
fn mistakes_are_listed_and_stepped_over() {
    for (script, code) in [
        ("echo 'a", "SC1078"),
        ("echo \"a", "SC1078"),
        ("echo $(a", "SC1073"),
        ("if a; then b", "SC1046"),
        ("if a; b; fi", "SC1049"),
        ("for x in a; do b", "SC1061"),
        ("a; fi; b", "SC1089"),
        ("for $x in a; do b; done", "SC1086"),
        ("f(a) { b; }", "SC1065"),
        ("a &; b", "SC1045"),
    ] {
        let (_, slips) = parse(script, true);
        assert!(slips.iter().any(|slip| slip.code == code), "{script}: {slips:?}");
    }
}

#[test]
fn parts_know_whether_they_are_quoted() {
    let (list, _) = parse("a $x \"$y\" ${z%/}", false);
    let words = &list.commands()[0].words;
    let of = |index: usize| (words[index].parts[0].quoted, words[index].parts[0].kind.clone());
    assert_eq!(of(1), (false, PartKind::Variable("x".into(), String::new())));
    assert_eq!(of(2), (true, PartKind::Variable("y".into(), String::new())));
    assert_eq!(of(3), (false, PartKind::Variable("z".into(), "%/".into())));
}

#[test]
fn nesting_has_a_limit_and_no_end_is_needed() {
    for unit in ["$(", "(", "`", "${a:-", "{ ", "if ", "\"$(", "case x in a) ", "f() { ", "[[ ", "<(", "$((", "while "]
    {
        let script = unit.repeat(5_000);
        let (list, _) = parse(&script, true);
        assert!(List::commands(&list).len() < 10_000, "{unit}");
    }
}
