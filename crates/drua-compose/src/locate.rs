//! From a command line to a project: which file, which folder, which environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drua_composefile::{
    DEFAULT_FILES, Disk, LoadError, Loaded, Loader as _, OVERRIDE_FILES, Request, Skip, Tree, load, load_tree,
    parse_env_file,
};
use drua_types::{Classify, ErrorKind, Hint};

/// What the options of `drua compose` say about the project. Everything is optional.
#[derive(Debug, Clone, Default)]
pub struct ProjectOptions {
    /// `-f`; `COMPOSE_FILE`, else a search in the working directory and its parents, when empty.
    pub files: Vec<PathBuf>,
    /// `--project-directory`; the folder of the first file when absent.
    pub project_dir: Option<PathBuf>,
    /// `-p`.
    pub project_name: Option<String>,
    /// `--env-file`.
    pub env_files: Vec<PathBuf>,
    /// `--profile`.
    pub profiles: Vec<String>,
    /// Services named on the command line; their profiles are enabled.
    pub services: Vec<String>,
    /// What relative paths are relative to; absolute.
    pub working_dir: PathBuf,
    /// The process environment.
    pub environment: BTreeMap<String, String>,
    /// What loading leaves out.
    pub skip: Skip,
}

/// The file that `-f -` means.
const STDIN: &str = "/dev/stdin";

/// The project cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no compose file.
    #[error("no compose file in `{0}` or a folder above it")]
    NotFound(PathBuf),
    /// The file is wrong.
    #[error(transparent)]
    Load(#[from] LoadError),
}

impl Classify for ProjectError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Load(error) => error.kind(),
        }
    }
}

impl Hint for ProjectError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound(_) => vec!["create a `compose.yaml`, or name a file with `-f`".to_owned()],
            // Its diagnostics carry their own.
            Self::Load(_) => Vec::new(),
        }
    }
}

impl ProjectOptions {
    /// Finds and loads the project.
    ///
    /// # Errors
    /// [`ProjectError::NotFound`] when there is no file, [`ProjectError::Load`] with every mistake in it.
    pub fn load(&self) -> Result<Loaded, ProjectError> {
        Ok(load(&self.request()?, &Disk)?)
    }

    /// The files as one tree, neither interpolated nor normalised.
    ///
    /// # Errors
    /// As [`ProjectOptions::load`].
    pub fn load_tree(&self) -> Result<Tree, ProjectError> {
        Ok(load_tree(&self.request()?, &Disk)?)
    }

    fn request(&self) -> Result<Request, ProjectError> {
        let environment_files: Vec<PathBuf> = match self.environment.get("COMPOSE_ENV_FILES") {
            Some(files) if self.env_files.is_empty() => {
                files.split(',').filter(|file| !file.is_empty()).map(PathBuf::from).collect()
            }
            Some(_) | None => self.env_files.clone(),
        };
        let environment_files: Vec<PathBuf> = environment_files.iter().map(|file| self.absolute(file)).collect();
        // `.env` may say which files, and where.
        let early = self.early_environment(&environment_files);
        let files = self.files(&early)?;
        let given = self.project_dir.clone().or_else(|| early("COMPOSE_PROJECT_DIRECTORY").map(PathBuf::from));
        let folder = files.first().filter(|file| *file != Path::new(STDIN)).and_then(|file| file.parent());
        let project_dir =
            given.map_or_else(|| folder.unwrap_or(&self.working_dir).to_owned(), |dir| self.absolute(&dir));
        Ok(Request {
            project_dir,
            files,
            project_name: self.project_name.clone(),
            env_files: environment_files,
            profiles: self.profiles.clone(),
            services: self.services.clone(),
            environment: self.environment.clone(),
            skip: self.skip,
        })
    }

    /// Variables that are needed to find the files: the process environment over `.env`.
    fn early_environment(&self, env_files: &[PathBuf]) -> impl Fn(&str) -> Option<String> + use<> {
        let folder = self.project_dir.as_ref().map_or_else(|| self.working_dir.clone(), |dir| self.absolute(dir));
        let default = [folder.join(".env")];
        let files = if env_files.is_empty() { &default[..] } else { env_files };
        let texts =
            files.iter().filter_map(|file| Disk.read(file).ok()).filter_map(|bytes| String::from_utf8(bytes).ok());
        let values: Vec<BTreeMap<String, String>> =
            texts.map(|text| parse_env_file(&text, &self.environment)).collect();
        let process = self.environment.clone();
        move |name| {
            let in_files = || values.iter().rev().find_map(|values| values.get(name)).cloned();
            process.get(name).cloned().or_else(in_files).filter(|value| !value.is_empty())
        }
    }

    /// The project's name as far as it is known without a compose file: what `-p` or the environment says.
    pub fn given_name(&self) -> Option<&str> {
        let from_environment = || self.environment.get("COMPOSE_PROJECT_NAME").map(String::as_str);
        self.project_name.as_deref().or_else(from_environment).filter(|name| !name.is_empty())
    }

    fn files(&self, early: &dyn Fn(&str) -> Option<String>) -> Result<Vec<PathBuf>, ProjectError> {
        if !self.files.is_empty() {
            return Ok(self.files.iter().map(|file| self.absolute(file)).collect());
        }
        if let Some(files) = early("COMPOSE_FILE") {
            let separator = early("COMPOSE_PATH_SEPARATOR").unwrap_or_else(|| ":".to_owned());
            return Ok(files.split(&separator).map(|file| self.absolute(Path::new(file))).collect());
        }
        let start = self.project_dir.as_ref().map_or_else(|| self.working_dir.clone(), |dir| self.absolute(dir));
        let first =
            |folder: &Path, names: &[&str]| names.iter().map(|name| folder.join(name)).find(|path| path.is_file());
        let found = start.ancestors().find_map(|folder| Some((folder, first(folder, &DEFAULT_FILES)?)));
        let Some((folder, file)) = found else { return Err(ProjectError::NotFound(start)) };
        let mut files = vec![file];
        files.extend(first(folder, &OVERRIDE_FILES));
        Ok(files)
    }

    /// Absolute and without `.` and `..`, since it ends up in labels.
    fn absolute(&self, path: &Path) -> PathBuf {
        if path == Path::new("-") {
            return PathBuf::from(STDIN);
        }
        drua_composefile::clean_path(&self.working_dir.join(path))
    }
}
