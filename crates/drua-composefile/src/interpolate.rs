//! `$V`, `${V}` and their operators, in every value of a node tree.
//!
//! Specification: compose-spec 12-interpolation.md; `:+` and `+` as in compose-go's `template` package. Keys are never
//! interpolated. An unset variable without a default is an empty string and a warning.

use crate::diagnostic::{Report, Span};
use crate::yaml::{Kind, Node, Scalar, Value};

/// How deep `${A:-${B:-…}}` may be nested.
const MAX_NESTING: usize = 16;
/// The longest value that substitution may produce, in bytes.
const MAX_LENGTH: usize = 1 << 20;

/// Why a template cannot be substituted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error("invalid interpolation `{0}`; write `$$` for a literal `$`")]
    Invalid(String),
    #[error("required variable `{name}` is missing a value{}{message}", if message.is_empty() { "" } else { ": " })]
    Required { name: String, message: String },
    #[error("the value becomes longer than {MAX_LENGTH} bytes")]
    TooLong,
}

/// Where variables come from and what happens when one is not there.
pub(crate) struct Variables<'a> {
    pub(crate) lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Names that were used without a default and are not set.
    pub(crate) unset: Vec<String>,
}

/// Interpolates every scalar below `node`, in place.
pub(crate) fn interpolate(node: &mut Node, lookup: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    match &mut node.value {
        Value::Sequence(items) => items.iter_mut().for_each(|item| interpolate(item, lookup, report)),
        Value::Mapping(entries) => entries.iter_mut().for_each(|entry| interpolate(&mut entry.value, lookup, report)),
        Value::Scalar(scalar) if scalar.text.contains('$') => interpolate_scalar(scalar, node.span, lookup, report),
        Value::Scalar(_) => {}
    }
}

fn interpolate_scalar(scalar: &mut Scalar, span: Span, lookup: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    let mut variables = Variables { lookup, unset: Vec::new() };
    match substitute(&scalar.text, &mut variables) {
        Ok(text) => *scalar = Scalar { text, kind: Kind::Text },
        Err(error) => {
            report.error(span, error.to_string());
            // As good as absent: one mistake is enough.
            *scalar = Scalar { text: String::new(), kind: Kind::Null };
        }
    }
    variables.unset.dedup();
    for name in variables.unset {
        let message = format!("the variable `{name}` is not set; defaulting to a blank string");
        report.warning(span, message).hint(format!("set it in the environment or in `.env`, or write `${{{name}:-}}`"));
    }
}

/// Substitutes the variables of one text.
pub(crate) fn substitute(template: &str, variables: &mut Variables<'_>) -> Result<String, TemplateError> {
    substitute_nested(template, variables, 0)
}

fn substitute_nested(template: &str, variables: &mut Variables<'_>, depth: usize) -> Result<String, TemplateError> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        out.push_str(&rest[..dollar]);
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(braced) = after.strip_prefix('{') {
            let end = closing_brace(braced).filter(|_| depth < MAX_NESTING);
            let end = end.ok_or_else(|| TemplateError::Invalid(shorten(&rest[dollar..])))?;
            let value = expand(&braced[..end], variables, depth)?;
            out.push_str(&value);
            rest = &braced[end + 1..];
        } else {
            let length = name_length(after);
            if length == 0 {
                // As Docker Compose: a dollar that starts no name is a dollar.
                out.push('$');
            } else {
                out.push_str(&value_or_blank(&after[..length], variables));
            }
            rest = &after[length..];
        }
        if out.len() > MAX_LENGTH {
            return Err(TemplateError::TooLong);
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Expands what stands between `${` and `}`.
fn expand(inside: &str, variables: &mut Variables<'_>, depth: usize) -> Result<String, TemplateError> {
    let invalid = || TemplateError::Invalid(shorten(&format!("${{{inside}}}")));
    let length = name_length(inside);
    let (name, operator) = inside.split_at(length);
    if length == 0 {
        return Err(invalid());
    }
    if operator.is_empty() {
        return Ok(value_or_blank(name, variables));
    }
    let (blank_counts_as_unset, operator) = match operator.strip_prefix(':') {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let value = (variables.lookup)(name).filter(|value| !(blank_counts_as_unset && value.is_empty()));
    let mut operator = operator.chars();
    let kind = operator.next();
    let word = operator.as_str();
    match (kind, value) {
        (Some('-' | '?'), Some(value)) => Ok(value),
        (Some('+'), Some(_)) | (Some('-'), None) => substitute_nested(word, variables, depth + 1),
        (Some('+'), None) => Ok(String::new()),
        (Some('?'), None) => {
            let message = substitute_nested(word, variables, depth + 1)?;
            Err(TemplateError::Required { name: name.to_owned(), message })
        }
        _ => Err(invalid()),
    }
}

fn value_or_blank(name: &str, variables: &mut Variables<'_>) -> String {
    let value = (variables.lookup)(name);
    if value.is_none() {
        variables.unset.push(name.to_owned());
    }
    value.unwrap_or_default()
}

/// Length of the variable name at the start, `[_a-zA-Z][_a-zA-Z0-9]*`.
fn name_length(text: &str) -> usize {
    let first = text.bytes().next().is_some_and(|b| b == b'_' || b.is_ascii_alphabetic());
    if first { text.bytes().take_while(|b| *b == b'_' || b.is_ascii_alphanumeric()).count() } else { 0 }
}

/// Index of the `}` that belongs to an opening `${` just before `text`.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    let bytes = text.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if index > 0 && bytes[index - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(index),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

/// A variable that a file uses, as `config --variables` lists it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Whether it must be set.
    pub required: bool,
    /// What is used where it is not set.
    pub default: String,
    /// What is used where it is set.
    pub alternate: String,
}

/// The variables of every value of a tree, by name.
pub fn variables(tree: &crate::tree::Tree) -> Vec<Variable> {
    let mut found = std::collections::BTreeMap::new();
    collect(tree, &mut found);
    found.into_values().collect()
}

fn collect(tree: &crate::tree::Tree, found: &mut std::collections::BTreeMap<String, Variable>) {
    use crate::tree::Tree;
    match tree {
        Tree::Text(text) => collect_in(text, found, 0),
        Tree::List(items) => items.iter().for_each(|item| collect(item, found)),
        Tree::Map(entries) => entries.iter().for_each(|(_, value)| collect(value, found)),
        Tree::Null | Tree::Bool(_) | Tree::Int(_) | Tree::Float(_) => {}
    }
}

fn collect_in(template: &str, found: &mut std::collections::BTreeMap<String, Variable>, depth: usize) {
    let mut rest = template;
    while let Some(dollar) = rest.find('$') {
        let after = &rest[dollar + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            rest = tail;
        } else if let Some(braced) = after.strip_prefix('{') {
            let Some(end) = closing_brace(braced).filter(|_| depth < MAX_NESTING) else { return };
            let inside = &braced[..end];
            let (name, operator) = inside.split_at(name_length(inside));
            let operator = operator.strip_prefix(':').unwrap_or(operator);
            let mut variable = Variable { name: name.to_owned(), ..Variable::default() };
            let word = operator.get(1..).unwrap_or_default();
            match operator.chars().next() {
                Some('-') => variable.default = word.to_owned(),
                Some('+') => variable.alternate = word.to_owned(),
                Some('?') => variable.required = true,
                Some(_) | None => {}
            }
            if operator.is_ascii() {
                collect_in(word, found, depth + 1);
            }
            if !name.is_empty() {
                found.entry(name.to_owned()).or_insert(variable);
            }
            rest = &braced[end + 1..];
        } else {
            let length = name_length(after);
            if length > 0 {
                let name = after[..length].to_owned();
                found.entry(name.clone()).or_insert(Variable { name, ..Variable::default() });
            }
            rest = &after[length..];
        }
    }
}
