//! The lines around an error, as BuildKit shows them.

/// The lines `first` to `last` of a source with two more on each side, numbered, the lines themselves marked.
///
/// ```text
/// Dockerfile:3
/// --------------------
///    1 |     FROM busybox
///    2 |
///    3 | >>> RUN false
///    4 |     CMD ["sh"]
/// --------------------
/// ```
pub fn excerpt(name: &str, source: &str, first: usize, last: usize) -> String {
    const AROUND: usize = 2;
    const LONGEST: usize = 40;
    let rule = "-".repeat(20);
    let mut text = format!("{name}:{first}\n{rule}\n");
    let last = last.max(first).min(first + LONGEST);
    let shown = first.saturating_sub(AROUND).max(1)..=last + AROUND;
    for (number, line) in source.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        if shown.contains(&number) {
            let mark = if (first..=last).contains(&number) { ">>>" } else { "   " };
            let line: String = line.chars().filter(|c| !c.is_control() || *c == '\t').take(400).collect();
            text.push_str(format!("{number:>4} | {mark} {line}").trim_end());
            text.push('\n');
        }
    }
    text.push_str(&rule);
    text.push('\n');
    text
}
