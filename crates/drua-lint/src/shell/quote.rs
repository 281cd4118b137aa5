//! Words: quotes, escapes and expansions.

use drua_dockerfile::Span;

use super::ast::{List, Part, PartKind, Word};
use super::parse::Parser;

/// What ends a word that is not quoted.
fn ends_word(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{b}' | '\u{c}' | ';' | '|' | '&' | '<' | '>' | '(' | ')')
}

impl Parser<'_> {
    /// A word; nothing is taken where none begins.
    pub(super) fn word(&mut self) -> Word {
        let start = self.at;
        let mut word = Word::default();
        self.depth += 1;
        while let Some(c) = self.peek() {
            let before = self.at;
            match c {
                '\\' => self.escape(&mut word),
                '\'' => self.single(&mut word),
                '"' => self.double(&mut word),
                '$' => self.dollar(&mut word, false),
                '`' => self.backticks(&mut word, false),
                '<' | '>' if self.rest()[1..].starts_with('(') => self.process(&mut word),
                // Patterns of bash: @(a|b).
                '(' if self.bash && word.text.ends_with(['@', '?', '*', '+', '!']) => self.extended(&mut word),
                c if ends_word(c) => break,
                c => {
                    self.at += c.len_utf8();
                    self.literal(&mut word, c, before, false);
                }
            }
            if self.at == before {
                break;
            }
        }
        self.depth -= 1;
        word.span = Span::new(start, self.at);
        word
    }

    fn literal(&self, word: &mut Word, c: char, start: usize, quoted: bool) {
        word.text.push(c);
        if let Some(Part { kind: PartKind::Literal(text), quoted: same, span }) = word.parts.last_mut()
            && *same == quoted
            && span.end == start
        {
            text.push(c);
            span.end = self.at;
            return;
        }
        let span = Span::new(start, self.at);
        word.parts.push(Part { kind: PartKind::Literal(c.to_string()), quoted, span });
    }

    fn push(&self, word: &mut Word, kind: PartKind, start: usize, quoted: bool) {
        let span = Span::new(start, self.at);
        match &kind {
            PartKind::Single(text) | PartKind::Literal(text) => word.text.push_str(text),
            PartKind::Escape(c) => word.text.push(*c),
            PartKind::Variable(..) | PartKind::Command(..) | PartKind::Arithmetic | PartKind::Process(_) => {
                word.text.push_str(&self.text[span.range()]);
            }
        }
        word.parts.push(Part { kind, quoted, span });
    }

    fn escape(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        if self.eat("\n") || self.eat("\r\n") {
            return;
        }
        match self.peek() {
            None => self.literal(word, '\\', start, false),
            Some(c) => {
                self.at += c.len_utf8();
                self.push(word, PartKind::Escape(c), start, false);
            }
        }
    }

    fn single(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        let length = match self.rest().find('\'') {
            Some(length) => length,
            None => {
                self.slip("SC1078", start, start + 1, "this single quote is not closed");
                self.rest().len()
            }
        };
        let text = self.rest()[..length].to_owned();
        self.at = (self.at + length + 1).min(self.end);
        self.push(word, PartKind::Single(text), start, true);
    }

    fn double(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        let parts = word.parts.len();
        loop {
            let before = self.at;
            match self.peek() {
                None => {
                    self.slip("SC1078", start, start + 1, "this double quote is not closed");
                    break;
                }
                Some('"') => {
                    self.at += 1;
                    break;
                }
                Some('$') => self.dollar(word, true),
                Some('`') => self.backticks(word, true),
                Some('\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some('\n') => self.at += 1,
                        Some(c @ ('"' | '$' | '`' | '\\')) => {
                            self.at += 1;
                            self.push(word, PartKind::Escape(c), before, true);
                        }
                        _ => self.literal(word, '\\', before, true),
                    }
                }
                Some(c) => {
                    self.at += c.len_utf8();
                    self.literal(word, c, before, true);
                }
            }
        }
        if word.parts.len() == parts {
            word.parts.push(Part {
                kind: PartKind::Literal(String::new()),
                quoted: true,
                span: Span::new(start, self.at),
            });
        }
    }

    fn dollar(&mut self, word: &mut Word, quoted: bool) {
        let start = self.at;
        self.at += 1;
        if self.rest().starts_with("((") {
            self.at += 2;
            self.skip_arithmetic();
            return self.push(word, PartKind::Arithmetic, start, quoted);
        }
        if self.eat("(") {
            let list = self.nested(")");
            if !self.eat(")") {
                self.slip("SC1073", start, start + 2, "this `$(` is not closed");
            }
            return self.push(word, PartKind::Command(list, false), start, quoted);
        }
        if self.eat("{") {
            return self.braced(word, start, quoted);
        }
        if !quoted && self.rest().starts_with('\'') {
            self.ansi(word, start);
            return;
        }
        if !quoted && self.rest().starts_with('"') {
            return self.double(word);
        }
        let rest = self.rest();
        let name = match rest.chars().next() {
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
            }
            Some(c) if c.is_ascii_digit() || matches!(c, '@' | '*' | '#' | '?' | '-' | '$' | '!') => 1,
            _ => return self.literal(word, '$', start, quoted),
        };
        let text = rest[..name].to_owned();
        self.at += name;
        self.push(word, PartKind::Variable(text, String::new()), start, quoted);
    }

    /// `$'…'`
    fn ansi(&mut self, word: &mut Word, start: usize) {
        self.at += 1;
        let mut escaped = false;
        let end = self.rest().char_indices().find(|(_, c)| match (escaped, c) {
            (true, _) => {
                escaped = false;
                false
            }
            (false, '\\') => {
                escaped = true;
                false
            }
            (false, c) => *c == '\'',
        });
        let length = end.map_or(self.rest().len(), |(at, _)| at);
        let text = self.rest()[..length].to_owned();
        self.at = (self.at + length + 1).min(self.end);
        self.push(word, PartKind::Single(text), start, true);
    }

    /// `${…}`, its opening read.
    fn braced(&mut self, word: &mut Word, start: usize, quoted: bool) {
        let rest = self.rest();
        let sign = usize::from(rest.starts_with(['#', '!']) && !rest[1..].starts_with('}'));
        let special = rest[sign..].starts_with(['@', '*', '#', '?', '-', '$', '!']);
        let name = match special {
            true => 1,
            false => {
                let tail = &rest[sign..];
                tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len()
            }
        };
        let name_text = rest[sign..sign + name].to_owned();
        let prefix = rest[..sign].to_owned();
        self.at += sign + name;
        let from = self.at;
        let mut inner = Word::default();
        self.depth += 1;
        loop {
            let before = self.at;
            match self.peek() {
                None => {
                    self.slip("SC1073", start, start + 2, "this `${` is not closed");
                    break;
                }
                Some('}') => {
                    break;
                }
                Some(_) if self.depth > 40 => self.at = self.end,
                Some('\\') => {
                    self.at = (self.at + 1 + self.rest()[1..].chars().next().map_or(0, char::len_utf8)).min(self.end)
                }
                Some('\'') if !quoted => self.single(&mut inner),
                Some('"') => self.double(&mut inner),
                Some('$') => self.dollar(&mut inner, quoted),
                Some('`') => self.backticks(&mut inner, quoted),
                Some(c) => self.at += c.len_utf8(),
            }
            if self.at == before {
                break;
            }
        }
        self.depth -= 1;
        let operator = format!("{prefix}{}", &self.text[from..self.at]);
        self.eat("}");
        self.push(word, PartKind::Variable(name_text, operator), start, quoted);
        // Commands in defaults are commands too.
        let commands = inner.parts.into_iter().filter(|part| matches!(part.kind, PartKind::Command(..)));
        word.parts.extend(commands.map(|part| Part { quoted: true, ..part }));
    }

    fn backticks(&mut self, word: &mut Word, quoted: bool) {
        let start = self.at;
        self.at += 1;
        let mut escaped = false;
        let found = self.rest().char_indices().find(|(_, c)| {
            let is_end = !escaped && *c == '`';
            escaped = !escaped && *c == '\\';
            is_end
        });
        let Some((length, _)) = found else {
            self.slip("SC1073", start, start + 1, "this backtick is not closed");
            self.at = self.end;
            return self.push(word, PartKind::Command(List::default(), true), start, quoted);
        };
        let outer = std::mem::replace(&mut self.end, self.at + length);
        let list = self.nested("`");
        self.at = self.end + 1;
        self.end = outer;
        self.push(word, PartKind::Command(list, true), start, quoted);
    }

    fn process(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 2;
        let list = self.nested(")");
        if !self.eat(")") {
            self.slip("SC1073", start, start + 2, "this `(` is not closed");
        }
        self.push(word, PartKind::Process(list), start, false);
    }

    fn extended(&mut self, word: &mut Word) {
        let start = self.at;
        let length = self.rest().find(')').map_or(self.rest().len(), |at| at + 1);
        let text = self.rest()[..length].to_owned();
        self.at += length;
        self.push(word, PartKind::Literal(text), start, false);
    }

    /// Commands inside an expansion, up to what closes it.
    fn nested(&mut self, close: &str) -> List {
        let mut list = List::default();
        loop {
            let mut more = self.list();
            list.entries.append(&mut more.entries);
            if self.at >= self.end || self.rest().starts_with(close) {
                return list;
            }
            // A reserved word that closes nothing here.
            self.at += self.char_len();
        }
    }
}
