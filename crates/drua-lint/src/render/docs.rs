//! The reference of rules, made of the table.

use crate::report::Safety;
use crate::rules::{self, Family, Rule};
use std::fmt::Write as _;

/// The rules as Markdown: a table of each family, then every rule at length.
pub fn reference() -> String {
    let mut text = String::new();
    for family in Family::ALL {
        let of_family: Vec<&Rule> = rules::all().filter(|rule| rule.family == family).collect();
        let _ =
            writeln!(text, "## {}\n\n| rule | severity | mended | what it wants |\n|---|---|---|---|", family.title());
        for rule in &of_family {
            let name = if rule.name == rule.code { String::new() } else { format!(" {}", rule.name) };
            let off = if rule.on { "" } else { ", off" };
            let fix = match rule.fix {
                None => "",
                Some(Safety::Safe) => "`--fix`",
                Some(Safety::Unsafe) => "`--unsafe-fix`",
            };
            let summary = rule.summary.replace('|', "\\|");
            let (code, anchor, severity) = (rule.code, rule.anchor(), rule.severity.name());
            let _ = writeln!(text, "| [{code}](#{anchor}){name} | {severity}{off} | {fix} | {summary} |");
        }
        text.push('\n');
        for rule in of_family {
            text.push_str(&one(rule));
        }
    }
    text
}

fn one(rule: &Rule) -> String {
    let name = if rule.name == rule.code { String::new() } else { format!(" {}", rule.name) };
    let also = match rule.aliases {
        [] => String::new(),
        aliases => format!(" Also known as {}.", aliases.join(", ")),
    };
    let fence = if rule.bad.contains("```") { "````" } else { "```" };
    let language = if rule.family == Family::Compose { "yaml" } else { "dockerfile" };
    format!(
        "### {}{name}\n\n{}. {}{also}\n\nWrong:\n\n{fence}{language}\n{}{fence}\n\nRight:\n\n{fence}{language}\n{}{fence}\n\n",
        rule.code,
        rule.summary.trim_end_matches('.'),
        rule.why,
        rule.bad,
        rule.good
    )
}
