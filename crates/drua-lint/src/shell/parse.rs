//! Lists, pipelines and commands.

use drua_dockerfile::Span;

use super::ast::{Assignment, Command, Compound, Entry, List, Operator, Pipeline, Redirect, Simple, Word};
use super::script::Slip;

/// Commands inside of commands: nobody writes more, and the stack is finite.
const MAX_DEPTH: usize = 48;

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) depth: usize,
    pub(super) bash: bool,
    pub(super) slips: Vec<Slip>,
    /// Heredocs whose content begins at the next line: delimiter, and whether tabs are stripped.
    heredocs: Vec<(String, bool)>,
}

/// Parses a script; what cannot be understood is passed over and listed.
pub(super) fn parse(text: &str, bash: bool) -> (List, Vec<Slip>) {
    let mut parser = Parser { text, at: 0, end: text.len(), depth: 0, bash, slips: Vec::new(), heredocs: Vec::new() };
    let mut list = List::default();
    loop {
        let mut more = parser.list();
        list.entries.append(&mut more.entries);
        if parser.at >= parser.end {
            break;
        }
        // Something closes that was not open.
        let before = parser.at;
        let stray = parser.reserved().map_or(1, str::len);
        parser.at += parser.char_len().max(stray).min(parser.end - parser.at);
        parser.slip("SC1089", before, parser.at, "this is not expected here: something was closed that is not open");
    }
    (list, parser.slips)
}

const RESERVED: [&str; 10] = ["then", "else", "elif", "fi", "do", "done", "esac", "}", ";;", ")"];

impl<'t> Parser<'t> {
    pub(super) fn slip(&mut self, code: &'static str, start: usize, end: usize, message: impl Into<String>) {
        const MAX_SLIPS: usize = 20;
        if self.slips.len() < MAX_SLIPS {
            self.slips.push(Slip { code, span: Span::new(start, end), message: message.into() });
        }
    }

    pub(super) fn rest(&self) -> &'t str {
        &self.text[self.at.min(self.end)..self.end]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn char_len(&self) -> usize {
        self.peek().map_or(0, char::len_utf8)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let found = self.rest().starts_with(text);
        self.at += if found { text.len() } else { 0 };
        found
    }

    /// Blanks, continued lines and comments.
    pub(super) fn blanks(&mut self) {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\u{b}', '\u{c}']).len();
            self.at += blank;
            if self.eat("\\\n") || self.eat("\\\r\n") {
                continue;
            }
            if self.rest().starts_with('#') && self.begins_word() {
                self.at += self.rest().find('\n').unwrap_or(self.rest().len());
                continue;
            }
            if blank == 0 {
                return;
            }
        }
    }

    fn begins_word(&self) -> bool {
        self.text[..self.at]
            .chars()
            .next_back()
            .is_none_or(|c| c.is_whitespace() || matches!(c, ';' | '&' | '|' | '(' | ')'))
    }

    /// Blanks and line ends; heredocs begin after the latter.
    pub(super) fn newlines(&mut self) {
        loop {
            self.blanks();
            if !self.eat("\n") {
                return;
            }
            self.read_heredocs();
        }
    }

    fn read_heredocs(&mut self) {
        for (delimiter, strip) in std::mem::take(&mut self.heredocs) {
            let start = self.at;
            let mut found = false;
            while self.at < self.end && !found {
                let length = self.rest().find('\n').map_or(self.rest().len(), |at| at + 1);
                let line = self.rest()[..length].trim_end_matches(['\n', '\r']);
                found = if strip { line.trim_start_matches('\t') == delimiter } else { line == delimiter };
                self.at += length;
            }
            if !found {
                // In a RUN the Dockerfile's own parser has taken the content away already.
                self.at = start;
            }
        }
    }

    /// The reserved word that stands here, if it is one that closes something.
    fn reserved(&self) -> Option<&'static str> {
        let rest = self.rest();
        RESERVED.into_iter().find(|word| {
            rest.strip_prefix(word).is_some_and(|after| match *word {
                ")" | ";;" => true,
                _ => after
                    .chars()
                    .next()
                    .is_none_or(|c| c.is_whitespace() || matches!(c, ';' | '&' | '|' | ')' | '<' | '>')),
            })
        })
    }

    /// Commands up to the end or a reserved word, which is not taken.
    pub(super) fn list(&mut self) -> List {
        let mut list = List::default();
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.at = self.end;
        }
        loop {
            self.newlines();
            while self.rest().starts_with(';') && !self.rest().starts_with(";;") {
                self.at += 1;
                self.newlines();
            }
            if self.at >= self.end || self.reserved().is_some() {
                break;
            }
            let before = self.at;
            let pipeline = self.pipeline();
            let (operator, at) = self.operator();
            let is_empty = pipeline.commands.is_empty();
            if !is_empty {
                list.entries.push(Entry { pipeline, operator, at });
            } else if self.at > before {
                self.slip("SC1072", before, self.at, "there is no command in front of this");
            }
            if self.at == before {
                // An operator without a command, or a character that begins none.
                let length = self.char_len();
                self.at += length;
                self.slip("SC1072", before, before + length, "this is not expected here");
            }
        }
        self.depth -= 1;
        list
    }

    fn operator(&mut self) -> (Operator, Span) {
        self.blanks();
        let start = self.at;
        let operator = if self.eat("&&") {
            Operator::And
        } else if self.eat("||") {
            Operator::Or
        } else if self.rest().starts_with(";;") {
            Operator::End
        } else if self.eat(";") || self.rest().starts_with('\n') {
            Operator::Then
        } else if self.eat("&") {
            if self.rest().starts_with(';') {
                self.slip("SC1045", start, self.at + 1, "it is not `foo &; bar`, just `foo & bar`");
            }
            Operator::Background
        } else {
            Operator::End
        };
        let span = Span::new(start, self.at);
        if matches!(operator, Operator::And | Operator::Or) {
            self.newlines();
        }
        (operator, span)
    }

    fn pipeline(&mut self) -> Pipeline {
        let mut pipeline = Pipeline::default();
        if self.rest().starts_with("! ") {
            self.at += 1;
            pipeline.negated = true;
        }
        loop {
            self.blanks();
            match self.command() {
                Some(command) => pipeline.commands.push(command),
                None => break,
            }
            self.blanks();
            if self.rest().starts_with("||") || !self.rest().starts_with('|') {
                break;
            }
            self.at += if self.rest().starts_with("|&") { 2 } else { 1 };
            self.newlines();
        }
        pipeline
    }

    /// Whether a reserved word stands here and ends here.
    fn keyword(&self, word: &str) -> bool {
        let after = self.rest().strip_prefix(word).map(|rest| rest.chars().next());
        after.is_some_and(|next| next.is_none_or(|c| c.is_whitespace() || matches!(c, ';' | '(' | '&' | '|')))
    }

    fn command(&mut self) -> Option<Command> {
        let start = self.at;
        let compound = |kind| Compound {
            kind,
            span: Span::new(start, start),
            lists: Vec::new(),
            conditions: Vec::new(),
            words: Vec::new(),
            name: None,
            redirects: Vec::new(),
        };
        let compound = if self.rest().starts_with("((") && self.bash {
            self.at += 2;
            self.skip_arithmetic();
            compound("((")
        } else if self.eat("(") {
            self.group(compound("("), ")", "SC1088")
        } else if self.keyword("{") {
            self.at += 1;
            self.group(compound("{"), "}", "SC1056")
        } else if self.keyword("[[") {
            self.at += 2;
            self.test(compound("[["))
        } else if self.keyword("if") {
            self.at += 2;
            self.if_clause(compound("if"))
        } else if self.keyword("while") || self.keyword("until") {
            let kind = if self.keyword("while") { "while" } else { "until" };
            self.at += 5;
            let mut compound = compound(kind);
            self.body(&mut compound, true);
            self.do_group(compound)
        } else if self.keyword("for") || self.keyword("select") {
            let kind = if self.keyword("for") { "for" } else { "select" };
            self.at += kind.len();
            self.for_clause(compound(kind))
        } else if self.keyword("case") {
            self.at += 4;
            self.case_clause(compound("case"))
        } else if self.keyword("function") {
            self.at += 8;
            self.blanks();
            let name = self.word();
            self.blanks();
            let _ = self.eat("(") && {
                self.blanks();
                self.eat(")")
            };
            return Some(self.function(compound("function"), name.text));
        } else {
            return self.simple();
        };
        Some(Command::Compound(self.finish(compound)))
    }

    fn finish(&mut self, mut compound: Compound) -> Compound {
        loop {
            self.blanks();
            match self.redirect() {
                Some(redirect) => compound.redirects.push(redirect),
                None => break,
            }
        }
        compound.span.end = self.at;
        compound
    }

    fn body(&mut self, compound: &mut Compound, is_condition: bool) {
        let list = self.list();
        compound.lists.push(list);
        compound.conditions.push(is_condition);
    }

    /// Takes a word that must come; says so when it does not.
    fn expect(&mut self, word: &'static str, opened: Span, code: &'static str) -> bool {
        self.newlines();
        let found = if word.len() == 1 { self.rest().starts_with(word) } else { self.keyword_or_end(word) };
        if found {
            self.at += word.len();
        } else {
            self.slip(
                code,
                opened.start,
                opened.end.max(opened.start + 1),
                format!("this is not closed: `{word}` is missing"),
            );
        }
        found
    }

    fn keyword_or_end(&self, word: &str) -> bool {
        self.reserved() == Some(word) || self.keyword(word)
    }

    fn group(&mut self, mut compound: Compound, close: &'static str, code: &'static str) -> Compound {
        self.body(&mut compound, false);
        self.expect(close, compound.span, code);
        compound
    }

    fn function(&mut self, mut compound: Compound, name: String) -> Command {
        self.newlines();
        compound.name = Some(name);
        self.depth += 1;
        if self.depth < MAX_DEPTH
            && let Some(command) = self.command()
        {
            let pipeline = Pipeline { negated: false, commands: vec![command] };
            let entry = Entry { pipeline, operator: Operator::End, at: Span::new(self.at, self.at) };
            compound.lists.push(List { entries: vec![entry] });
            compound.conditions.push(false);
        }
        self.depth -= 1;
        compound.span.end = self.at;
        Command::Compound(compound)
    }

    fn if_clause(&mut self, mut compound: Compound) -> Compound {
        let opened = Span::new(compound.span.start, compound.span.start + 2);
        loop {
            self.body(&mut compound, true);
            if !self.expect("then", opened, "SC1049") {
                return compound;
            }
            self.body(&mut compound, false);
            if self.keyword_or_end("elif") {
                self.at += 4;
                continue;
            }
            if self.keyword_or_end("else") {
                self.at += 4;
                self.body(&mut compound, false);
            }
            self.expect("fi", opened, "SC1046");
            return compound;
        }
    }

    fn do_group(&mut self, mut compound: Compound) -> Compound {
        let opened = Span::new(compound.span.start, compound.span.start + compound.kind.len());
        if self.expect("do", opened, "SC1058") {
            self.body(&mut compound, false);
            self.expect("done", opened, "SC1061");
        }
        compound
    }

    fn for_clause(&mut self, mut compound: Compound) -> Compound {
        self.blanks();
        if self.eat("((") {
            self.skip_arithmetic();
        } else {
            let start = self.at;
            let name = self.word();
            if name.text.starts_with('$') {
                self.slip("SC1086", start, self.at, "don't use `$` on the variable of a for loop");
            }
            compound.name = Some(name.text);
            self.newlines();
            if self.keyword("in") {
                self.at += 2;
                loop {
                    self.blanks();
                    if self.at >= self.end || matches!(self.peek(), Some(';' | '\n' | '&' | '|' | ')')) {
                        break;
                    }
                    let before = self.at;
                    let word = self.word();
                    if self.at == before {
                        break;
                    }
                    compound.words.push(word);
                }
            }
        }
        self.newlines();
        self.eat(";");
        self.do_group(compound)
    }

    fn case_clause(&mut self, mut compound: Compound) -> Compound {
        let opened = Span::new(compound.span.start, compound.span.start + 4);
        self.blanks();
        let subject = self.word();
        compound.words.push(subject);
        self.newlines();
        if !self.keyword("in") {
            self.slip("SC1058", opened.start, opened.end, "`in` is missing");
            return compound;
        }
        self.at += 2;
        loop {
            self.newlines();
            if self.at >= self.end || self.keyword_or_end("esac") {
                break;
            }
            self.eat("(");
            loop {
                self.blanks();
                let before = self.at;
                self.word();
                self.blanks();
                if !self.eat("|") || self.at == before {
                    break;
                }
            }
            if !self.eat(")") {
                break;
            }
            self.body(&mut compound, false);
            self.newlines();
            if !(self.eat(";;&") || self.eat(";;") || self.eat(";&")) {
                break;
            }
        }
        self.expect("esac", opened, "SC1072");
        compound
    }

    /// `[[ … ]]`: words, whatever stands between them.
    fn test(&mut self, mut compound: Compound) -> Compound {
        let opened = compound.span.start;
        loop {
            self.newlines();
            if self.eat("]]") {
                return compound;
            }
            if self.at >= self.end {
                self.slip("SC1033", opened, opened + 2, "this is not closed: `]]` is missing");
                return compound;
            }
            let before = self.at;
            let word = self.word();
            match self.at == before {
                true => self.at += self.char_len(),
                false => compound.words.push(word),
            }
        }
    }

    pub(super) fn skip_arithmetic(&mut self) {
        let (start, mut open) = (self.at, 2_usize);
        for (at, c) in self.rest().char_indices() {
            match c {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                self.at += at + 1;
                return;
            }
        }
        self.at = self.end;
        self.slip("SC1102", start.saturating_sub(2), start, "this is not closed: `))` is missing");
    }

    fn simple(&mut self) -> Option<Command> {
        let mut simple = Simple::default();
        let start = self.at;
        loop {
            self.blanks();
            if let Some(redirect) = self.redirect() {
                simple.redirects.push(redirect);
                continue;
            }
            if simple.words.is_empty()
                && let Some(assignment) = self.assignment()
            {
                simple.assignments.push(assignment);
                continue;
            }
            let before = self.at;
            let word = self.word();
            if self.at == before {
                break;
            }
            simple.words.push(word);
            if simple.words.len() == 1 && simple.assignments.is_empty() && self.rest().starts_with('(') {
                return Some(self.function_or_call(simple));
            }
        }
        let last = [
            simple.words.last().map(|word| word.span.end),
            simple.redirects.last().map(|redirect| redirect.span.end),
            simple.assignments.last().map(|assignment| assignment.span.end),
        ];
        simple.span = Span::new(start, last.into_iter().flatten().max()?);
        Some(Command::Simple(simple))
    }

    /// `name()`, or a parenthesis where none can be.
    fn function_or_call(&mut self, simple: Simple) -> Command {
        let start = self.at;
        self.at += 1;
        self.blanks();
        let name = simple.words.first().map(|word| word.text.clone()).unwrap_or_default();
        let mut compound = Compound {
            kind: "function",
            span: simple.words.first().map_or(Span::new(start, start), |word| word.span),
            lists: Vec::new(),
            conditions: Vec::new(),
            words: Vec::new(),
            name: None,
            redirects: Vec::new(),
        };
        if !self.eat(")") {
            self.slip(
                "SC1065",
                start,
                start + 1,
                "functions are declared without parameters; this parenthesis cannot stand here",
            );
            let length = self.rest().find([')', '\n']).unwrap_or(self.rest().len());
            self.at += length;
            self.eat(")");
            compound.span.end = self.at;
            return Command::Compound(compound);
        }
        self.function(compound, name)
    }

    fn assignment(&mut self) -> Option<Assignment> {
        let rest = self.rest();
        let name = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        if name == 0 || rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let mut length = name;
        if self.bash && rest[length..].starts_with('[') {
            length += rest[length..].find(']')? + 1;
        }
        let operator = ["+=", "="].into_iter().find(|operator| rest[length..].starts_with(operator))?;
        let start = self.at;
        self.at += length + operator.len();
        let text = rest[..name].to_owned();
        if self.rest().starts_with('(') {
            return Some(self.array(text, start));
        }
        let value = self.word();
        Some(Assignment { name: text, span: Span::new(start, self.at), value, is_array: false })
    }

    fn array(&mut self, name: String, start: usize) -> Assignment {
        self.at += 1;
        let mut value = Word { span: Span::new(self.at, self.at), ..Word::default() };
        loop {
            self.newlines();
            if self.eat(")") || self.at >= self.end {
                break;
            }
            let before = self.at;
            let mut word = self.word();
            value.parts.append(&mut word.parts);
            if self.at == before {
                self.at += self.char_len();
            }
        }
        Assignment { name, span: Span::new(start, self.at), value, is_array: true }
    }

    fn redirect(&mut self) -> Option<Redirect> {
        const OPERATORS: [&str; 12] = ["<<<", "<<-", "&>>", "<<", ">>", "<&", ">&", "<>", ">|", "&>", "<", ">"];
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let after = &rest[digits..];
        let operator = OPERATORS.into_iter().find(|operator| after.starts_with(operator))?;
        if digits > 0 && operator.starts_with('&')
            || matches!(operator, "<" | ">") && digits == 0 && after[1..].starts_with('(')
        {
            return None;
        }
        let start = self.at;
        self.at += digits + operator.len();
        self.blanks();
        let target = self.word();
        if matches!(operator, "<<" | "<<-") {
            self.heredocs.push((target.text.clone(), operator == "<<-"));
        }
        Some(Redirect { operator: operator.to_owned(), span: Span::new(start, self.at), target })
    }
}
