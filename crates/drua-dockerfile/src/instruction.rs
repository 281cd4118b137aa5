//! Instructions and what they say.

use crate::error::ParseProblem;
use crate::flags::{self, Flag};
use crate::heredoc::Heredoc;
use crate::kinds;
use crate::span::{Places, Span, Text, Word};
use crate::suggest::nearest;
use crate::words;

/// The 18 instructions.
pub const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// From the keyword to the end of the last line, the last heredoc's included.
    pub span: Span,
    /// The keyword as written.
    pub keyword: Word,
    /// The flags in order.
    pub flags: Vec<Flag>,
    /// The logical line: continued lines put together, without heredocs.
    pub text: String,
    /// Where the bytes of `text` stand in the source.
    pub places: Places,
    /// The heredocs in order.
    pub heredocs: Vec<Heredoc>,
    /// The comments right above, each without its `#`.
    pub doc: Vec<String>,
    /// What it says.
    pub kind: Kind,
}

/// What an instruction says. Words are not expanded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// ADD
    Add(Transfer),
    /// ARG
    Arg(Vec<ArgDefinition>),
    /// CMD
    Cmd(CommandLine),
    /// COPY
    Copy(Transfer),
    /// ENTRYPOINT
    Entrypoint(CommandLine),
    /// ENV
    Env(Vec<Pair>),
    /// EXPOSE
    Expose(Vec<Word>),
    /// FROM
    From(From),
    /// HEALTHCHECK
    Healthcheck(Healthcheck),
    /// LABEL
    Label(Vec<Pair>),
    /// MAINTAINER
    Maintainer(Word),
    /// ONBUILD, with what it triggers.
    Onbuild(Box<Instruction>),
    /// RUN
    Run(Run),
    /// SHELL
    Shell(Vec<Word>),
    /// STOPSIGNAL
    StopSignal(Word),
    /// USER
    User(Word),
    /// VOLUME
    Volume(Vec<Word>),
    /// WORKDIR
    Workdir(Word),
}

/// `FROM --platform=P base AS name`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// `--platform`
    pub platform: Option<Word>,
    /// The image or stage.
    pub base: Word,
    /// `AS`, as written.
    pub as_keyword: Option<Word>,
    /// The stage's name as written; names are compared in lower case.
    pub name: Option<Word>,
}

/// One name of ARG.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgDefinition {
    /// The name.
    pub name: Word,
    /// The default.
    pub value: Option<Word>,
}

/// One pair of ENV or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// The name.
    pub name: Word,
    /// The value, with its quotes.
    pub value: Word,
    /// `ENV name value` instead of `ENV name=value`.
    pub legacy: bool,
}

/// The command of RUN, CMD, ENTRYPOINT and HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandLine {
    /// A JSON array.
    Exec(Vec<Word>),
    /// A text for the shell; empty when nothing is there.
    Shell(Word),
}

/// COPY and ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    /// What is copied.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: Word,
    /// `--from` (COPY)
    pub from: Option<Word>,
    /// `--chown`
    pub chown: Option<Word>,
    /// `--chmod`
    pub chmod: Option<Word>,
    /// `--link`
    pub link: bool,
    /// `--parents` (COPY)
    pub parents: bool,
    /// `--exclude`, repeatable
    pub exclude: Vec<Word>,
    /// `--checksum` (ADD)
    pub checksum: Option<Word>,
    /// `--keep-git-dir` (ADD)
    pub keep_git_dir: Option<bool>,
    /// `--unpack` (ADD)
    pub unpack: Option<bool>,
}

/// A source of COPY or ADD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, pattern or URL.
    Path(Word),
    /// The instruction's heredoc with this number.
    Heredoc(usize),
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The command.
    pub command: CommandLine,
    /// `--mount`, as written: [`crate::Mount::parse`] reads them once variables are known.
    pub mounts: Vec<Word>,
    /// `--network`
    pub network: RunNetwork,
    /// `--security`
    pub security: RunSecurity,
    /// `--device`, as written.
    pub devices: Vec<Word>,
}

/// `RUN --network`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunNetwork {
    /// The build's network.
    #[default]
    Default,
    /// None but loopback.
    None,
    /// The host's.
    Host,
}

/// `RUN --security`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RunSecurity {
    /// As a container.
    #[default]
    Sandbox,
    /// All capabilities, no seccomp filter.
    Insecure,
}

/// HEALTHCHECK. Durations are in nanoseconds; `None` is Docker's default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Healthcheck {
    /// What is checked.
    pub check: Check,
    /// `--interval`
    pub interval: Option<u64>,
    /// `--timeout`
    pub timeout: Option<u64>,
    /// `--start-period`
    pub start_period: Option<u64>,
    /// `--start-interval`
    pub start_interval: Option<u64>,
    /// `--retries`
    pub retries: Option<u32>,
}

/// What a HEALTHCHECK runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// NONE: the base's check is off.
    None,
    /// CMD
    Command(CommandLine),
}

impl Instruction {
    /// The keyword in capitals.
    pub fn canonical(&self) -> &'static str {
        canonical(&self.keyword.text).unwrap_or("")
    }

    /// Whether it is a FROM.
    pub fn is_from(&self) -> bool {
        matches!(self.kind, Kind::From(_))
    }

    /// Whether it is an ARG.
    pub fn is_arg(&self) -> bool {
        matches!(self.kind, Kind::Arg(_))
    }

    /// The logical line and its heredocs as one text, which parses to the same instruction: what an image's ONBUILD keeps.
    pub fn expression(&self) -> String {
        let mut text = self.text.trim().to_owned();
        for heredoc in &self.heredocs {
            text.push('\n');
            text.push_str(&heredoc.content);
            text.push_str(&heredoc.name);
        }
        text
    }
}

fn canonical(keyword: &str) -> Option<&'static str> {
    KEYWORDS.into_iter().find(|known| known.eq_ignore_ascii_case(keyword))
}

/// Whether a logical line may open heredocs.
pub(crate) fn takes_heredocs(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let first = words.next().and_then(canonical);
    let keyword = if first == Some("ONBUILD") { words.next().and_then(canonical) } else { first };
    matches!(keyword, Some("ADD" | "COPY" | "RUN"))
}

/// Parses a logical line.
pub(crate) fn parse(
    text: &Text,
    span: Span,
    heredocs: Vec<Heredoc>,
    doc: Vec<String>,
    escape: char,
) -> Result<Instruction, (Span, ParseProblem)> {
    let (keyword, rest) = words::first(&text.text, 0..text.text.len());
    let keyword = text.word(keyword);
    let Some(name) = canonical(&keyword.text) else {
        let suggestion = nearest(&keyword.text, KEYWORDS).map(str::to_owned);
        return Err((keyword.span, ParseProblem::UnknownInstruction { keyword: keyword.text, suggestion }));
    };
    let (flags, rest) = flags::extract(text, rest, escape);
    let parts = kinds::Parts { name, text, rest, flags: &flags, heredocs: &heredocs, escape };
    let kind = kinds::parse(&parts).map_err(|(at, problem)| (at.unwrap_or(span), problem))?;
    let (places, text) = (text.places.clone(), text.text.trim_end().to_owned());
    Ok(Instruction { span, keyword, flags, text, places, heredocs, doc, kind })
}
