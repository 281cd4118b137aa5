//! docs/lint.md lists the rules as they are.

const BEGIN: &str =
    "<!-- The rest is made of the table in crates/drua-lint/src/rules: UPDATE=1 cargo test -p drua-lint docs -->\n";

#[test]
fn the_documentation_is_made_of_the_table() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/lint.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = text.split_once(BEGIN).expect("docs/lint.md has the mark after which the rules follow");
    let rules = format!("\n{}", drua_lint::render::reference());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{rules}")).unwrap();
        return;
    }
    assert!(rest == rules, "docs/lint.md is not what the table says: run UPDATE=1 cargo test -p drua-lint docs");
}
