use std::fmt::Write as _;
use std::path::PathBuf;

use drua_compose::file::{Skip, Tree, to_yaml, variables};
use drua_types::exit;

use super::project::ProjectArgs;
use crate::context::Context;
use crate::failure::Outcome;

/// Parse, resolve and render compose file in canonical format
#[derive(Debug, clap::Args)]
pub(super) struct Config {
    /// Format the output: yaml or json
    #[arg(long, value_enum, value_name = "FORMAT")]
    format: Option<ConfigFormat>,
    /// Only check, don't print anything
    #[arg(short, long)]
    quiet: bool,
    /// Save to file [default: stdout]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print the service names, one per line
    #[arg(long)]
    services: bool,
    /// Print the volume names, one per line
    #[arg(long)]
    volumes: bool,
    /// Print the network names, one per line
    #[arg(long)]
    networks: bool,
    /// Print the model names, one per line
    #[arg(long)]
    models: bool,
    /// Print the profile names, one per line
    #[arg(long)]
    profiles: bool,
    /// Print the image names, one per line
    #[arg(long)]
    images: bool,
    /// Print the service config hash, one per line: of these services, separated by commas, or of all (`*`)
    #[arg(long, value_name = "SERVICES")]
    hash: Option<String>,
    /// Print model variables and default values
    #[arg(long)]
    variables: bool,
    /// Print environment used for interpolation
    #[arg(long)]
    environment: bool,
    /// Don't interpolate environment variables
    #[arg(long)]
    no_interpolate: bool,
    /// Don't check model consistency
    #[arg(long)]
    no_consistency: bool,
    /// Don't normalize compose model
    #[arg(long)]
    no_normalize: bool,
    /// Don't resolve file paths
    #[arg(long)]
    no_path_resolution: bool,
    /// Don't resolve service env files
    #[arg(long)]
    no_env_resolution: bool,
    /// Pin image tags to digests, as the engine has them
    #[arg(long)]
    resolve_image_digests: bool,
    /// Produces an override file with image digests
    #[arg(long)]
    lock_image_digests: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    names: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ConfigFormat {
    Yaml,
    Json,
}

impl Config {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let skip = Skip {
            interpolation: self.no_interpolate || self.variables,
            path_resolution: self.no_path_resolution,
            env_resolution: self.no_env_resolution,
            consistency: self.no_consistency,
            pruning: args.all_resources(),
        };
        if self.variables {
            return self.print_variables(ctx, &args.load_tree(skip)?);
        }
        if self.no_interpolate || self.no_normalize {
            let tree = args.load_tree(skip)?;
            let text = match self.format {
                Some(ConfigFormat::Json) => drua_compose::file::json(&tree),
                Some(ConfigFormat::Yaml) | None => to_yaml(&tree),
            };
            return self.print(ctx, &text);
        }
        let mut project = args.load_with(ctx, &self.names, skip)?;
        if !self.names.is_empty() {
            drua_compose::keep_services(&mut project, &self.names);
        }
        let lines = |lines: Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        if self.services {
            return self.print(ctx, &lines(drua_compose::in_order(&project)));
        }
        if self.volumes {
            return self.print(ctx, &lines(project.volumes.keys().cloned().collect()));
        }
        if self.networks {
            return self.print(ctx, &lines(project.networks.keys().cloned().collect()));
        }
        if self.models {
            return self.print(ctx, &lines(project.models.values().map(|model| model.model.clone()).collect()));
        }
        if self.profiles {
            let all = project.services.values().chain(project.disabled.values());
            let names: std::collections::BTreeSet<String> = all.flat_map(|service| service.profiles.clone()).collect();
            return self.print(ctx, &lines(names.into_iter().collect()));
        }
        if self.images {
            let images = project.services.iter().map(|(name, service)| service.image_name(&project.name, name));
            return self.print(ctx, &lines(images.collect()));
        }
        if self.environment {
            let variables = project.environment.iter().map(|(name, value)| format!("{name}={value}"));
            return self.print(ctx, &lines(variables.collect()));
        }
        if let Some(wanted) = &self.hash {
            let wanted: Vec<&str> = wanted.split(',').collect();
            let chosen = project.services.iter().filter(|(name, _)| wanted == ["*"] || wanted.contains(&name.as_str()));
            let hashes = chosen.map(|(name, service)| format!("{name} {}", drua_compose::config_hash(service)));
            return self.print(ctx, &lines(hashes.collect()));
        }
        if self.resolve_image_digests || self.lock_image_digests {
            drua_compose::pin_images(&ctx.client().await?, &mut project).await?;
        }
        if self.lock_image_digests {
            let pins = project.services.iter().filter_map(|(name, service)| {
                Some((name.to_string(), Tree::Map(vec![("image".to_owned(), Tree::Text(service.image.clone()?))])))
            });
            return self.print(ctx, &to_yaml(&Tree::Map(vec![("services".to_owned(), Tree::Map(pins.collect()))])));
        }
        let text = match self.format {
            Some(ConfigFormat::Json) => project.to_json(),
            Some(ConfigFormat::Yaml) | None => project.to_yaml(),
        };
        self.print(ctx, &text)
    }

    fn print(&self, ctx: &Context, text: &str) -> Outcome {
        if self.quiet {
            return Ok(exit::OK);
        }
        match &self.output {
            Some(path) => fs_err::write(path, text)?,
            None => ctx.ui.data(text.as_bytes())?,
        }
        Ok(exit::OK)
    }

    fn print_variables(&self, ctx: &Context, tree: &Tree) -> Outcome {
        let mut rows = vec![["NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE"].map(str::to_owned)];
        rows.extend(
            variables(tree)
                .into_iter()
                .map(|variable| [variable.name, variable.required.to_string(), variable.default, variable.alternate]),
        );
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
        let widths = [width(0), width(1), width(2)];
        let mut text = String::new();
        for row in &rows {
            for (cell, width) in row.iter().zip(widths) {
                let _ = write!(text, "{cell:<width$}   ");
            }
            text.push_str(&row[3]);
            text.push('\n');
        }
        self.print(ctx, &text)
    }
}
