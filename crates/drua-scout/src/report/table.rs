//! Scout's two-column tables.

/// Rows of a label and a value, with a rule under the heading.
///
/// ```text
///                     │ Analyzed image
/// ────────────────────┼─────────────────
///   Target            │ alpine:3.20
/// ```
pub(super) fn table(heading: &str, rows: &[(String, String)]) -> String {
    let width = |text: &str| text.chars().count();
    let left = rows.iter().map(|(label, _)| width(label)).max().unwrap_or(0) + 3;
    let right = rows.iter().map(|(_, value)| width(value)).chain([width(heading)]).max().unwrap_or(0) + 2;
    let pad = |text: &str, to: usize| format!("{text}{}", " ".repeat(to.saturating_sub(width(text))));
    let mut text = format!("{}│ {heading}\n{}┼{}\n", " ".repeat(left), "─".repeat(left), "─".repeat(right));
    for (label, value) in rows {
        let line = format!("{}│ {value}", pad(&format!("  {label}"), left));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
