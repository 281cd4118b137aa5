//! What instructions add to an image, by what is known without building it.
//!
//! Base images have the size that the local engine knows; COPY and ADD that of the context's files; package managers a rough
//! figure per package. What is not known is left out.

use drua_dockerfile::{Glob, Kind, Source};

use crate::input::Input;
use crate::report::Estimate;
use crate::unit::{Base, View};

/// Installed bytes of packages that are much larger than others, dependencies included; measured on Debian 13.
const PACKAGES: &[(&str, u64)] = &[
    ("build-essential", 290_000_000),
    ("build-base", 200_000_000),
    ("gcc", 150_000_000),
    ("g++", 210_000_000),
    ("clang", 600_000_000),
    ("cmake", 60_000_000),
    ("default-jdk", 400_000_000),
    ("maven", 330_000_000),
    ("golang-go", 270_000_000),
    ("cargo", 700_000_000),
    ("python3", 32_000_000),
    ("python3-pip", 300_000_000),
    ("nodejs", 130_000_000),
    ("npm", 190_000_000),
    ("git", 100_000_000),
    ("ffmpeg", 420_000_000),
    ("chromium", 380_000_000),
    ("imagemagick", 130_000_000),
    ("postgresql-client", 55_000_000),
    ("curl", 10_000_000),
    ("wget", 5_000_000),
    ("vim", 40_000_000),
    ("ca-certificates", 1_000_000),
];
/// Any other package.
const OTHER_PACKAGE: u64 = 3_000_000;
/// Lists of Debian's packages, which `apt-get update` leaves.
const APT_LISTS: u64 = 20_000_000;

/// The estimates for the last stage of each Dockerfile and what it stands on.
pub(crate) fn estimates(views: &[View<'_>], input: &Input<'_>) -> Vec<Estimate> {
    let mut estimates = Vec::new();
    for view in views.iter().filter(|view| view.unit.errors.is_empty()) {
        let Some(last) = view.last() else { continue };
        let file = view.unit.build.dockerfile.path;
        let mut add = |offset: usize, what: &str, bytes: u64, from: &'static str| {
            let line = view.unit.index.position(offset).line;
            let what: String = what.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(60).collect();
            estimates.push(Estimate { file: file.to_owned(), line, what, bytes, from });
        };
        let bottom = view.chain(last).last();
        if let Some((stage, Base::Image(image))) = bottom.map(|stage| (stage, &stage.base)) {
            let known = input.images.iter().find(|known| known.name == image.text).and_then(|known| known.size);
            if let Some(size) = known {
                add(stage.stage.instruction.span.start, &stage.stage.instruction.text, size, "the image that is here");
            }
        }
        for step in view.inherited_steps(last) {
            let (at, text) = (step.instruction.span.start, step.instruction.text.as_str());
            match &step.instruction.kind {
                Kind::Copy(copy) | Kind::Add(copy) if copy.from.is_none() => {
                    if let Some(bytes) = copied(view, &copy.sources) {
                        add(at, text, bytes, "files of the context");
                    }
                }
                Kind::Run(_) => {
                    if let Some(bytes) = installed(step) {
                        add(at, text, bytes, "packages, roughly");
                    }
                }
                _ => {}
            }
        }
    }
    estimates
}

fn copied(view: &View<'_>, sources: &[Source]) -> Option<u64> {
    let files = view.unit.build.context?;
    let ignored = |path: &str| view.unit.ignore.as_ref().is_some_and(|ignore| ignore.matches(path));
    let mut total = 0;
    for source in sources {
        let Source::Path(word) = source else { continue };
        if word.text.contains('$') || word.text.contains("://") {
            return None;
        }
        let clean = crate::compose::join(".", word.text.trim_matches('"').trim_start_matches('/'));
        let glob = Glob::new(&clean).ok().filter(|_| Glob::is_pattern(&clean));
        let meant = |path: &str| match &glob {
            Some(glob) => glob.matches(path) || path.split_once('/').is_some_and(|(first, _)| glob.matches(first)),
            None => {
                clean == "." || path == clean || path.strip_prefix(&clean).is_some_and(|rest| rest.starts_with('/'))
            }
        };
        total +=
            files.iter().filter(|file| meant(&file.path) && !ignored(&file.path)).map(|file| file.size).sum::<u64>();
    }
    Some(total)
}

fn installed(step: &crate::unit::Step<'_>) -> Option<u64> {
    let script = step.script.as_ref()?;
    let commands = script.list.commands();
    let mut total = 0;
    for command in &commands {
        let verb = match command.name() {
            "apt-get" | "apt" | "yum" | "dnf" | "microdnf" => "install",
            "apk" => "add",
            _ => continue,
        };
        let operands = command.operands(&["-t", "-o", "--virtual", "-c"]);
        if operands.first().is_some_and(|word| word.text == verb) {
            let size = |name: &str| {
                let name = name.split(['=', '~', '<', '>']).next().unwrap_or(name);
                PACKAGES.iter().find(|(known, _)| *known == name).map_or(OTHER_PACKAGE, |(_, bytes)| *bytes)
            };
            total += operands[1..].iter().map(|word| size(&word.text)).sum::<u64>();
        }
    }
    let updates = commands.iter().any(|command| command.name() == "apt-get" && command.has("update"));
    let cleans = commands
        .iter()
        .any(|command| command.name() == "rm" && command.texts().iter().any(|text| text.starts_with("/var/lib/apt")));
    total += if updates && !cleans { APT_LISTS } else { 0 };
    (total > 0).then_some(total)
}
