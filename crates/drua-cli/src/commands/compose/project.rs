use std::path::PathBuf;

use drua_compose::file::{Project, Skip, Tree};
use drua_compose::{ProjectError, ProjectOptions};

use crate::context::Context;
use crate::failure::Failure;

/// Which project
#[derive(Debug, Clone, clap::Args)]
pub(super) struct ProjectArgs {
    /// Compose file [default: compose.yaml here or in a folder above]
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,
    /// Project name [default: the folder's name]
    #[arg(short, long, value_name = "NAME")]
    project_name: Option<String>,
    /// Folder that relative paths are relative to [default: that of the compose file]
    #[arg(long, value_name = "DIR")]
    project_directory: Option<PathBuf>,
    /// Environment file [default: .env]
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Profile to enable
    #[arg(long, value_name = "NAME")]
    profile: Vec<String>,
    /// Include all resources, even those not used by services
    #[arg(long)]
    all_resources: bool,
    #[command(flatten)]
    accepted: Accepted,
}

/// Options of Docker Compose that change nothing here: output adapts to where it goes, and requests run as they can.
#[derive(Debug, Clone, clap::Args)]
struct Accepted {
    /// Control max parallelism (accepted, without effect)
    #[arg(long, value_name = "N", allow_hyphen_values = true, hide = true)]
    parallel: Option<i64>,
    /// Set type of progress output (accepted, without effect)
    #[arg(long, value_name = "TYPE", hide = true)]
    progress: Option<String>,
    /// Control when to print ANSI control characters (accepted, without effect)
    #[arg(long, value_name = "WHEN", hide = true)]
    ansi: Option<String>,
    /// Run compose in backward compatibility mode (accepted, without effect)
    #[arg(long, hide = true)]
    compatibility: bool,
}

impl ProjectArgs {
    /// Loads the project and shows its warnings; naming a service enables its profiles.
    pub(super) fn load(&self, ctx: &Context, services: &[String]) -> Result<Project, Failure> {
        self.load_with(ctx, services, Skip { pruning: self.all_resources, ..Skip::default() })
    }

    /// As [`ProjectArgs::load`], with parts of loading left out.
    pub(super) fn load_with(&self, ctx: &Context, services: &[String], skip: Skip) -> Result<Project, Failure> {
        let loaded = ProjectOptions { skip, ..self.options(services)? }.load()?;
        for warning in &loaded.warnings {
            ctx.ui.warning(&warning.to_string());
        }
        Ok(loaded.project)
    }

    /// The files as one tree, neither interpolated nor normalised.
    pub(super) fn load_tree(&self, skip: Skip) -> Result<Tree, Failure> {
        Ok(ProjectOptions { skip, ..self.options(&[])? }.load_tree()?)
    }

    pub(super) fn all_resources(&self) -> bool {
        self.all_resources
    }

    /// The project's name, and the project if there is a file. With `-p` the engine knows enough without one.
    pub(super) fn load_if_there(
        &self,
        ctx: &Context,
        services: &[String],
    ) -> Result<(String, Option<Project>), Failure> {
        let options = self.options(services)?;
        match options.load() {
            Ok(loaded) => {
                for warning in &loaded.warnings {
                    ctx.ui.warning(&warning.to_string());
                }
                Ok((loaded.project.name.to_string(), Some(loaded.project)))
            }
            Err(ProjectError::NotFound(folder)) => match options.given_name() {
                Some(name) => Ok((name.to_owned(), None)),
                None => Err(ProjectError::NotFound(folder).into()),
            },
            Err(error) => Err(error.into()),
        }
    }

    fn options(&self, services: &[String]) -> Result<ProjectOptions, Failure> {
        // Variables that are not UTF-8 cannot be named in a compose file.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Ok(ProjectOptions {
            files: self.file.clone(),
            project_dir: self.project_directory.clone(),
            project_name: self.project_name.clone(),
            env_files: self.env_file.clone(),
            profiles: self.profile.clone(),
            services: services.to_vec(),
            working_dir: std::env::current_dir()?,
            environment: environment.collect(),
            skip: Skip { pruning: self.all_resources, ..Skip::default() },
        })
    }
}
