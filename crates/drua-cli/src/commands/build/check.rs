//! `drua build --check`: BuildKit's checks in BuildKit's words, without a daemon.

use drua_dockerfile::excerpt;
use drua_lint::{Build, Text};
use drua_types::exit;

use super::context::Source;
use crate::context::Context;
use crate::failure::{Failure, Outcome};

pub(super) fn run(ctx: &Context, source: &Source) -> Outcome {
    let (name, text) = source.read_dockerfile()?;
    if let Err(error) = drua_dockerfile::Dockerfile::parse(&text) {
        return Err(Failure::message(format!("{error}\n{}", excerpt(&name, &text, error.line, error.last_line))));
    }
    let ignore = source.read_ignore(&name)?;
    let build = Build {
        dockerfile: Text { path: &name, text: &text },
        ignore: ignore.as_deref().map(|text| Text { path: ".dockerignore", text }),
        context: None,
        context_path: ".",
    };
    let found = drua_lint::build_warnings(build);
    let count = found.warnings.len();
    ctx.ui.line(&match count {
        0 => "Check complete, no warnings found.".to_owned(),
        1 => "Check complete, 1 warning has been found!".to_owned(),
        count => format!("Check complete, {count} warnings have been found!"),
    })?;
    for warning in &found.warnings {
        let last = warning.end.line - usize::from(warning.end.column == 1 && warning.end.line > warning.start.line);
        let lines = excerpt(&name, &text, warning.start.line, last);
        let (code, url) = (warning.rule.code, warning.rule.url());
        ctx.ui.line(&format!("\nWARNING: {code} - {url}\n{}\n{lines}", warning.message))?;
    }
    if found.fatal {
        return Err(Failure::message("lint violation found for rules: ".to_owned() + &names(&found)));
    }
    Ok(if count > 0 { exit::FAILURE } else { exit::OK })
}

fn names(found: &drua_lint::BuildWarnings) -> String {
    let mut names: Vec<&str> = found.warnings.iter().map(|warning| warning.rule.code).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
