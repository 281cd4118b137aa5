use drua_dockerfile::{Dockerfile, Expander, Ignore, MAX_SOURCE_BYTES, Mount, read_ignore_file};
use proptest::prelude::*;

#[test]
fn sizes_and_depths_are_bounded() {
    assert!(Dockerfile::parse(&"#\n".repeat(MAX_SOURCE_BYTES)).is_err());
    let deep = "${a:-".repeat(10_000) + &"}".repeat(10_000);
    let error = Expander::new('\\').expand(&deep, &|_| None).unwrap_err().to_string();
    assert!(error.contains("nested more than"), "{error}");
    let big = "x".repeat(1 << 19);
    let error = Expander::new('\\').expand("$A$A$A$A", &|_| Some(big.clone())).unwrap_err().to_string();
    assert!(error.contains("bytes"), "{error}");
    let onbuild = "FROM a\n".to_owned() + &"ONBUILD ".repeat(100_000) + "RUN x\n";
    assert!(Dockerfile::parse(&onbuild).is_err());
    let json = "FROM a\nCMD ".to_owned() + &"[".repeat(100_000);
    assert!(Dockerfile::parse(&json).is_ok(), "not JSON, so a command for the shell");
}

proptest! {
    /// Whatever comes, nothing panics, and spans are inside the source and on characters.
    #[test]
    fn anything_is_parsed_or_refused(
        text in r"(# (escape|syntax|check)=[`\\a]\n)?((FROM|RUN|copy|ENV|onbuild|ADD|ARG|LABEL|HEALTHCHECK|CMD|\PC{0,8})( |\\\n|\t|\r\n|--[a-z]{1,8}=|<<-?E|E\n|'|\x22|\[|\]|=|\$\{?|[a-zé#`,]{1,5}){0,12}\n){0,8}"
    ) {
        let (file, errors) = Dockerfile::read(&text);
        for error in &errors {
            prop_assert!(text.get(error.span.range()).is_some());
        }
        for instruction in &file.instructions {
            prop_assert!(text.get(instruction.span.range()).is_some());
            prop_assert!(text.get(instruction.keyword.span.range()).is_some());
            for flag in &instruction.flags {
                prop_assert!(text.get(flag.span.range()).is_some());
            }
        }
        let _ = file.dump();
    }

    #[test]
    fn any_word_is_expanded_or_refused(text in r"([$\{\}:#%/?+'\x22\\*a-z -]|é){0,40}") {
        let _ = Expander::new('\\').expand(&text, &|name| (name.len() % 2 == 1).then(|| "value".to_owned()));
        let _ = Mount::parse(&text);
    }

    #[test]
    fn any_ignore_pattern_is_compiled_or_refused(text in r"([*?\[\]!/\\^&~.a-z-]|é){0,24}", path in "[a-z./]{1,12}") {
        if let Ok(ignore) = Ignore::new(&read_ignore_file(&text)) {
            let _ = ignore.matches(&path);
            let _ = ignore.may_take_back_below(&path);
        }
    }
}
