//! What scripts are made of. Spans are offsets in the script's own text.

use drua_dockerfile::Span;

/// Commands one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct List {
    pub(crate) entries: Vec<Entry>,
}

/// A pipeline and what joins it to the next one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) pipeline: Pipeline,
    pub(crate) operator: Operator,
    /// Where the operator stands.
    pub(crate) at: Span,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    And,
    Or,
    /// `;` or the end of a line.
    Then,
    Background,
    /// Nothing comes after.
    End,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Command {
    Simple(Simple),
    Compound(Compound),
}

/// `{ }`, `( )`, if, while, until, for, case, functions, `[[ ]]`, `(( ))`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Compound {
    /// The word that opens it.
    pub(crate) kind: &'static str,
    pub(crate) span: Span,
    /// Conditions come before bodies.
    pub(crate) lists: Vec<List>,
    /// How many of the lists are conditions; they alternate with bodies in `if`.
    pub(crate) conditions: Vec<bool>,
    /// Words of `for` and `case`, and inside `[[ ]]`.
    pub(crate) words: Vec<Word>,
    /// The variable of `for`, the name of a function.
    pub(crate) name: Option<String>,
    pub(crate) redirects: Vec<Redirect>,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Simple {
    pub(crate) assignments: Vec<Assignment>,
    pub(crate) words: Vec<Word>,
    pub(crate) redirects: Vec<Redirect>,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) name: String,
    pub(crate) value: Word,
    pub(crate) is_array: bool,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Redirect {
    /// `>`, `>>`, `<`, `<<`, `<<<`, `>&`, `&>`, …
    pub(crate) operator: String,
    pub(crate) target: Word,
    pub(crate) span: Span,
}

/// A word with its quotes taken off; expansions stay as they are written.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) parts: Vec<Part>,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Part {
    pub(crate) kind: PartKind,
    pub(crate) quoted: bool,
    pub(crate) span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PartKind {
    Literal(String),
    /// What stands between single quotes.
    Single(String),
    /// A backslash and what it protects.
    Escape(char),
    /// `$name`, `${name…}`: the name, and what follows it inside the braces.
    Variable(String, String),
    /// `$(…)` or, when true, backticks.
    Command(List, bool),
    /// `$((…))`
    Arithmetic,
    /// `<(…)`
    Process(List),
}

impl Word {
    /// The text, when nothing in it is expanded.
    pub(crate) fn literal(&self) -> Option<&str> {
        let plain = |part: &Part| matches!(part.kind, PartKind::Literal(_) | PartKind::Single(_) | PartKind::Escape(_));
        self.parts.iter().all(plain).then_some(self.text.as_str())
    }

    /// Whether any of it stands in quotes.
    pub(crate) fn is_quoted(&self) -> bool {
        self.parts.iter().any(|part| part.quoted)
    }

    /// Whether it is a pattern that the shell replaces by names of files.
    pub(crate) fn is_glob(&self) -> bool {
        self.parts
            .iter()
            .any(|part| matches!(&part.kind, PartKind::Literal(text) if !part.quoted && text.contains(['*', '?'])))
    }
}

impl Simple {
    /// The command's name without its folders; empty when there is none, or a variable says it.
    pub(crate) fn name(&self) -> &str {
        let first = self.words.first().and_then(Word::literal).unwrap_or_default();
        first.rsplit('/').next().unwrap_or(first)
    }

    /// The words after the name.
    pub(crate) fn args(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The arguments' texts.
    pub(crate) fn texts(&self) -> Vec<&str> {
        self.args().iter().map(|word| word.text.as_str()).collect()
    }

    /// Whether one of the arguments is this.
    pub(crate) fn has(&self, arg: &str) -> bool {
        self.args().iter().any(|word| word.text == arg)
    }

    /// Arguments that are no options; nor are values of the options in `with_value`.
    pub(crate) fn operands(&self, with_value: &[&str]) -> Vec<&Word> {
        let mut operands = Vec::new();
        let (mut skip, mut ended) = (false, false);
        for word in self.args() {
            if std::mem::take(&mut skip) {
                continue;
            }
            if ended || !word.text.starts_with('-') || word.text == "-" {
                operands.push(word);
            } else if word.text == "--" {
                ended = true;
            } else {
                skip = with_value.contains(&word.text.as_str());
            }
        }
        operands
    }

    /// Whether an option is given, `-y` bundled with others included.
    pub(crate) fn has_option(&self, short: char, long: &[&str]) -> bool {
        self.args().iter().any(|word| {
            let text = word.text.as_str();
            let is_long =
                long.iter().any(|name| text == *name || text.strip_prefix(name).is_some_and(|v| v.starts_with('=')));
            let bundle = text.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
            is_long
                || short != '\0'
                    && bundle
                        .is_some_and(|rest| rest.chars().take_while(|c| c.is_ascii_alphabetic()).any(|c| c == short))
        })
    }
}

impl List {
    /// Every simple command in it, those inside of others and of expansions too, in order.
    pub(crate) fn commands(&self) -> Vec<&Simple> {
        let mut found = Vec::new();
        self.walk(&mut |command| {
            if let Command::Simple(simple) = command {
                found.push(simple);
            }
        });
        found
    }

    /// Every list in it, itself first.
    pub(crate) fn lists(&self) -> Vec<&List> {
        let mut all = vec![self];
        let mut next = 0;
        while let Some(list) = all.get(next).copied() {
            for command in list.entries.iter().flat_map(|entry| &entry.pipeline.commands) {
                all.extend(command.inner_lists());
            }
            next += 1;
        }
        all
    }

    /// Calls a function with every command.
    pub(crate) fn walk<'l>(&'l self, visit: &mut dyn FnMut(&'l Command)) {
        for command in self.entries.iter().flat_map(|entry| &entry.pipeline.commands) {
            visit(command);
            for list in command.inner_lists() {
                list.walk(visit);
            }
        }
    }
}

impl Command {
    /// The lists inside it: bodies, and those of expansions in its words.
    pub(crate) fn inner_lists(&self) -> Vec<&List> {
        let mut lists: Vec<&List> = Vec::new();
        if let Self::Compound(compound) = self {
            lists.extend(&compound.lists);
        }
        for word in self.all_words() {
            for part in &word.parts {
                match &part.kind {
                    PartKind::Command(list, _) | PartKind::Process(list) => lists.push(list),
                    _ => {}
                }
            }
        }
        lists
    }

    /// Its words: values of assignments and targets of redirects included.
    pub(crate) fn all_words(&self) -> Vec<&Word> {
        match self {
            Self::Simple(simple) => {
                let values = simple.assignments.iter().map(|assignment| &assignment.value);
                values.chain(&simple.words).chain(simple.redirects.iter().map(|redirect| &redirect.target)).collect()
            }
            Self::Compound(compound) => {
                compound.words.iter().chain(compound.redirects.iter().map(|redirect| &redirect.target)).collect()
            }
        }
    }
}
