use drua_dockerfile::{Glob, Ignore, read_ignore_file};

/// `patterns, separated by blanks | path | yes or no`.
#[test]
fn ignore_patterns() {
    let table = r"
        *                   | a           | yes
        *                   | a/b         | yes
        **                  | a/b/c       | yes
        *.go                | a.go        | yes
        *.go                | a/b.go      | no
        **/*.go             | a/b.go      | yes
        **/*.go             | b.go        | yes
        a                   | a/b/c       | yes
        a                   | b/a         | no
        a/                  | a/b         | yes
        /a                  | a           | yes
        ./a                 | a           | yes
        a/../b              | b           | yes
        **/a                | x/y/a       | yes
        **/a                | a           | yes
        **/a                | xa          | no
        **a                 | xa          | yes
        a/**                | a           | no
        a/**                | a/b         | yes
        a/**                | a/b/c       | yes
        a/**/b              | a/b         | yes
        a/**/b              | a/x/y/b     | yes
        a/**/b              | a/xb        | no
        a**                 | abc         | yes
        a**                 | ab/c        | yes
        **/a/**             | x/a/b       | yes
        **/a/**             | a/b         | yes
        **/a/**             | a           | no
        a?c                 | abc         | yes
        a?c                 | a/c         | no
        a[b-d]e             | ace         | yes
        a[^b-d]e            | ace         | no
        a[^b-d]e            | aze         | yes
        a\*b                | a*b         | yes
        a\*b                | axb         | no
        a.b                 | axb         | no
        a+b(c)              | a+b(c)      | yes
        * !a                | a           | no
        * !a                | a/b         | no
        * !a                | b           | yes
        * !a/b              | a/b         | no
        * !a/b              | a/c         | yes
        a !a/b a/b/c        | a/b/c       | yes
        a !a/b a/b/c        | a/b/d       | no
        !a a                | a           | yes
        docs !docs/README   | docs/README | no
        **/*.md !**/README* | x/README.md | no
        **/*.md !**/README* | x/NOTES.md  | yes
        .                   | a           | no
        dir*                | dir.txt     | yes
        dir*                | dirs/x/y    | yes
        a/b                 | a           | no
        [a&&b]              | &           | yes
        é*                  | écran       | yes
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let [patterns, path, expected] = cells.as_slice() else { panic!("{line}") };
        let patterns = read_ignore_file(&patterns.replace(' ', "\n"));
        let ignored = Ignore::new(&patterns).unwrap().matches(path);
        assert_eq!(ignored, *expected == "yes", "{line}");
    }
}

#[test]
fn ignore_files_have_comments_and_blank_lines() {
    let text = "\u{feff}# comment\n\n  a/b/ \n #not a comment\n! c\n/\n!\n/x\n";
    assert_eq!(read_ignore_file(text), ["a/b", "#not a comment", "!c", "/", "!", "x"]);
}

#[test]
fn malformed_patterns_are_refused() {
    for pattern in ["!", "a[", "[]a]", "[-x]", "a\\", "[a-"] {
        assert!(Ignore::new(&[pattern]).is_err(), "{pattern}");
        assert!(pattern == "!" || Glob::new(pattern).is_err(), "{pattern}");
    }
}

/// What can be pruned from a walk: the root must never be, and no directory below which something is taken back.
#[test]
fn directories_are_walked_only_when_something_may_be_taken_back() {
    for (patterns, directory, expected) in [
        (&["node_modules"][..], "node_modules", false),
        (&["*", "!src"], "src", true),
        (&["*", "!src/a"], "src", true),
        (&["*", "!src/a"], "target", false),
        (&["*", "!src/a"], "src/b", false),
        (&["*", "!**/x"], "deep/down", true),
        (&["*", "!s*/x"], "src", true),
        (&["*", "!s*/x"], "lib", false),
        (&["*", "!src"], "src/a/b", true),
    ] {
        assert_eq!(Ignore::new(patterns).unwrap().may_take_back_below(directory), expected, "{patterns:?} {directory}");
    }
}

#[test]
fn globs_do_not_cross_directories() {
    for (pattern, path, expected) in [
        ("*.txt", "a.txt", true),
        ("*.txt", "d/a.txt", false),
        ("d/*.txt", "d/a.txt", true),
        ("d?/[a-c]*", "d1/bee", true),
        ("[^a]", "a", false),
        ("a[]", "a", false),
        ("\\[x\\]", "[x]", true),
        ("a\\*", "a*", true),
        ("a**", "abc", true),
    ] {
        assert_eq!(Glob::new(pattern).is_ok_and(|glob| glob.matches(path)), expected, "{pattern} {path}");
    }
}
