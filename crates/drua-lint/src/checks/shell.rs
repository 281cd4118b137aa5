//! What is wrong in scripts.

use std::collections::BTreeSet;

use drua_dockerfile::{Kind, Span};

use super::packages::Run;
use crate::report::{Safety, Sink, insert, replace};
use crate::shell::{Command, Dialect, List, Operator, Part, PartKind, Script, Simple, Word};

pub(super) fn check(run: &Run<'_>, sink: &mut Sink<'_>) {
    let script = run.script;
    for slip in &script.slips {
        sink.add(slip.code, script.span(slip.span), slip.message.clone());
    }
    characters(script, sink);
    script.list.walk(&mut |command| {
        if let Command::Simple(simple) = command {
            simple_command(script, simple, sink);
        }
        for word in command.all_words() {
            expansions(script, word, sink);
        }
        if let Command::Compound(compound) = command
            && script.dialect == Dialect::Posix
            && compound.kind == "[["
        {
            sink.add("SC3010", script.span(compound.span), "`[[ ]]` is bash's; /bin/sh may not have it");
        }
    });
    for list in script.list.lists() {
        joins(script, list, sink);
    }
    changes_of_folder(script, &script.list, false, sink);
    variables(run, sink);
}

fn characters(script: &Script, sink: &mut Sink<'_>) {
    script.list.walk(&mut |command| {
        for word in command.all_words() {
            for part in word.parts.iter().filter(|part| !part.quoted) {
                let PartKind::Literal(text) = &part.kind else { continue };
                if let Some(at) = text.find(['\u{a0}', '\u{2009}', '\u{200b}']) {
                    let length = text[at..].chars().next().map_or(1, char::len_utf8);
                    let span = script.span(Span::new(part.span.start + at, part.span.start + at + length));
                    sink.add("SC1018", span, "this space is none for the shell").fix(
                        Safety::Safe,
                        "write a plain space",
                        vec![replace(span, " ")],
                    );
                }
                if text.contains('\u{b4}') {
                    sink.add("SC1077", script.span(part.span), "this accent is no backtick");
                }
            }
        }
    });
}

fn simple_command(script: &Script, simple: &Simple, sink: &mut Sink<'_>) {
    for assignment in &simple.assignments {
        if assignment.is_array && script.dialect == Dialect::Posix {
            sink.add("SC3030", script.span(assignment.span), "arrays are bash's; /bin/sh has none");
        }
        if assignment.value.text.starts_with('=') && !assignment.value.is_quoted() {
            sink.add("SC1097", script.span(assignment.span), "`==` compares; `=` assigns");
        }
    }
    let Some(first) = simple.words.first() else { return };
    let span = script.span(first.span);
    let name = simple.name();
    match name {
        "If" | "Then" | "Else" | "Fi" | "For" | "While" | "Do" | "Done" | "Case" | "Esac" | "Until" | "IF" | "THEN"
        | "ELSE" | "FI" | "FOR" | "DO" | "DONE" => {
            sink.add("SC1081", span, format!("the keyword is `{}`", name.to_lowercase()));
        }
        "echo" => echo(script, simple, sink),
        "printf" => {
            let format = simple.operands(&["-v"]).first().copied();
            let variable = |part: &Part| matches!(part.kind, PartKind::Variable(..));
            if let Some(word) = format.filter(|word| word.parts.iter().any(variable) && !word.text.contains('%')) {
                sink.add("SC2059", script.span(word.span), "the format comes from a variable: `printf '%s' …`");
            }
        }
        "read" if !simple.has_option('r', &[]) => {
            let at = script.after(first.span.end);
            sink.add("SC2162", span, "`read` takes backslashes for escapes without -r").fix(
                Safety::Safe,
                "add -r",
                vec![insert(at, " -r")],
            );
        }
        "egrep" | "fgrep" => {
            let (code, option) = if name == "egrep" { ("SC2196", "grep -E") } else { ("SC2197", "grep -F") };
            let found = sink.add(code, span, format!("`{name}` is deprecated: `{option}`"));
            if first.text == name {
                found.fix(Safety::Safe, format!("use `{option}`"), vec![replace(span, option)]);
            }
        }
        "export" | "local" | "readonly" | "declare" | "typeset" => declares(script, simple, sink),
        "[" | "test" => test(script, simple, sink),
        "source" if script.dialect == Dialect::Posix => {
            sink.add("SC3046", span, "`source` is bash's; `.` is everybody's").fix(
                Safety::Safe,
                "use `.`",
                vec![replace(span, ".")],
            );
        }
        "set" if script.dialect == Dialect::Posix && simple.has("pipefail") => {
            sink.add("SC3040", span, "/bin/sh may not know pipefail");
        }
        "rm" => removes(script, simple, sink),
        _ => {}
    }
    first_word(script, simple, first, sink);
    arguments(script, simple, name, sink);
    for redirect in &simple.redirects {
        if script.dialect == Dialect::Posix && redirect.operator == "&>" {
            let target = script.slice(redirect.target.span);
            let span = script.span(redirect.span);
            let edits = vec![replace(span, format!("> {target} 2>&1"))];
            sink.add("SC3020", span, "`&>` is bash's; /bin/sh runs the command in the background").fix(
                Safety::Safe,
                "write `> … 2>&1`",
                edits,
            );
        }
        if script.dialect == Dialect::Posix && redirect.operator == "<<<" {
            sink.add("SC3011", script.span(redirect.span), "`<<<` is bash's; /bin/sh may not have it");
        }
        if !matches!(redirect.operator.as_str(), "<<" | "<<-" | "<<<" | ">&" | "<&") {
            splits(script, &redirect.target, sink);
        }
    }
    let lonely = simple.assignments.last().filter(|last| {
        last.value.parts.is_empty() && !last.is_array && last.span.end == last.span.start + last.name.len() + 1
    });
    if let Some(last) = lonely
        && first.span.start == last.span.end + 1
        && !matches!(last.name.as_str(), "IFS" | "LC_ALL" | "LANG" | "CFLAGS" | "LDFLAGS" | "CXXFLAGS" | "CPPFLAGS")
        && first.literal().is_some_and(|text| {
            text.starts_with(|c: char| c.is_ascii_digit()) || text.contains('/') && !text.starts_with('/')
        })
    {
        sink.add(
            "SC1007",
            script.span(last.span),
            format!("`{}` is empty here: there is a space after the `=`", last.name),
        );
    }
}

fn first_word(script: &Script, simple: &Simple, first: &Word, sink: &mut Sink<'_>) {
    let span = script.span(first.span);
    if let Some(Part { kind: PartKind::Variable(name, operator), quoted: false, .. }) = first.parts.first()
        && operator.is_empty()
        && matches!(first.parts.get(1).map(|part| &part.kind), Some(PartKind::Literal(text)) if text.starts_with('='))
    {
        sink.add("SC1066", span, format!("assign without the dollar sign: `{name}=…`"));
    }
    let is_name = |text: &str| {
        !text.is_empty()
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !text.starts_with(|c: char| c.is_ascii_digit())
    };
    if let (Some(text), Some(second)) = (first.literal(), simple.words.get(1))
        && is_name(text)
        && second.text == "="
        && !matches!(text, "test" | "expr" | "echo")
    {
        sink.add("SC1068", span, format!("`{text}` is run as a command: no spaces around the `=`"));
    }
    let glued = first.literal().is_some_and(|text| {
        text.strip_prefix('[').is_some_and(|rest| !rest.is_empty() && rest != "[" && !rest.contains(']'))
            || text.strip_prefix('!').is_some_and(|rest| !rest.is_empty() && rest != "=")
    });
    if glued && !first.is_quoted() {
        sink.add("SC1035", span, "a space is missing after the first character");
    }
}

fn echo(script: &Script, simple: &Simple, sink: &mut Sink<'_>) {
    let flags = |text: &str| {
        text.strip_prefix('-')
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| matches!(c, 'n' | 'e' | 'E')))
    };
    let has_e = simple.args().first().is_some_and(|word| flags(&word.text) && word.text.contains('e'));
    if let Some(word) = simple.args().first().filter(|word| flags(&word.text) && script.dialect == Dialect::Posix) {
        sink.add(
            "SC3037",
            script.span(word.span),
            format!("whether echo knows `{}` depends on the shell: printf does it everywhere", word.text),
        );
    }
    let escapes = |text: &str| {
        text.match_indices('\\').any(|(at, _)| {
            text[at + 1..].starts_with(['n', 't', 'r', 'a', 'b', 'e', 'f', 'v', '0', 'x', '\''])
                && !text[at + 1..].starts_with('\'')
        })
    };
    let texts = |word: &&Word| {
        word.parts.iter().any(|part| match &part.kind {
            PartKind::Literal(text) | PartKind::Single(text) => part.quoted && escapes(text),
            _ => false,
        })
    };
    if !has_e && let Some(word) = simple.args().iter().find(texts) {
        sink.add("SC2028", script.span(word.span), "whether echo expands this depends on the shell: use printf");
    }
}

fn declares(script: &Script, simple: &Simple, sink: &mut Sink<'_>) {
    for word in simple.args().iter().filter(|word| !word.text.starts_with('-')) {
        let has_name = word
            .text
            .find('=')
            .is_some_and(|at| word.text[..at].chars().all(|c| c.is_ascii_alphanumeric() || c == '_'));
        let commands = word.parts.iter().any(|part| matches!(part.kind, PartKind::Command(..)));
        if has_name && commands && simple.name() != "readonly" {
            let name = word.text.split('=').next().unwrap_or_default();
            sink.add(
                "SC2155",
                script.span(word.span),
                format!("`{} {name}=$(…)` succeeds whatever the command does", simple.name()),
            );
        }
    }
}

fn test(script: &Script, simple: &Simple, sink: &mut Sink<'_>) {
    for word in simple.args() {
        let span = script.span(word.span);
        match word.text.as_str() {
            "==" if script.dialect == Dialect::Posix && !word.is_quoted() => {
                sink.add("SC3014", span, "`==` is bash's; `=` is everybody's").fix(
                    Safety::Safe,
                    "use `=`",
                    vec![replace(span, "=")],
                );
            }
            "-a" | "-o" if simple.args().first().is_some_and(|first| first.span != word.span) && !word.is_quoted() => {
                let join = if word.text == "-a" { "&&" } else { "||" };
                sink.add("SC2166", span, format!("`[ … ] {join} [ … ]` is well defined, `{}` is not", word.text));
            }
            _ => {}
        }
    }
}

fn removes(script: &Script, simple: &Simple, sink: &mut Sink<'_>) {
    if !simple.has_option('r', &["--recursive"]) && !simple.has_option('R', &[]) {
        return;
    }
    for word in simple.operands(&[]) {
        let Some(Part { kind: PartKind::Variable(_, operator), .. }) = word.parts.first() else { continue };
        let rest: String = word.parts[1..]
            .iter()
            .map(|part| match &part.kind {
                PartKind::Literal(text) | PartKind::Single(text) => text.clone(),
                _ => "$".to_owned(),
            })
            .collect();
        let dangerous = matches!(
            rest.as_str(),
            "/" | "/*" | "/." | "/$" | "/bin" | "/usr" | "/lib" | "/etc" | "/var" | "/home" | "/usr/*"
        );
        if operator.is_empty() && dangerous {
            sink.add(
                "SC2115",
                script.span(word.span),
                "with an empty variable this removes everything: `${name:?}` stops instead",
            );
        }
    }
}

fn arguments(script: &Script, simple: &Simple, name: &str, sink: &mut Sink<'_>) {
    let assigns = matches!(name, "export" | "local" | "readonly" | "declare" | "typeset");
    for (index, word) in simple.words.iter().enumerate() {
        let is_assignment = assigns && word.text.find('=').is_some_and(|at| at > 0 && !word.text[..at].contains('$'));
        if (!is_assignment || script.dialect == Dialect::Posix) && (index > 0 || word.parts.len() > 1) {
            splits(script, word, sink);
        }
        if index == 0 {
            continue;
        }
        single_quotes(script, name, word, sink);
        let globbed = word.parts.first().is_some_and(|part| !part.quoted && matches!(&part.kind, PartKind::Literal(text) if text.starts_with(['*', '?']) && text.len() > usize::from(!text.starts_with('*'))));
        let reads_all = matches!(
            name,
            "echo"
                | "printf"
                | "expr"
                | "find"
                | "let"
                | "case"
                | "["
                | "test"
                | "for"
                | "return"
                | "exit"
                | "trap"
                | "sudo"
                | "docker"
                | "awk"
                | "sed"
                | "grep"
        );
        let ended = simple.words[1..index].iter().any(|word| word.text == "--");
        if globbed && !reads_all && !ended && !word.text.contains('=') {
            let at = script.span(word.span).start;
            sink.add(
                "SC2035",
                script.span(word.span),
                format!("a file whose name begins with a dash is an option: `./{}`", word.text),
            )
            .fix(Safety::Safe, "add `./`", vec![insert(at, "./")]);
        }
        if let Some(Part { kind: PartKind::Literal(text), quoted: true, .. }) = word.parts.first()
            && text.starts_with("~/")
        {
            sink.add("SC2088", script.span(word.span), "in quotes this is a folder called `~`: use `$HOME`");
        }
        if script.dialect == Dialect::Posix {
            braces(script, word, sink);
        }
    }
}

fn braces(script: &Script, word: &Word, sink: &mut Sink<'_>) {
    for part in word.parts.iter().filter(|part| !part.quoted) {
        let PartKind::Literal(text) = &part.kind else { continue };
        let Some(open) = text.find('{') else { continue };
        let Some(length) = text[open..].find('}') else { continue };
        let inner = &text[open + 1..open + length];
        if inner.contains(',') || inner.contains("..") {
            sink.add("SC3009", script.span(word.span), "/bin/sh takes these braces as they are");
        }
    }
}

fn single_quotes(script: &Script, name: &str, word: &Word, sink: &mut Sink<'_>) {
    const OTHERS: [&str; 34] = [
        "trap",
        "sh",
        "bash",
        "ksh",
        "zsh",
        "ssh",
        "eval",
        "xprop",
        "alias",
        "sudo",
        "doas",
        "run0",
        "docker",
        "podman",
        "oc",
        "dpkg-query",
        "jq",
        "yq",
        "rename",
        "rg",
        "unset",
        "git",
        "find",
        "awk",
        "gawk",
        "mawk",
        "sed",
        "perl",
        "su",
        "gosu",
        "runuser",
        "envsubst",
        "make",
        "php",
    ];
    if OTHERS.contains(&name) || name.ends_with("awk") || name.starts_with("perl") || matches!(name, "[" | "test") {
        return;
    }
    for part in &word.parts {
        let PartKind::Single(text) = &part.kind else { continue };
        let expands = text.match_indices('$').any(|(at, _)| {
            let rest = &text[at + 1..];
            rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                || rest.starts_with('(')
                || rest.starts_with('{') && !rest.starts_with("{{")
        });
        let backticks = text.matches('`').count() >= 2;
        if expands || backticks {
            sink.add("SC2016", script.span(part.span), "nothing expands in single quotes");
        }
    }
}

/// Expansions that are split because no quotes protect them.
fn splits(script: &Script, word: &Word, sink: &mut Sink<'_>) {
    for part in word.parts.iter().filter(|part| !part.quoted) {
        let span = script.span(part.span);
        let quoted = |text: &str| vec![replace(span, format!("\"{text}\""))];
        let alone = word.parts.len() == 1;
        match &part.kind {
            PartKind::Variable(name, operator) => {
                let counts = operator.starts_with('#') && operator.len() == 1
                    || matches!(name.as_str(), "?" | "#" | "!" | "$" | "-");
                let alternative = operator.starts_with(":+") || operator.starts_with('+');
                if counts || alternative || name.is_empty() {
                    continue;
                }
                let code = if matches!(name.as_str(), "@" | "*") && operator.is_empty() && name == "@" {
                    "SC2068"
                } else {
                    "SC2086"
                };
                if code == "SC2086" && is_number(script, name) {
                    continue;
                }
                let found =
                    sink.add(code, span, format!("the value of `{}` is split at blanks", script.slice(part.span)));
                if alone {
                    let safety = if code == "SC2068" { Safety::Safe } else { Safety::Unsafe };
                    found.fix(safety, "quote it", quoted(script.slice(part.span)));
                }
            }
            PartKind::Command(list, _) => {
                let commands = list.commands();
                let numeric =
                    commands.first().is_some_and(|command| matches!(command.name(), "seq" | "pgrep" | "pidof"));
                if !numeric && !commands.is_empty() {
                    let found = sink.add("SC2046", span, "the output is split at blanks");
                    if alone && !script.slice(part.span).contains('`') {
                        found.fix(Safety::Unsafe, "quote it", quoted(script.slice(part.span)));
                    }
                }
            }
            _ => {}
        }
    }
}

/// Whether a variable only ever gets values without blanks in the script.
fn is_number(script: &Script, name: &str) -> bool {
    let mut seen = false;
    let mut plain = true;
    script.list.walk(&mut |command| match command {
        Command::Simple(simple) => {
            for assignment in simple.assignments.iter().filter(|assignment| assignment.name == name) {
                seen = true;
                let fits = |text: &str| !text.contains(char::is_whitespace) && !text.contains(['*', '?', '[']);
                plain &= assignment.value.literal().is_some_and(fits)
                    || assignment.value.parts.iter().all(|part| matches!(part.kind, PartKind::Arithmetic));
            }
        }
        Command::Compound(compound) => {
            if compound.name.as_deref() == Some(name) {
                seen = true;
                plain &= !compound.words.is_empty()
                    && compound.words.iter().all(|word| {
                        word.literal().is_some_and(|text| !text.contains(char::is_whitespace)) && !word.is_glob()
                    });
            }
        }
    });
    seen && plain
}

fn expansions(script: &Script, word: &Word, sink: &mut Sink<'_>) {
    for part in &word.parts {
        let span = script.span(part.span);
        match &part.kind {
            PartKind::Command(list, true) => {
                let inner = script.slice(part.span);
                let found = sink.add("SC2006", span, "`$(…)` can be nested and read");
                let body = inner.get(1..inner.len().saturating_sub(1)).unwrap_or_default();
                if !body.contains(['\\', '`', '#']) && !list.entries.is_empty() {
                    found.fix(Safety::Safe, "write `$(…)`", vec![replace(span, format!("$({body})"))]);
                }
            }
            PartKind::Escape(c) if !part.quoted && c.is_ascii_alphabetic() && word.parts.len() > 1 => {
                sink.add("SC1001", span, format!("this is just a `{c}`: the backslash is dropped"));
            }
            PartKind::Variable(_, operator) if script.dialect == Dialect::Posix => {
                let indexed = operator
                    .strip_prefix(':')
                    .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit() || c == ' ' || c == '$'));
                if indexed {
                    sink.add("SC3057", span, "parts of strings are bash's; /bin/sh may not have them");
                } else if operator.starts_with('/') {
                    sink.add("SC3060", span, "replacing in strings is bash's; /bin/sh may not have it");
                }
            }
            PartKind::Process(_) if script.dialect == Dialect::Posix => {
                sink.add("SC3001", span, "`<(…)` is bash's; for /bin/sh it is a syntax error");
            }
            _ => {}
        }
    }
}

fn joins(script: &Script, list: &List, sink: &mut Sink<'_>) {
    for (index, entry) in list.entries.iter().enumerate() {
        let commands = &entry.pipeline.commands;
        for pair in commands.windows(2) {
            let [Command::Simple(first), Command::Simple(second)] = pair else { continue };
            let reads_one = first.name() == "cat"
                && first.args().len() == 1
                && !first.args()[0].text.starts_with('-')
                && !first.args()[0].is_glob();
            let splits = first.args().first().is_some_and(|word| {
                word.parts
                    .iter()
                    .any(|part| !part.quoted && matches!(part.kind, PartKind::Variable(..) | PartKind::Command(..)))
            });
            if reads_one && !splits && first.redirects.is_empty() {
                sink.add("SC2002", script.span(first.span), "the next command can read the file itself");
            }
            let null = |simple: &Simple| {
                simple.has_option('0', &["--null"])
                    || simple.has("-print0")
                    || simple.has("-I")
                    || simple.texts().iter().any(|text| text.contains("printf"))
            };
            if first.name() == "find"
                && second.name() == "xargs"
                && !null(first)
                && !second.has_option('0', &["--null"])
                && !second.has("-d")
            {
                sink.add(
                    "SC2038",
                    script.span(first.span),
                    "names with blanks become several: `-print0 | xargs -0`, or `-exec … +`",
                );
            }
        }
        if entry.operator == Operator::And
            && let (Some(then), Some(other)) = (list.entries.get(index + 1), list.entries.get(index + 2))
            && then.operator == Operator::Or
            && (index == 0 || !matches!(list.entries[index - 1].operator, Operator::Or))
        {
            let ends_well = match other.pipeline.commands.first() {
                Some(Command::Simple(simple)) => {
                    simple.words.is_empty()
                        || matches!(simple.name(), "echo" | "exit" | "return" | "printf" | "true" | ":")
                }
                _ => false,
            };
            let is_test = |command: &Command| {
                matches!(command, Command::Compound(compound) if compound.kind == "[[")
                    || matches!(command, Command::Simple(simple) if matches!(simple.name(), "[" | "test"))
            };
            let tests = then.pipeline.commands.first().is_some_and(is_test);
            if !ends_well && !tests {
                sink.add("SC2015", script.span(then.at), "what follows `||` runs as well when what follows `&&` fails");
            }
        }
    }
}

/// `cd` whose failure nobody sees.
fn changes_of_folder(script: &Script, list: &List, is_condition: bool, sink: &mut Sink<'_>) {
    let stops = script
        .list
        .commands()
        .iter()
        .any(|command| command.name() == "set" && (command.has_option('e', &[]) || command.has("errexit")));
    if stops {
        return;
    }
    for entry in &list.entries {
        let joined = matches!(entry.operator, Operator::And | Operator::Or);
        for command in &entry.pipeline.commands {
            match command {
                Command::Simple(simple) => {
                    let safe =
                        simple.args().first().is_some_and(|word| word.text.chars().all(|c| matches!(c, '/' | '.')));
                    let is_it = matches!(simple.name(), "cd" | "pushd" | "popd");
                    if is_it && !safe && !joined && !is_condition {
                        sink.add(
                            "SC2164",
                            script.span(simple.span),
                            "when this fails, what follows runs in the wrong folder",
                        );
                    }
                }
                Command::Compound(compound) => {
                    for (list, condition) in compound.lists.iter().zip(&compound.conditions) {
                        changes_of_folder(script, list, *condition || joined && compound.kind == "(", sink);
                    }
                }
            }
        }
    }
}

/// Variables that are set and not used, or used and not set.
fn variables(run: &Run<'_>, sink: &mut Sink<'_>) {
    let script = run.script;
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut set: Vec<(String, Span, bool)> = Vec::new();
    let mut uses: Vec<(String, Span, bool)> = Vec::new();
    let mut indirect = false;
    script.list.walk(&mut |command| {
        for word in command.all_words() {
            for part in &word.parts {
                match &part.kind {
                    PartKind::Variable(name, operator) => {
                        used.insert(name.clone());
                        collect_names(operator, &mut used);
                        let has_default = operator.trim_start_matches(':').starts_with(['-', '+', '=', '?']);
                        if operator.trim_start_matches(':').starts_with('=') {
                            set.push((name.clone(), part.span, true));
                        }
                        uses.push((name.clone(), part.span, has_default));
                    }
                    PartKind::Arithmetic => {
                        let text = script.slice(part.span);
                        text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').for_each(|name| {
                            used.insert(name.to_owned());
                        });
                    }
                    _ => {}
                }
            }
        }
        match command {
            Command::Simple(simple) => {
                let name = simple.name();
                let with_command = !simple.words.is_empty();
                set.extend(
                    simple
                        .assignments
                        .iter()
                        .map(|assignment| (assignment.name.clone(), assignment.span, with_command)),
                );
                if matches!(
                    name,
                    "export"
                        | "local"
                        | "readonly"
                        | "declare"
                        | "typeset"
                        | "read"
                        | "unset"
                        | "getopts"
                        | "printf"
                        | "mapfile"
                        | "readarray"
                ) {
                    for word in simple.args() {
                        let variable = word.text.split('=').next().unwrap_or_default();
                        used.insert(variable.to_owned());
                        set.push((variable.to_owned(), word.span, true));
                    }
                }
                indirect |= matches!(name, "eval" | "." | "source" | "envsubst");
            }
            Command::Compound(compound) => {
                if let Some(name) = &compound.name {
                    set.push((name.clone(), compound.span, true));
                    if matches!(compound.kind, "for" | "select") {
                        let in_arithmetic = script.slice(compound.span).starts_with("for ((");
                        indirect |= in_arithmetic;
                    }
                }
                if compound.kind == "((" {
                    indirect = true;
                }
            }
        }
    });
    let known: BTreeSet<&String> = set.iter().map(|(name, ..)| name).collect();
    for (name, span, exported) in &set {
        // What is set in front of a command is the command's; capitals may be meant for a program.
        if !exported && !used.contains(name) && !indirect && !name.is_empty() && !exports_all(script) {
            let found = sink.add("SC2034", script.span(*span), format!("`{name}` is set and not used"));
            found.help("each RUN is a shell of its own; what is to be kept is set with ENV");
        }
    }
    let in_scope = scope(run);
    let mut told = BTreeSet::new();
    for (name, span, has_default) in &uses {
        let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && name.chars().all(|c| !c.is_ascii_uppercase());
        if plain
            && !has_default
            && !indirect
            && !known.contains(name)
            && !in_scope.contains(name)
            && told.insert(name.clone())
        {
            sink.add("SC2154", script.span(*span), format!("nothing sets `{name}` here"));
        }
    }
}

fn exports_all(script: &Script) -> bool {
    script
        .list
        .commands()
        .iter()
        .any(|command| command.name() == "set" && (command.has_option('a', &[]) || command.has("allexport")))
}

fn collect_names(text: &str, names: &mut BTreeSet<String>) {
    for (at, _) in text.match_indices('$') {
        let rest = text[at + 1..].trim_start_matches('{');
        let length = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        names.insert(rest[..length].to_owned());
    }
}

/// What ENV and ARG have set before a RUN.
fn scope(run: &Run<'_>) -> BTreeSet<String> {
    let Some(stage) = run.step.stage.and_then(|index| run.view.stages.get(index)) else { return BTreeSet::new() };
    let mut names = run.view.variables_at_start(stage);
    for step in run.view.steps_of(stage) {
        if step.instruction.span.start >= run.step.instruction.span.start {
            break;
        }
        names.extend(crate::unit::defines(step.instruction));
    }
    names.extend(["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"].map(str::to_owned));
    if let Kind::Run(instruction) = &run.step.instruction.kind {
        names.extend(instruction.mounts.iter().filter_map(|mount| crate::unit::option_of(&mount.text, "env")));
    }
    names
}
