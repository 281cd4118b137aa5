use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use crate::diagnostic::Report;
use crate::interpolate::{Variables, substitute};
use crate::{Disk, Duration, Loader, Request, dotenv, load, suggest};

fn variables(name: &str) -> Option<String> {
    let value = match name {
        "SET" => "value",
        "EMPTY" => "",
        "DOLLAR" => "$SET",
        _ => return None,
    };
    Some(value.to_owned())
}

#[test]
fn interpolation() {
    let cases: &[(&str, Result<&str, &str>)] = &[
        ("plain", Ok("plain")),
        ("$SET", Ok("value")),
        ("a${SET}b", Ok("avalueb")),
        ("$SET/$SET", Ok("value/value")),
        ("$SETx", Ok("")),
        ("$$SET", Ok("$SET")),
        ("$$$SET", Ok("$value")),
        ("$DOLLAR", Ok("$SET")),
        ("$5 $ $", Ok("$5 $ $")),
        ("${SET:-d}", Ok("value")),
        ("${EMPTY:-d}", Ok("d")),
        ("${EMPTY-d}", Ok("")),
        ("${UNSET-d}", Ok("d")),
        ("${UNSET:-}", Ok("")),
        ("${UNSET:-a:-b}", Ok("a:-b")),
        ("${UNSET-${EMPTY:-${SET}}}", Ok("value")),
        ("${UNSET:-{}}", Ok("{}")),
        ("${SET:+r}", Ok("r")),
        ("${EMPTY:+r}", Ok("")),
        ("${EMPTY+r}", Ok("r")),
        ("${UNSET+r}", Ok("")),
        ("${SET:+${SET}/x}", Ok("value/x")),
        ("${SET:?no}", Ok("value")),
        ("${EMPTY?no}", Ok("")),
        ("${EMPTY:?no $SET}", Err("required variable `EMPTY` is missing a value: no value")),
        ("${UNSET?}", Err("required variable `UNSET` is missing a value")),
        ("${", Err("invalid interpolation `${`; write `$$` for a literal `$`")),
        ("${}", Err("invalid interpolation `${}`; write `$$` for a literal `$`")),
        ("${SET", Err("invalid interpolation `${SET`; write `$$` for a literal `$`")),
        ("${SET/a/b}", Err("invalid interpolation `${SET/a/b}`; write `$$` for a literal `$`")),
        ("${1A}", Err("invalid interpolation `${1A}`; write `$$` for a literal `$`")),
    ];
    for (template, expected) in cases {
        let mut variables = Variables { lookup: &variables, unset: Vec::new() };
        let actual = substitute(template, &mut variables).map_err(|error| error.to_string());
        assert_eq!(actual.as_deref().map_err(String::as_str), *expected, "{template}");
    }
}

#[test]
fn nesting_is_limited() {
    let template = format!("{}x{}", "${A:-".repeat(50_000), "}".repeat(50_000));
    let mut variables = Variables { lookup: &|_| None, unset: Vec::new() };
    assert!(substitute(&template, &mut variables).is_err());
}

#[test]
fn dotenv_grammar() {
    let text = r#"
        # comment
        PLAIN=a b  # comment
        HASH=a#b
        export EXPORTED = x
        EMPTY=
        SINGLE='a $PLAIN \n' # comment
        DOUBLE="a\n\"b\" \$PLAIN ${PLAIN} $$"
        LINES="one
two"
        YAML: style
        SET=own
        UNSET_HERE
        SET_OUTSIDE
        DEFAULTED=${NOPE:-d}
        LAST=x"#;
    let mut report = Report::default();
    let file = report.add_file(Path::new(".env"), text);
    let outer = |name: &str| match name {
        "SET_OUTSIDE" => Some("outside".to_owned()),
        _ => None,
    };
    let values = dotenv::parse(file, text, &outer, &mut report);
    let expected = [
        ("DEFAULTED", "d"),
        ("DOUBLE", "a\n\"b\" $PLAIN a b $"),
        ("EMPTY", ""),
        ("EXPORTED", "x"),
        ("HASH", "a#b"),
        ("LAST", "x"),
        ("LINES", "one\ntwo"),
        ("PLAIN", "a b"),
        ("SET", "own"),
        ("SET_OUTSIDE", "outside"),
        ("SINGLE", "a $PLAIN \\n"),
        ("YAML", "style"),
    ];
    assert_eq!(values, expected.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
    assert_eq!(report.into_found(), []);
}

#[test]
fn dotenv_mistakes_have_lines() {
    let text = "A=1\n=x\nB='open\n";
    let mut report = Report::default();
    let file = report.add_file(Path::new(".env"), text);
    dotenv::parse(file, text, &|_| None, &mut report);
    let found: Vec<String> = report.into_found().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            ".env:2:1: expected `NAME=value`\n  |\n2 | =x\n  | ^^",
            ".env:3:1: the quote ' is not closed\n  |\n3 | B='open\n  | ^^^^^^^",
        ]
    );
}

#[test]
fn durations_display_as_go_does() {
    let cases = [
        (0, "0s"),
        (1, "1ns"),
        (1_000, "1µs"),
        (1_500_000, "1.5ms"),
        (1_500_000_000, "1.5s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (3_600_000_000_001, "1h0m0.000000001s"),
    ];
    for (nanos, expected) in cases {
        assert_eq!(Duration(std::time::Duration::from_nanos(nanos)).to_string(), expected);
    }
}

#[test]
fn suggestions() {
    let known = ["image", "ports", "environment", "command"];
    for (word, expected) in [("imag", Some("image")), ("prots", Some("ports")), ("Image", Some("image")), ("zzz", None)]
    {
        assert_eq!(suggest::nearest(word, known), expected, "{word}");
    }
}

/// One compose file and nothing else.
struct Only(Vec<u8>);

impl Loader for Only {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        if path.ends_with("compose.yaml") { Ok(self.0.clone()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn load_bytes(bytes: &[u8]) -> Result<crate::Loaded, crate::LoadError> {
    let request = Request {
        files: vec![PathBuf::from("/p/compose.yaml")],
        project_dir: PathBuf::from("/p"),
        environment: BTreeMap::from([("SET".to_owned(), "value".to_owned())]),
        ..Request::default()
    };
    load(&request, &Only(bytes.to_vec()))
}

#[test]
fn alias_bombs_are_refused() {
    let mut text = "x-0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        writeln!(text, "x-{level}: &a{level} [{}]", [before.as_str(); 9].join(", ")).unwrap();
    }
    let error = load_bytes(text.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("more than 100000 values, with aliases expanded"), "{error}");
}

#[test]
fn depth_is_limited() {
    for text in ["[".repeat(200_000), "- ".repeat(200_000), "{a: ".repeat(200_000)] {
        let error = load_bytes(text.as_bytes()).unwrap_err().to_string();
        // The parser's own limit comes first where it has to look ahead.
        let ours = error.contains("nested more than 64 levels deep");
        assert!(ours || error.contains("recursion limit exceeded"), "{error}");
    }
}

#[test]
fn many_mistakes_are_found_fast() {
    let mut text = "services:\n  web:\n    image: x\n".to_owned();
    for number in 0..20_000 {
        writeln!(text, "    unknown{number}: 1").unwrap();
    }
    let started = std::time::Instant::now();
    let error = load_bytes(text.as_bytes()).unwrap_err();
    assert!(error.diagnostics.len() <= 51, "{}", error.diagnostics.len());
    assert!(started.elapsed() < std::time::Duration::from_secs(20));
}

#[test]
fn files_have_a_largest_size() {
    let error = Disk.read(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
}

/// YAML-like text: the interesting characters and words are far likelier than in arbitrary text.
fn yamlish() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        proptest::sample::select(vec![
            "services",
            "web",
            "image",
            "ports",
            "volumes",
            "networks",
            "depends_on",
            "environment",
            "healthcheck",
            "command",
            "name",
            "deploy",
            "ulimits",
            "env_file",
            "extra_hosts",
            "x-a",
            "<<",
            "&a",
            "*a",
            "!!str",
            "!reset",
            "8080:80",
            "1-2:3-4/udp",
            "${SET}",
            "${A:-",
            "}",
            "$$",
            "./a:/b:ro",
            "null",
            "1.50",
            "0755",
            "'",
            "\"",
            "|",
            ">",
            "---",
            "...",
            "?",
            "on-failure:3",
            "\u{feff}",
            "é",
            "\u{1f980}",
            "\t",
            "[::1]:80:80",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,6}",
    ];
    let separator = proptest::sample::select(vec![
        ": ", "\n", "\n  ", "\n    ", "\n      ", "\n- ", "\n    - ", ", ", "[", "]", "{", "}", " ",
    ]);
    proptest::collection::vec((word, separator), 0..60)
        .prop_map(|parts| parts.into_iter().map(|(word, separator)| word + separator).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = load_bytes(&bytes).map_err(|error| error.to_string());
    }

    #[test]
    fn arbitrary_yaml_never_panics(text in yamlish()) {
        let _ = load_bytes(text.as_bytes()).map_err(|error| error.to_string());
    }

    #[test]
    fn arbitrary_services_never_panic(text in yamlish()) {
        let text = format!("services:\n  web:\n    image: x\n    {text}");
        let _ = load_bytes(text.as_bytes()).map_err(|error| error.to_string());
    }

    #[test]
    fn arbitrary_templates_never_panic(template in "[$ {}A-Ba:?+-]{0,40}") {
        let mut variables = Variables { lookup: &variables, unset: Vec::new() };
        let _ = substitute(&template, &mut variables);
    }

    #[test]
    fn arbitrary_dotenv_never_panics(text in "[A-B=:'\"#$ {}\n\\\\é]{0,60}") {
        let mut report = Report::default();
        let file = report.add_file(Path::new(".env"), &text);
        dotenv::parse(file, &text, &|_| None, &mut report);
    }
}
