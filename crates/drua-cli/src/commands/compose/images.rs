//! `build`, `pull`, `push` and `images`.

use std::collections::BTreeMap;

use drua_compose::{BuildOptions, PullOptions, build, ps, pull, push};
use drua_types::exit;

use super::project::ProjectArgs;
use super::report::Report;
use crate::context::Context;
use crate::failure::Outcome;
use crate::format::{Format, Listing, Row};
use crate::ui::{decimal_size, since_unix};

/// Build or rebuild services
#[derive(Debug, clap::Args)]
pub(super) struct BuildCommand {
    /// Set build-time variables for services
    #[arg(long, value_name = "NAME=VALUE")]
    build_arg: Vec<String>,
    /// Do not use cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Always attempt to pull a newer version of the image
    #[arg(long)]
    pull: bool,
    /// Push service images
    #[arg(long)]
    push: bool,
    /// Suppress the build output
    #[arg(short, long)]
    quiet: bool,
    /// Also build dependencies (transitively)
    #[arg(long)]
    with_dependencies: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl BuildCommand {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let project = args.load(ctx, &self.services)?;
        let mut services = self.services.clone();
        if self.with_dependencies && !services.is_empty() {
            let mut kept = project.clone();
            drua_compose::keep_services(&mut kept, &services);
            services = kept.services.keys().map(ToString::to_string).collect();
        }
        let arguments = self.build_arg.iter().map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), std::env::var(text).ok()),
        });
        let options = BuildOptions {
            services,
            no_cache: self.no_cache,
            pull: self.pull,
            args: arguments.collect::<BTreeMap<_, _>>(),
        };
        let report = Report::new(&ctx.ui).quiet(self.quiet);
        let client = ctx.client().await?;
        build(&client, &project, &options, &report).await?;
        if self.push {
            push(&client, &project, &self.services, false, &report).await?;
        }
        Ok(exit::OK)
    }
}

/// Pull service images
#[derive(Debug, clap::Args)]
pub(super) struct Pull {
    /// Ignore images that can be built
    #[arg(long)]
    ignore_buildable: bool,
    /// Pull what it can and ignores images with pull failures
    #[arg(long)]
    ignore_pull_failures: bool,
    /// Also pull services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Apply pull policy: missing or always
    #[arg(long, value_name = "POLICY")]
    policy: Option<String>,
    /// Pull without printing progress information
    #[arg(short, long)]
    quiet: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Pull {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let project = args.load(ctx, &self.services)?;
        let options = PullOptions {
            services: self.services,
            include_dependencies: self.include_deps,
            ignore_buildable: self.ignore_buildable,
            ignore_failures: self.ignore_pull_failures,
            only_missing: self.policy.as_deref() == Some("missing"),
        };
        pull(&ctx.client().await?, &project, &options, &Report::new(&ctx.ui).quiet(self.quiet)).await?;
        Ok(exit::OK)
    }
}

/// Push service images
#[derive(Debug, clap::Args)]
pub(super) struct Push {
    /// Push what it can and ignores images with push failures
    #[arg(long)]
    ignore_push_failures: bool,
    /// Also push images of services declared as dependencies
    #[arg(long)]
    include_deps: bool,
    /// Push without printing progress information
    #[arg(short, long)]
    quiet: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Push {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let project = args.load(ctx, &self.services)?;
        let mut services = self.services;
        if self.include_deps && !services.is_empty() {
            let mut kept = project.clone();
            drua_compose::keep_services(&mut kept, &services);
            services = kept.services.keys().map(ToString::to_string).collect();
        }
        let report = Report::new(&ctx.ui).quiet(self.quiet);
        let client = ctx.client().await?;
        push(&client, &project, &services, self.ignore_push_failures, &report).await?;
        Ok(exit::OK)
    }
}

/// List images used by the created containers
#[derive(Debug, clap::Args)]
pub(super) struct Images {
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only display IDs
    #[arg(short, long)]
    quiet: bool,
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

const LISTING: Listing = Listing {
    headings: &[
        ("ContainerName", "CONTAINER"),
        ("Repository", "REPOSITORY"),
        ("Tag", "TAG"),
        ("Platform", "PLATFORM"),
        ("ID", "IMAGE ID"),
        ("Size", "SIZE"),
        ("Created", "CREATED"),
    ],
    default: "{{.ContainerName}}\t{{.Repository}}\t{{.Tag}}\t{{.Platform}}\t{{.ID}}\t{{.Size}}\t{{.Created}}",
};

impl Images {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (name, _) = args.load_if_there(ctx, &self.services)?;
        let client = ctx.client().await?;
        let format = if self.quiet && self.format.is_none() { Some("{{.ID}}") } else { self.format.as_deref() };
        let format = Format::parse(format, LISTING.default)?;
        let mut rows = Vec::new();
        for container in ps(&client, &name, &self.services, true).await? {
            let id = container.summary.image_id.clone().unwrap_or_default();
            let image = client.image_inspect(&id).await?;
            let written = container.summary.image.clone().unwrap_or_default();
            let reference = written.parse::<drua_types::ImageRef>().ok();
            let platform = [&image.os, &image.architecture, &image.variant].into_iter().flatten();
            let platform: Vec<&str> = platform.map(String::as_str).filter(|part| !part.is_empty()).collect();
            let short = id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
            let created = image.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
            rows.push(
                Row::new()
                    .with("ContainerName", container.name.as_str())
                    .with(
                        "Repository",
                        reference.as_ref().map_or(written.clone(), drua_types::ImageRef::familiar_repository),
                    )
                    .with("Tag", reference.as_ref().and_then(|reference| reference.tag()).unwrap_or("latest"))
                    .with("Platform", platform.join("/"))
                    .with("ID", if self.quiet { id.as_str() } else { short.as_str() })
                    .with("Size", decimal_size(image.size.unwrap_or_default(), 3))
                    .with(
                        "Created",
                        created.map_or_else(|| "N/A".to_owned(), |created| since_unix(created.as_second())),
                    ),
            );
        }
        ctx.ui.data(LISTING.render(&rows, &format)?.as_bytes())?;
        Ok(exit::OK)
    }
}
