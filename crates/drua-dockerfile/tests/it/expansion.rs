use std::collections::BTreeMap;

use drua_dockerfile::Expander;

/// `input => expected`, or `input !! part of the error`; `A=x` lines set variables, `A` alone unsets one.
fn run(table: &str, words: bool, escape: char) {
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("# ")) {
        if let Some((input, expected)) = line.split_once(" => ").or_else(|| Some((line.strip_suffix(" =>")?, ""))) {
            let lookup = |name: &str| variables.get(name).cloned();
            let expanded =
                Expander::new(escape).expand(input, &lookup).unwrap_or_else(|error| panic!("{line}: {error}"));
            let actual = if words { expanded.words.join("|") } else { expanded.text };
            assert_eq!(actual, expected, "{line}");
        } else if let Some((input, expected)) = line.split_once(" !! ") {
            let lookup = |name: &str| variables.get(name).cloned();
            let error = Expander::new(escape).expand(input, &lookup).expect_err(line).to_string();
            assert!(error.contains(expected), "{line}: {error}");
        } else if let Some((name, value)) = line.strip_prefix("let ").and_then(|line| line.split_once('=')) {
            variables.insert(name.to_owned(), value.to_owned());
        } else {
            panic!("no such line: {line}");
        }
    }
}

#[test]
fn variables_and_quotes() {
    run(
        r#"
        let HOME=/root
        let SHELL=dash
        let EMPTY=
        let WORD=Fidschi-é漢
        plain => plain
        two' 'words => two words
        it"'"s => it's
        it's !! single-quote
        "open !! double-quote
        a\$HOME => a$HOME
        a\\$HOME => a\/root
        "a\$HOME" => a$HOME
        'a$HOME' => a$HOME
        "a\b" => a\b
        a\b => ab
        end\ => end
        $HOME$SHELL => /rootdash
        ${HOME}x => /rootx
        $HOMEx =>
        $1x => x
        $ => $
        a$.b => a$.b
        \${HOME} => ${HOME}
        ${} !! bad substitution
        ${:-x} !! bad substitution
        ${{x} !! bad substitution
        ${HOME !! missing '}'
        ${HOME@x} !! unsupported modifier (@)
        ${HOME:x} !! unsupported modifier (:x)
        ${NONE-x} => x
        ${NONE:-x} => x
        ${EMPTY-x} =>
        ${EMPTY:-x} => x
        ${HOME:-x} => /root
        ${NONE:-$SHELL} => dash
        ${NONE:-${ALSO:-${HOME}}} => /root
        ${NONE:-"a b"} => a b
        ${NONE:-a\}b} => a}b
        ${NONE+x} =>
        ${EMPTY+x} => x
        ${EMPTY:+x} =>
        ${HOME:+x} => x
        ${NONE?is needed} !! NONE: is needed
        ${NONE?} !! NONE: is not allowed to be unset
        ${EMPTY?} =>
        ${EMPTY:?} !! EMPTY: is not allowed to be empty
        ${EMPTY:?say why} !! EMPTY: say why
        ${HOME:?} => /root
        ${WORD} => Fidschi-é漢
        ${WORD#F*i} => dschi-é漢
        "#,
        false,
        '\\',
    );
}

#[test]
fn patterns() {
    run(
        r#"
        let F=/a/b/a.tar.gz
        let X=xxyyxx
        let STAR=a*b*c
        ${F#*/} => a/b/a.tar.gz
        ${F##*/} => a.tar.gz
        ${F%/*} => /a/b
        ${F%%/*} =>
        ${F%.*} => /a/b/a.tar
        ${F%%.*} => /a/b/a
        ${F#nothing} => /a/b/a.tar.gz
        ${F%.??} => /a/b/a.tar
        ${F/a/A} => /A/b/a.tar.gz
        ${F//a/A} => /A/b/A.tAr.gz
        ${F//\//-} => -a-b-a.tar.gz
        ${F/tar.gz/zip} => /a/b/a.zip
        ${X/y*/z} => xxz
        ${X//x/} => yy
        ${X//xx/$1} => yy
        ${STAR#a\*} => b*c
        ${STAR//\*/+} => a+b+c
        ${X#\x} !! invalid pattern
        ${X/a !! missing
        ${X/a/b !! missing '}'
        ${NONE#x} =>
        ${NONE//x/y} =>
        ${X:#x} !! unsupported modifier (:#)
        "#,
        false,
        '\\',
    );
}

#[test]
fn words_are_split_where_nothing_is_quoted() {
    run(
        r#"
        let PORTS=80 443  8080
        let LEAD= a
        $PORTS => 80|443|8080
        "$PORTS" => 80 443  8080
        x$LEAD => x|a
        a"b c"d e => ab cd|e
        a\ b c => a b|c
        a 'b  c' => a|b  c
        "#,
        true,
        '\\',
    );
}

#[test]
fn a_backtick_escapes_when_the_file_says_so() {
    run("let P=v\na`$P => a$P\nC:\\$P => C:\\v\n`a => a\n\"`$P\" => $P\n", false, '`');
}

#[test]
fn what_was_used_and_what_was_missing_is_told() {
    let lookup = |name: &str| (name == "A").then(|| "1".to_owned());
    let expanded = Expander::new('\\').expand("$A ${B:-$C} '$D' ${A:-$E}", &lookup).unwrap();
    assert_eq!(expanded.used.into_iter().collect::<Vec<_>>(), ["A"]);
    assert_eq!(expanded.unset.into_iter().collect::<Vec<_>>(), ["B", "C", "E"]);
}
