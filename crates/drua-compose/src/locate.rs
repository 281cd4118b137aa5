//! From a command line to a project: which file, which folder, which environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use drua_composefile::{DEFAULT_FILES, Disk, LoadError, Loaded, Request, load};
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
}

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
        let files = self.files()?;
        let folder = files.first().and_then(|file| file.parent()).unwrap_or(&self.working_dir);
        let request = Request {
            project_dir: self.project_dir.as_ref().map_or_else(|| folder.to_owned(), |dir| self.absolute(dir)),
            files: files.clone(),
            project_name: self.project_name.clone(),
            env_files: self.env_files.iter().map(|file| self.absolute(file)).collect(),
            profiles: self.profiles.clone(),
            services: self.services.clone(),
            environment: self.environment.clone(),
        };
        Ok(load(&request, &Disk)?)
    }

    /// The project's name as far as it is known without a compose file: what `-p` or the environment says.
    pub fn given_name(&self) -> Option<&str> {
        let from_environment = || self.environment.get("COMPOSE_PROJECT_NAME").map(String::as_str);
        self.project_name.as_deref().or_else(from_environment).filter(|name| !name.is_empty())
    }

    fn files(&self) -> Result<Vec<PathBuf>, ProjectError> {
        if !self.files.is_empty() {
            return Ok(self.files.iter().map(|file| self.absolute(file)).collect());
        }
        if let Some(files) = self.environment.get("COMPOSE_FILE").filter(|files| !files.is_empty()) {
            let separator = self.environment.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
            return Ok(files.split(separator).map(|file| self.absolute(Path::new(file))).collect());
        }
        let found = self
            .working_dir
            .ancestors()
            .find_map(|folder| DEFAULT_FILES.iter().map(|name| folder.join(name)).find(|path| path.is_file()));
        found.map(|file| vec![file]).ok_or_else(|| ProjectError::NotFound(self.working_dir.clone()))
    }

    /// Absolute and without `.` and `..`, since it ends up in labels.
    fn absolute(&self, path: &Path) -> PathBuf {
        drua_composefile::clean_path(&self.working_dir.join(path))
    }
}
