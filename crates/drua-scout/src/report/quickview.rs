//! `drua scout quickview`: one screen.

use std::fmt::Write as _;

use super::{Counts, table};
use crate::text::clean;

/// A row: an image and its counts.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct QuickRow {
    /// `Target`, `Base image`, `Refreshed base image`, `Updated base image`.
    pub label: String,
    /// The image's name.
    pub image: String,
    /// Its digest or how sure it is; empty when there is nothing to say.
    pub detail: String,
    /// None while nobody has its SBOM.
    pub counts: Option<Counts>,
}

/// The whole screen.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Quickview {
    /// Target first, then bases and alternatives, which are compared to the base.
    pub rows: Vec<QuickRow>,
    /// Policies: name, and whether it is met; none when data are missing.
    pub policies: Vec<(String, Option<bool>)>,
    /// `B (83%)`.
    pub score: Option<String>,
}

impl Quickview {
    /// The screen as text.
    pub fn text(&self) -> String {
        let mut rows = Vec::new();
        let base = self.rows.get(1).and_then(|row| row.counts);
        for (index, row) in self.rows.iter().enumerate() {
            let counts =
                row.counts.map_or_else(|| "unknown until it is pulled".to_owned(), |counts| counts.to_string());
            rows.push((row.label.clone(), format!("{}  │ {counts}", clean(&row.image, 120))));
            let change = match (index, row.counts, base) {
                (2.., Some(counts), Some(base)) => counts.change_from(&base),
                _ => String::new(),
            };
            if !row.detail.is_empty() || !change.is_empty() {
                rows.push(("  ".to_owned(), format!("{}  │ {change}", clean(&row.detail, 120))));
            }
        }
        align(&mut rows);
        let mut text = table::table("", &rows);
        if !self.policies.is_empty() {
            let met = self.policies.iter().filter(|(_, met)| *met == Some(true)).count();
            let missing = self.policies.iter().filter(|(_, met)| met.is_none()).count();
            let _ = write!(text, "\nPolicies  {met}/{} met", self.policies.len());
            if missing > 0 {
                let _ = write!(text, ", {missing} without data");
            }
            text.push('\n');
            for (name, met) in &self.policies {
                let mark = match met {
                    Some(true) => "✓",
                    Some(false) => "✗",
                    None => "?",
                };
                let _ = writeln!(text, "  {mark} {}", clean(name, 120));
            }
        }
        if let Some(score) = &self.score {
            let _ = write!(text, "\nHealth score  {score}\n");
        }
        text
    }
}

/// Pads what stands before the inner bar.
fn align(rows: &mut [(String, String)]) {
    let left = |value: &str| value.split('│').next().map_or(0, |left| left.chars().count());
    let width = rows.iter().map(|(_, value)| left(value)).max().unwrap_or(0);
    for (_, value) in rows {
        if let Some((left, right)) = value.split_once('│') {
            *value = format!("{left}{}│{right}", " ".repeat(width - left.chars().count()));
        }
    }
}
