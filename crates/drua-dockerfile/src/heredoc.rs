//! `<<WORD`: files in a Dockerfile.

use crate::expand::Expander;
use crate::span::Span;

/// A heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word that ends it, without quotes; also the file's name in COPY and ADD.
    pub name: String,
    /// The number before `<<`.
    pub fd: Option<u32>,
    /// Whether variables are expanded: the word has no quotes.
    pub expand: bool,
    /// `<<-`: leading tabs are removed.
    pub strip_tabs: bool,
    /// The content as written, line ends and tabs included.
    pub content: String,
    /// Where the content stands.
    pub span: Span,
}

impl Heredoc {
    /// The content, without leading tabs after `<<-`.
    pub fn stripped(&self) -> String {
        match self.strip_tabs {
            true => self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect(),
            false => self.content.clone(),
        }
    }
}

/// Reads one word as the start of a heredoc; `None` when it is none.
pub(crate) fn opening(word: &str) -> Option<Heredoc> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = word[digits..].strip_prefix("<<")?;
    let (strip_tabs, rest) = rest.strip_prefix('-').map_or((false, rest), |rest| (true, rest));
    let rest = rest.trim_start();
    if rest.is_empty() || rest.contains('<') {
        return None;
    }
    let unset = |_: &str| None;
    let lexer = Expander { skip_unset: true, ..Expander::new('\\') };
    let words = lexer.expand(rest, &unset).ok()?.words;
    let [name] = words.as_slice() else { return None };
    let raw = Expander { raw_quotes: true, ..lexer }.expand(rest, &unset).ok()?.words;
    let quotes = |text: &str| text.matches(['\'', '"']).count();
    let expand = raw.first().is_some_and(|raw| quotes(raw) == quotes(name));
    let fd = word[..digits].parse().ok();
    Some(Heredoc { name: name.clone(), fd, expand, strip_tabs, content: String::new(), span: Span::default() })
}

/// The heredocs that a logical line opens, in order.
pub(crate) fn openings(line: &str) -> Vec<Heredoc> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let lexer = Expander { raw_quotes: true, raw_escapes: true, skip_unset: true, ..Expander::new('\\') };
    // A line that is no proper sequence of words opens none: its shell will say what is wrong with it.
    let words = lexer.expand(line, &|_| None).map(|expanded| expanded.words).unwrap_or_default();
    words.iter().filter_map(|word| opening(word)).collect()
}
