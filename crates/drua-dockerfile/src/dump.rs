//! A parsed file as text, for tests and for the curious.

use crate::instruction::{Check, CommandLine, Kind, Pair, Source, Transfer};
use crate::span::Word;
use crate::{Dockerfile, Instruction};

pub(crate) fn dump(file: &Dockerfile) -> String {
    let mut text = String::new();
    for directive in &file.directives {
        text.push_str(&format!("#{}={:?}\n", directive.name, directive.value.text)[..]);
    }
    for instruction in &file.instructions {
        let (first, last) = crate::LineIndex::new(&file.source).lines(instruction.span);
        text.push_str(&[first.to_string(), "-".to_owned(), last.to_string(), " ".to_owned()].concat());
        text.push_str(&one(instruction));
        text.push('\n');
    }
    text
}

fn one(instruction: &Instruction) -> String {
    let mut parts = vec![instruction.canonical().to_lowercase()];
    for flag in &instruction.flags {
        let value = flag.value.as_ref().map(|value| format!("={:?}", value.text)).unwrap_or_default();
        parts.push(format!("[--{}{value}]", flag.name));
    }
    parts.extend(arguments(&instruction.kind));
    for heredoc in &instruction.heredocs {
        let options = [(heredoc.strip_tabs, "-"), (!heredoc.expand, "'")];
        let options: String = options.iter().filter(|(on, _)| *on).map(|(_, mark)| *mark).collect();
        let fd = heredoc.fd.map(|fd| fd.to_string()).unwrap_or_default();
        parts.push(format!("{fd}<<{options}{} {:?}", heredoc.name, heredoc.content));
    }
    format!("({})", parts.join(" "))
}

fn arguments(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Add(transfer) | Kind::Copy(transfer) => transfer_words(transfer),
        Kind::Arg(definitions) => definitions
            .iter()
            .map(|arg| match &arg.value {
                Some(value) => format!("{:?}={:?}", arg.name.text, value.text),
                None => format!("{:?}", arg.name.text),
            })
            .collect(),
        Kind::Env(pairs) | Kind::Label(pairs) => pairs.iter().map(pair).collect(),
        Kind::Cmd(command) | Kind::Entrypoint(command) => vec![self::command(command)],
        Kind::Run(run) => vec![command(&run.command)],
        Kind::Healthcheck(check) => vec![match &check.check {
            Check::None => "none".to_owned(),
            Check::Command(line) => command(line),
        }],
        Kind::From(from) => {
            let name = from.name.iter().map(|name| format!("as {:?}", name.text));
            std::iter::once(format!("{:?}", from.base.text)).chain(name).collect()
        }
        Kind::Onbuild(trigger) => {
            // Its heredocs are shown once, with the ONBUILD.
            vec![one(&Instruction { heredocs: Vec::new(), ..(**trigger).clone() })]
        }
        Kind::Expose(words) | Kind::Volume(words) => words.iter().map(word).collect(),
        Kind::Shell(words) => vec![command(&CommandLine::Exec(words.clone()))],
        Kind::Maintainer(one) | Kind::StopSignal(one) | Kind::User(one) | Kind::Workdir(one) => vec![word(one)],
    }
}

fn word(word: &Word) -> String {
    format!("{:?}", word.text)
}

fn pair(pair: &Pair) -> String {
    format!("{:?}{}{:?}", pair.name.text, if pair.legacy { " " } else { "=" }, pair.value.text)
}

fn command(command: &CommandLine) -> String {
    match command {
        CommandLine::Shell(text) => word(text),
        CommandLine::Exec(words) => format!("[{}]", words.iter().map(word).collect::<Vec<_>>().join(" ")),
    }
}

fn transfer_words(transfer: &Transfer) -> Vec<String> {
    let source = |source: &Source| match source {
        Source::Path(path) => word(path),
        Source::Heredoc(number) => format!("<<{number}"),
    };
    transfer.sources.iter().map(source).chain([format!("-> {:?}", transfer.destination.text)]).collect()
}
