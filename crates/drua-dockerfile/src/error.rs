use crate::expand::ExpandError;
use crate::mount::MountError;
use crate::span::Span;

/// A Dockerfile is wrong somewhere.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("dockerfile parse error on line {line}: {problem}")]
pub struct ParseError {
    /// The first line of the instruction, counted from 1.
    pub line: usize,
    /// Its last line.
    pub last_line: usize,
    /// What exactly is wrong; the whole instruction where it is no single token.
    pub span: Span,
    /// What is wrong with it.
    pub problem: ParseProblem,
}

/// What is wrong with an instruction. The words are BuildKit's where it has them, since people search for them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseProblem {
    /// The source is too long.
    #[error("the file has {bytes} bytes; the limit is {}", crate::MAX_SOURCE_BYTES)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// Nothing in it.
    #[error("file with no instructions")]
    Empty,
    /// Not one of the 18.
    #[error("unknown instruction: {keyword}{}", did_you_mean(suggestion.as_deref()))]
    UnknownInstruction {
        /// What is there.
        keyword: String,
        /// What may be meant.
        suggestion: Option<String>,
    },
    /// A directive twice.
    #[error("only one {0} parser directive can be used")]
    DirectiveTwice(String),
    /// `# escape=` with something else than a backslash or a backtick.
    #[error("invalid escape token '{0}' does not match ` or \\")]
    Escape(String),
    /// `<<EOT` without its `EOT`.
    #[error("unterminated heredoc: `{0}` has no line of its own below")]
    UnterminatedHeredoc(String),
    /// A heredoc where none can be.
    #[error("{instruction} cannot accept a heredoc as {place}")]
    Heredoc {
        /// The instruction.
        instruction: &'static str,
        /// Where it stands.
        place: &'static str,
    },
    /// Nested too deep.
    #[error("ONBUILD is nested too deep")]
    TooDeep,
    /// A flag that the instruction has not.
    #[error("unknown flag: --{flag}{}", did_you_mean(suggestion.as_deref()))]
    UnknownFlag {
        /// The flag.
        flag: String,
        /// What may be meant, with its dashes.
        suggestion: Option<String>,
    },
    /// A flag twice.
    #[error("duplicate flag specified: {0}")]
    DuplicateFlag(String),
    /// A flag that needs a value has none.
    #[error("missing a value on flag: {0}")]
    FlagValue(String),
    /// A flag's value is wrong.
    #[error("invalid value `{value}` for flag --{flag}: expected {expected}")]
    BadFlag {
        /// The flag.
        flag: String,
        /// Its value.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Too few arguments.
    #[error("{0} requires at least one argument")]
    AtLeastOne(&'static str),
    /// Too few or too many arguments.
    #[error("{0} requires exactly one argument")]
    ExactlyOne(&'static str),
    /// No destination.
    #[error("{0} requires at least two arguments, but only one was provided. Destination could not be determined")]
    NoDestination(&'static str),
    /// `FROM a b`.
    #[error("FROM requires either one or three arguments")]
    From,
    /// A stage's name is no name.
    #[error("invalid name for build stage: \"{0}\", name can't start with a number or contain symbols")]
    StageName(String),
    /// `ENV =x`.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// `ENV a=1 b`.
    #[error("Syntax error - can't find = in \"{0}\". Must be of the form: name=value")]
    NoEquals(String),
    /// `ENV a`.
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    /// SHELL without JSON.
    #[error("SHELL requires the arguments to be in JSON form")]
    NotJson,
    /// A JSON array with something else than strings.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    /// `VOLUME [""]`.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// ONBUILD of what cannot be triggered.
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnbuildTrigger(String),
    /// ONBUILD ONBUILD.
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnbuildChain,
    /// HEALTHCHECK NONE with arguments.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    /// HEALTHCHECK CMD without a command.
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    /// HEALTHCHECK of something else.
    #[error("Unknown type \"{0}\" in HEALTHCHECK (try CMD)")]
    HealthcheckType(String),
    /// An instruction before the first FROM.
    #[error("no build stage in current context: {0} stands before the first FROM")]
    NoStage(&'static str),
    /// A mount's options are wrong.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A word cannot be expanded.
    #[error(transparent)]
    Expand(#[from] ExpandError),
}

fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion.map(|word| format!(" (did you mean {word}?)")).unwrap_or_default()
}
