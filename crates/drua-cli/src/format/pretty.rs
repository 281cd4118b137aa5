/// Indents JSON by four spaces and changes nothing else, as `docker inspect` shows what the daemon wrote; the first line
/// is not indented. Compacts with [`Style::Compact`].
pub(crate) fn restyle(raw: &str, style: Style) -> String {
    let mut out = String::with_capacity(raw.len() * 2);
    let mut depth = match style {
        Style::Indented { depth } => depth,
        Style::Compact => 0,
    };
    let new_line = |out: &mut String, depth: usize| {
        if style != Style::Compact {
            out.push('\n');
            out.extend(std::iter::repeat_n("    ", depth));
        }
    };
    let mut chars = raw.chars().filter_in_strings();
    while let Some((c, in_string)) = chars.next() {
        if in_string {
            out.push(c);
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                // An empty container stays on one line.
                if let Some(close @ ('}' | ']')) = chars.peek() {
                    out.push(close);
                    chars.next();
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, depth);
            }
            ':' if style != Style::Compact => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

/// How JSON is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// On one line, without spaces.
    Compact,
    /// On several lines, this deep in.
    Indented {
        /// How many levels there are around it.
        depth: usize,
    },
}

/// Characters with the knowledge of whether they belong to a string; white space outside of strings is left out.
struct Tokens<I: Iterator<Item = char>> {
    chars: std::iter::Peekable<I>,
    in_string: bool,
    escaped: bool,
}

trait FilterInStrings: Iterator<Item = char> + Sized {
    fn filter_in_strings(self) -> Tokens<Self> {
        Tokens { chars: self.peekable(), in_string: false, escaped: false }
    }
}

impl<I: Iterator<Item = char>> FilterInStrings for I {}

impl<I: Iterator<Item = char>> Tokens<I> {
    /// The next character outside of strings.
    fn peek(&mut self) -> Option<char> {
        while self.chars.next_if(char::is_ascii_whitespace).is_some() {}
        self.chars.peek().copied()
    }

    fn next(&mut self) -> Option<(char, bool)> {
        if !self.in_string {
            self.peek();
        }
        let c = self.chars.next()?;
        let was_in_string = self.in_string;
        match c {
            _ if self.escaped => self.escaped = false,
            '\\' if self.in_string => self.escaped = true,
            '"' => self.in_string = !self.in_string,
            _ => {}
        }
        Some((c, was_in_string || c == '"'))
    }
}
