//! Where the configuration comes from.

use std::path::{Path, PathBuf};

use drua_lint::{Config, Level, Severity, rules};

use crate::failure::Failure;

/// The configuration, and from where on the command fails.
#[derive(Debug, Default)]
pub(super) struct Settings {
    pub(super) config: Config,
    never_fails: bool,
}

const OURS: &str = ".drua/lint.toml";
const HADOLINT: [&str; 2] = [".hadolint.yaml", ".hadolint.yml"];

impl Settings {
    /// Reads a file, or looks for one from the current folder upwards. Ours wins over hadolint's.
    pub(super) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let here = std::env::current_dir()?;
        Self::load_from(&here, file)
    }

    /// The same for another folder.
    pub(super) fn load_from(folder: &Path, file: Option<&Path>) -> Result<Self, Failure> {
        let mut settings = Self::default();
        if let Some(path) = file {
            settings.read(path)?;
            return Ok(settings);
        }
        for names in [HADOLINT.as_slice(), &[OURS]] {
            if let Some(path) = upwards(folder, names) {
                settings.read(&path)?;
            }
        }
        Ok(settings)
    }

    fn read(&mut self, path: &Path) -> Result<(), Failure> {
        let text = fs_err::read_to_string(path)?;
        let name = path.display().to_string();
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        match is_yaml {
            true => self.config.read_hadolint(&name, &text)?,
            false => self.config.read_toml(&name, &text)?,
        }
        Ok(())
    }

    /// What the command line says, over everything else.
    pub(super) fn apply(&mut self, ignore: &[String], enable: &[String], fail_on: Option<&str>) -> Result<(), Failure> {
        let find = |name: &String| {
            rules::find(name).ok_or_else(|| {
                let failure = Failure::message(format!("there is no rule `{name}`")).with_code(drua_types::exit::USAGE);
                failure.hint("`drua lint --explain all` lists them")
            })
        };
        for name in enable {
            let rule = find(name)?;
            self.config.levels.insert(rule.code.to_owned(), Level::On(rule.severity));
        }
        for name in ignore {
            self.config.off(find(name)?);
        }
        match fail_on {
            None => {}
            Some("never") => self.never_fails = true,
            Some(name) => {
                let severity = Severity::of(name).ok_or_else(|| {
                    let failure = Failure::message(format!("`--fail-on` cannot be `{name}`"));
                    failure.with_code(drua_types::exit::USAGE).hint("error, warning, info, style or never")
                })?;
                self.config.fail_on = Some(severity);
            }
        }
        Ok(())
    }

    /// From where on the command fails; `None` is never.
    pub(super) fn fails_at(&self) -> Option<Severity> {
        (!self.never_fails).then(|| self.config.fail_on.unwrap_or(Severity::Warning))
    }
}

/// The nearest of some files in a folder or above it.
fn upwards(folder: &Path, names: &[&str]) -> Option<PathBuf> {
    folder.ancestors().flat_map(|folder| names.iter().map(move |name| folder.join(name))).find(|path| path.is_file())
}
