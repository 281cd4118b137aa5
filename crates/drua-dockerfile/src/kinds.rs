//! The arguments of each of the 18 instructions.

use std::ops::Range;

use crate::error::ParseProblem;
use crate::flags::{self, Flag, FlagKind};
use crate::heredoc::{self, Heredoc};
use crate::instruction::{
    self, ArgDefinition, Check, CommandLine, From, Healthcheck, Kind, Pair, Run, RunNetwork, RunSecurity, Source,
    Transfer,
};
use crate::mount::Mount;
use crate::span::{Span, Text, Word};
use crate::words;

type Parsed<T> = Result<T, (Option<Span>, ParseProblem)>;

/// An instruction cut into its parts.
pub(crate) struct Parts<'p> {
    pub(crate) name: &'static str,
    pub(crate) text: &'p Text,
    /// The arguments.
    pub(crate) rest: Range<usize>,
    pub(crate) flags: &'p [Flag],
    pub(crate) heredocs: &'p [Heredoc],
    pub(crate) escape: char,
}

fn fail<T>(problem: ParseProblem) -> Parsed<T> {
    Err((None, problem))
}

pub(crate) fn parse(parts: &Parts<'_>) -> Parsed<Kind> {
    use FlagKind::{Bool, List, Text};
    let known: &[(&'static str, FlagKind)] = match parts.name {
        "FROM" => &[("platform", Text)],
        "RUN" => &[("mount", List), ("network", Text), ("security", Text), ("device", List)],
        "COPY" => {
            &[("from", Text), ("chown", Text), ("chmod", Text), ("link", Bool), ("parents", Bool), ("exclude", List)]
        }
        "ADD" => &[
            ("chown", Text),
            ("chmod", Text),
            ("link", Bool),
            ("keep-git-dir", Bool),
            ("checksum", Text),
            ("unpack", Bool),
            ("exclude", List),
        ],
        "HEALTHCHECK" => &[
            ("interval", Text),
            ("timeout", Text),
            ("start-period", Text),
            ("start-interval", Text),
            ("retries", Text),
        ],
        _ => &[],
    };
    flags::check(parts.flags, known).map_err(|(span, problem)| (Some(span), problem))?;
    Ok(match parts.name {
        "ADD" => Kind::Add(parts.transfer()?),
        "COPY" => Kind::Copy(parts.transfer()?),
        "ARG" => Kind::Arg(parts.args()?),
        "CMD" => Kind::Cmd(parts.command(parts.rest.clone())?),
        "ENTRYPOINT" => Kind::Entrypoint(parts.command(parts.rest.clone())?),
        "ENV" => Kind::Env(parts.pairs()?),
        "LABEL" => Kind::Label(parts.pairs()?),
        "EXPOSE" => Kind::Expose(parts.at_least_one(words::blank_separated(parts.text, parts.rest.clone()))?),
        "FROM" => Kind::From(parts.from()?),
        "HEALTHCHECK" => Kind::Healthcheck(parts.healthcheck()?),
        "MAINTAINER" => Kind::Maintainer(parts.one()?),
        "ONBUILD" => Kind::Onbuild(Box::new(parts.onbuild()?)),
        "RUN" => Kind::Run(parts.run()?),
        "SHELL" => Kind::Shell(parts.shell()?),
        "STOPSIGNAL" => Kind::StopSignal(parts.one()?),
        "USER" => Kind::User(parts.one()?),
        "VOLUME" => Kind::Volume(parts.volume()?),
        _ => Kind::Workdir(parts.one()?),
    })
}

impl Parts<'_> {
    fn one(&self) -> Parsed<Word> {
        match self.rest.is_empty() {
            true => fail(ParseProblem::ExactlyOne(self.name)),
            false => Ok(self.text.word(self.rest.clone())),
        }
    }

    fn at_least_one(&self, words: Vec<Word>) -> Parsed<Vec<Word>> {
        if words.is_empty() { fail(ParseProblem::AtLeastOne(self.name)) } else { Ok(words) }
    }

    fn json(&self, range: Range<usize>) -> Parsed<Option<Vec<Word>>> {
        words::json(self.text, range.clone()).map_err(|()| (Some(self.text.span(range)), ParseProblem::NotStrings))
    }

    /// A JSON array, or words.
    fn list(&self) -> Parsed<Vec<Word>> {
        let json = self.json(self.rest.clone())?;
        Ok(json.unwrap_or_else(|| words::blank_separated(self.text, self.rest.clone())))
    }

    fn command(&self, range: Range<usize>) -> Parsed<CommandLine> {
        Ok(match self.json(range.clone())? {
            Some(words) => CommandLine::Exec(words),
            None => CommandLine::Shell(self.text.word(range)),
        })
    }

    fn from(&self) -> Parsed<From> {
        let words = words::blank_separated(self.text, self.rest.clone());
        let platform = flags::text(self.flags, "platform");
        let mut words = words.into_iter();
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(base), None, _, _) => Ok(From { platform, base, as_keyword: None, name: None }),
            (Some(base), Some(keyword), Some(name), None) if keyword.text.eq_ignore_ascii_case("as") => {
                if !is_stage_name(&name.text) {
                    return Err((Some(name.span), ParseProblem::StageName(name.text)));
                }
                Ok(From { platform, base, as_keyword: Some(keyword), name: Some(name) })
            }
            _ => fail(ParseProblem::From),
        }
    }

    fn args(&self) -> Parsed<Vec<ArgDefinition>> {
        let words = words::quoted(self.text, self.rest.clone(), self.escape);
        let words = self.at_least_one(words)?;
        words.into_iter().map(|word| self.arg(word)).collect()
    }

    fn arg(&self, word: Word) -> Parsed<ArgDefinition> {
        let Some((name, value)) = split_pair(&word) else { return Ok(ArgDefinition { name: word, value: None }) };
        if name.text.is_empty() {
            return Err((Some(word.span), ParseProblem::BlankName(self.name)));
        }
        Ok(ArgDefinition { name, value: Some(value) })
    }

    /// `name=value …`, or the old `name value`.
    fn pairs(&self) -> Parsed<Vec<Pair>> {
        let words = words::quoted(self.text, self.rest.clone(), self.escape);
        let words = self.at_least_one(words)?;
        if !words[0].text.contains('=') {
            let (name, value) = words::first(&self.text.text, self.rest.clone());
            if value.is_empty() {
                return fail(ParseProblem::TwoArguments(self.name));
            }
            return Ok(vec![Pair { name: self.text.word(name), value: self.text.word(value), legacy: true }]);
        }
        words.into_iter().map(|word| self.pair(&word)).collect()
    }

    fn pair(&self, word: &Word) -> Parsed<Pair> {
        let Some((name, value)) = split_pair(word) else {
            return Err((Some(word.span), ParseProblem::NoEquals(word.text.clone())));
        };
        if name.text.is_empty() {
            return Err((Some(word.span), ParseProblem::BlankName(self.name)));
        }
        Ok(Pair { name, value, legacy: false })
    }

    fn transfer(&self) -> Parsed<Transfer> {
        let mut words = self.list()?;
        let (2.., Some(destination)) = (words.len(), words.pop()) else {
            return fail(ParseProblem::NoDestination(self.name));
        };
        if self.heredocs.iter().any(|_| heredoc::opening(&destination.text).is_some()) {
            let problem = ParseProblem::Heredoc { instruction: self.name, place: "a destination" };
            return Err((Some(destination.span), problem));
        }
        let mut next = 0;
        let sources = words.into_iter().map(|word| match heredoc::opening(&word.text) {
            Some(_) if next < self.heredocs.len() => {
                next += 1;
                Source::Heredoc(next - 1)
            }
            _ => Source::Path(word),
        });
        let text = |name| flags::text(self.flags, name);
        Ok(Transfer {
            sources: sources.collect(),
            destination,
            from: text("from"),
            chown: text("chown"),
            chmod: text("chmod"),
            link: flags::switch(self.flags, "link").unwrap_or(false),
            parents: flags::switch(self.flags, "parents").unwrap_or(false),
            exclude: flags::list(self.flags, "exclude"),
            checksum: text("checksum"),
            keep_git_dir: flags::switch(self.flags, "keep-git-dir"),
            unpack: flags::switch(self.flags, "unpack"),
        })
    }

    fn run(&self) -> Parsed<Run> {
        let command = self.command(self.rest.clone())?;
        let mounts = flags::list(self.flags, "mount");
        for mount in &mounts {
            // What contains variables can only be judged once they are known.
            if !mount.text.contains('$')
                && let Err(error) = Mount::parse(&mount.text)
            {
                return Err((Some(mount.span), error.into()));
            }
        }
        let network = self.choice(
            "network",
            "default, none or host",
            &[("default", RunNetwork::Default), ("none", RunNetwork::None), ("host", RunNetwork::Host)],
        )?;
        let security = self.choice(
            "security",
            "sandbox or insecure",
            &[("sandbox", RunSecurity::Sandbox), ("insecure", RunSecurity::Insecure)],
        )?;
        let devices = flags::list(self.flags, "device");
        Ok(Run { command, mounts, network, security, devices })
    }

    fn choice<T: Copy + Default>(&self, name: &str, expected: &'static str, choices: &[(&str, T)]) -> Parsed<T> {
        let Some(word) = flags::text(self.flags, name) else { return Ok(T::default()) };
        let found = choices.iter().find(|(choice, _)| *choice == word.text);
        let bad = || ParseProblem::BadFlag { flag: name.to_owned(), value: word.text.clone(), expected };
        found.map(|(_, choice)| *choice).ok_or_else(|| (Some(word.span), bad()))
    }

    fn shell(&self) -> Parsed<Vec<Word>> {
        match self.json(self.rest.clone())? {
            Some(words) => self.at_least_one(words),
            None if self.rest.is_empty() => fail(ParseProblem::AtLeastOne(self.name)),
            None => fail(ParseProblem::NotJson),
        }
    }

    fn volume(&self) -> Parsed<Vec<Word>> {
        let volumes = self.at_least_one(self.list()?)?;
        match volumes.iter().find(|volume| volume.text.trim().is_empty()) {
            Some(empty) => Err((Some(empty.span), ParseProblem::EmptyVolume)),
            None => Ok(volumes),
        }
    }

    fn onbuild(&self) -> Parsed<instruction::Instruction> {
        if self.rest.is_empty() {
            return fail(ParseProblem::AtLeastOne(self.name));
        }
        let trigger = self.text.slice(self.rest.clone());
        let (keyword, _) = words::first(&trigger.text, 0..trigger.text.len());
        let keyword = trigger.text[keyword].to_ascii_uppercase();
        let span = self.text.span(self.rest.clone());
        match keyword.as_str() {
            "ONBUILD" => return Err((Some(span), ParseProblem::OnbuildChain)),
            "FROM" | "MAINTAINER" => return Err((Some(span), ParseProblem::OnbuildTrigger(keyword))),
            _ => {}
        }
        let parsed = instruction::parse(&trigger, span, self.heredocs.to_vec(), Vec::new(), self.escape);
        parsed.map_err(|(span, problem)| (Some(span), problem))
    }

    fn healthcheck(&self) -> Parsed<Healthcheck> {
        let (word, rest) = words::first(&self.text.text, self.rest.clone());
        let word = self.text.word(word);
        let check = match word.text.to_ascii_uppercase().as_str() {
            "" => return fail(ParseProblem::AtLeastOne(self.name)),
            "NONE" if rest.is_empty() => Check::None,
            "NONE" => return fail(ParseProblem::HealthcheckNone),
            "CMD" => match self.command(rest)? {
                CommandLine::Shell(word) if word.text.is_empty() => return fail(ParseProblem::HealthcheckCommand),
                CommandLine::Exec(words) if words.is_empty() => return fail(ParseProblem::HealthcheckCommand),
                command => Check::Command(command),
            },
            _ => return Err((Some(word.span), ParseProblem::HealthcheckType(word.text))),
        };
        let retries = flags::text(self.flags, "retries").map(|word| {
            let expected = "a number that is not negative";
            word.text.parse::<u32>().map_err(|_| bad_flag("retries", &word, expected))
        });
        Ok(Healthcheck {
            check,
            interval: self.duration("interval")?,
            timeout: self.duration("timeout")?,
            start_period: self.duration("start-period")?,
            start_interval: self.duration("start-interval")?,
            retries: retries.transpose()?.filter(|retries| *retries > 0),
        })
    }

    fn duration(&self, name: &str) -> Parsed<Option<u64>> {
        let Some(word) = flags::text(self.flags, name) else { return Ok(None) };
        let expected = "a duration of at least 1ms, like 30s or 1m30s";
        let nanos = nanoseconds(&word.text).ok_or_else(|| bad_flag(name, &word, expected))?;
        match nanos {
            0 => Ok(None),
            1..1_000_000 => Err(bad_flag(name, &word, expected)),
            nanos => Ok(Some(nanos)),
        }
    }
}

fn bad_flag(name: &str, word: &Word, expected: &'static str) -> (Option<Span>, ParseProblem) {
    let problem = ParseProblem::BadFlag { flag: name.to_owned(), value: word.text.clone(), expected };
    (Some(word.span), problem)
}

/// Splits `name=value`. The span of both is exact unless a continued line lies between them.
fn split_pair(word: &Word) -> Option<(Word, Word)> {
    let (name, value) = word.text.split_once('=')?;
    let middle = word.span.start + name.len();
    let end = Span::new((word.span.end - value.len().min(word.span.end)).max(middle), word.span.end);
    let name = Word { text: name.to_owned(), span: Span::new(word.span.start, middle) };
    Some((name, Word { text: value.to_owned(), span: end }))
}

fn is_stage_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Go's durations: `1h2m3.5s`, `100ms`, `0`.
fn nanoseconds(text: &str) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').filter(|at| *at > 0)?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += value
            * match &rest[..unit] {
                "ns" => 1.0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    (!text.is_empty() && text != "+" && total < 9.2e18).then_some(total as u64)
}
