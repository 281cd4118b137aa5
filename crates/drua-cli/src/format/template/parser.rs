use super::TemplateError;
use super::lexer::{Segment, Token, segments};
use crate::format::Json;

/// Nesting of blocks and parentheses beyond this is an attack or a mistake.
const MAX_DEPTH: usize = 64;

#[derive(Debug, Clone)]
pub(super) enum Node {
    Text(String),
    Print(Pipeline),
    If { condition: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    With { value: Pipeline, then: Vec<Node>, otherwise: Vec<Node> },
    Range { value: Pipeline, body: Vec<Node>, otherwise: Vec<Node> },
}

/// `$a, $b := command | command`
#[derive(Debug, Clone)]
pub(super) struct Pipeline {
    pub(super) variables: Vec<String>,
    pub(super) declares: bool,
    pub(super) commands: Vec<Vec<Operand>>,
}

#[derive(Debug, Clone)]
pub(super) struct Operand {
    pub(super) base: Base,
    /// The chain of fields after it.
    pub(super) fields: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Base {
    Dot,
    Variable(String),
    Function(String),
    Literal(Json),
    Group(Box<Pipeline>),
}

pub(super) fn parse(text: &str) -> Result<Vec<Node>, TemplateError> {
    let mut parser = Parser { segments: segments(text)?.into_iter() };
    match parser.block(0)? {
        (nodes, End::OfInput) => Ok(nodes),
        (_, End::Word) => Err(TemplateError::new("unexpected `{{end}}`")),
        (_, End::Else(_)) => Err(TemplateError::new("unexpected `{{else}}`")),
    }
}

struct Parser {
    segments: std::vec::IntoIter<Segment>,
}

/// What ended a block.
enum End {
    OfInput,
    /// The word `end`.
    Word,
    /// With what follows the word `else`.
    Else(Vec<Token>),
}

impl Parser {
    fn block(&mut self, depth: usize) -> Result<(Vec<Node>, End), TemplateError> {
        if depth > MAX_DEPTH {
            return Err(TemplateError::new("blocks are nested too deeply"));
        }
        let mut nodes = Vec::new();
        while let Some(segment) = self.segments.next() {
            let tokens = match segment {
                Segment::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Segment::Action(tokens) => tokens,
            };
            let (keyword, rest) = keyword(&tokens);
            match keyword {
                Some("end") => return Ok((nodes, End::Word)),
                Some("else") => return Ok((nodes, End::Else(rest.to_vec()))),
                Some(word @ ("if" | "with" | "range")) => nodes.push(self.branch(word, rest, depth)?),
                Some(word @ ("define" | "template" | "block" | "break" | "continue")) => {
                    return Err(TemplateError::new(format!("`{{{{{word}}}}}` is not supported")));
                }
                _ => nodes.push(Node::Print(pipeline(&tokens)?)),
            }
        }
        Ok((nodes, End::OfInput))
    }

    fn branch(&mut self, word: &str, head: &[Token], depth: usize) -> Result<Node, TemplateError> {
        let value = pipeline(head)?;
        let (then, end) = self.block(depth + 1)?;
        let otherwise = match end {
            End::Word => Vec::new(),
            End::OfInput => return Err(TemplateError::new(format!("`{{{{{word}}}}}` is not closed by `{{{{end}}}}`"))),
            End::Else(rest) => match keyword(&rest) {
                // `{{else if}}` shares the `{{end}}` of the block that it continues.
                (Some(word @ ("if" | "with")), rest) => vec![self.branch(word, rest, depth + 1)?],
                _ => match self.block(depth + 1)? {
                    (nodes, End::Word) => nodes,
                    _ => return Err(TemplateError::new("`{{else}}` is not closed by `{{end}}`")),
                },
            },
        };
        Ok(match word {
            "if" => Node::If { condition: value, then, otherwise },
            "with" => Node::With { value, then, otherwise },
            _ => Node::Range { value, body: then, otherwise },
        })
    }
}

/// The first word of an action, if it is one, and the rest.
fn keyword(tokens: &[Token]) -> (Option<&str>, &[Token]) {
    match trim(tokens) {
        [Token::Word(word), rest @ ..] => (Some(word), rest),
        other => (None, other),
    }
}

fn trim(mut tokens: &[Token]) -> &[Token] {
    while let [Token::Space, rest @ ..] = tokens {
        tokens = rest;
    }
    while let [rest @ .., Token::Space] = tokens {
        tokens = rest;
    }
    tokens
}

fn pipeline(tokens: &[Token]) -> Result<Pipeline, TemplateError> {
    let mut cursor = Cursor { tokens: trim(tokens), depth: 0 };
    let pipeline = cursor.pipeline()?;
    match cursor.tokens {
        [] => Ok(pipeline),
        [token, ..] => Err(TemplateError::new(format!("unexpected {token:?} in an action"))),
    }
}

struct Cursor<'a> {
    tokens: &'a [Token],
    depth: usize,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<&Token> {
        let (first, rest) = self.tokens.split_first()?;
        self.tokens = rest;
        Some(first)
    }

    fn skip_space(&mut self) {
        while let [Token::Space, rest @ ..] = self.tokens {
            self.tokens = rest;
        }
    }

    fn pipeline(&mut self) -> Result<Pipeline, TemplateError> {
        let (variables, declares) = self.declaration();
        let mut commands = Vec::new();
        loop {
            let command = self.command()?;
            if command.is_empty() {
                return Err(TemplateError::new("missing value in an action"));
            }
            commands.push(command);
            match self.tokens {
                [Token::Pipe, ..] => {
                    self.next();
                }
                _ => return Ok(Pipeline { variables, declares, commands }),
            }
        }
    }

    /// `$a :=`, `$a =` or `$a, $b :=`, if the action starts so.
    fn declaration(&mut self) -> (Vec<String>, bool) {
        let compact: Vec<(usize, &Token)> =
            self.tokens.iter().enumerate().filter(|(_, token)| **token != Token::Space).take(4).collect();
        let tokens: Vec<&Token> = compact.iter().map(|(_, token)| *token).collect();
        let (names, operator) = match tokens.as_slice() {
            [Token::Variable(a), operator @ (Token::Declare | Token::Assign), ..] => (vec![a.clone()], (1, *operator)),
            [Token::Variable(a), Token::Comma, Token::Variable(b), operator @ Token::Declare] => {
                (vec![a.clone(), b.clone()], (3, *operator))
            }
            _ => return (Vec::new(), false),
        };
        let declares = *operator.1 == Token::Declare;
        let end = compact[operator.0].0 + 1;
        self.tokens = &self.tokens[end..];
        (names, declares)
    }

    fn command(&mut self) -> Result<Vec<Operand>, TemplateError> {
        let mut operands = Vec::new();
        loop {
            self.skip_space();
            match self.tokens {
                [] | [Token::Pipe | Token::Close, ..] => return Ok(operands),
                _ => operands.push(self.operand()?),
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, TemplateError> {
        let mut fields = Vec::new();
        let token = self.next().cloned().ok_or_else(|| TemplateError::new("missing value in an action"))?;
        let base = match token {
            Token::Dot => Base::Dot,
            Token::Field(name) => {
                fields.push(name);
                Base::Dot
            }
            Token::Variable(name) => Base::Variable(name),
            Token::Text(text) => Base::Literal(Json::String(text)),
            Token::Number(number) => Base::Literal(Json::Number(number)),
            Token::Word(word) => match word.as_str() {
                "true" => Base::Literal(Json::Bool(true)),
                "false" => Base::Literal(Json::Bool(false)),
                "nil" => Base::Literal(Json::Null),
                _ => Base::Function(word),
            },
            Token::Open => self.group()?,
            token @ (Token::Pipe | Token::Comma | Token::Close | Token::Declare | Token::Assign | Token::Space) => {
                return Err(TemplateError::new(format!("unexpected {token:?} in an action")));
            }
        };
        while let [Token::Field(name), rest @ ..] = self.tokens {
            fields.push(name.clone());
            self.tokens = rest;
        }
        Ok(Operand { base, fields })
    }

    fn group(&mut self) -> Result<Base, TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(TemplateError::new("parentheses are nested too deeply"));
        }
        let inner = self.pipeline()?;
        self.depth -= 1;
        match self.next() {
            Some(Token::Close) => Ok(Base::Group(Box::new(inner))),
            _ => Err(TemplateError::new("`(` is not closed")),
        }
    }
}
