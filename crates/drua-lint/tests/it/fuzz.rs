//! Texts that nobody has thought of: pieces of examples put together, cut and changed.

use drua_lint::rules;
use proptest::prelude::*;

use crate::broken::holds;

fn pieces() -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    for rule in rules::all() {
        for text in [rule.bad, rule.good] {
            pieces.extend(text.lines().map(|line| format!("{line}\n")));
        }
    }
    let odd = [
        "\\\n",
        "\r\n",
        "\u{feff}",
        "<<EOF\n",
        "EOF\n",
        "\"",
        "'",
        "`",
        "$(",
        "${",
        ")",
        "}",
        "&&",
        "\t",
        "\u{1F980}",
        "\0",
        "# escape=`\n",
        "# check=skip=all;error=true\n",
        " \\ \n",
    ];
    pieces.extend(odd.map(str::to_owned));
    pieces.sort();
    pieces.dedup();
    pieces
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_panics_and_no_fix_breaks_a_file(
        chosen in prop::collection::vec(any::<prop::sample::Index>(), 1..24),
        cut in any::<prop::sample::Index>(),
        noise in ".{0,12}",
    ) {
        let pieces = pieces();
        let mut text: String = chosen.iter().map(|index| index.get(&pieces).as_str()).collect();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        if let Some(at) = (!places.is_empty()).then(|| *cut.get(&places)) {
            text.insert_str(at, &noise);
        }
        holds(&text);
        holds(&format!("FROM alpine:3.22\n{text}"));
    }
}
