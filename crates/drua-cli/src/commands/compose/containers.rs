//! Verbs on single containers of a project: `top`, `stats`, `attach`, `export`, `commit`, `cp`, `wait`, `pause`, `unpause`.

use std::path::PathBuf;

use drua_api::client::{CommitOptions, PutArchive, RequestBody, WaitCondition};
use drua_compose::{ProjectContainer, ps};
use drua_types::exit;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::exec::container_of;
use super::project::ProjectArgs;
use crate::commands::{attach, stats, top};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

async fn chosen(
    ctx: &Context,
    args: &ProjectArgs,
    services: &[String],
    all: bool,
) -> Result<(drua_api::Client, Vec<ProjectContainer>), Failure> {
    let (name, _) = args.load_if_there(ctx, services)?;
    let client = ctx.client().await?;
    let containers = ps(&client, &name, services, all).await?;
    Ok((client, containers))
}

/// Display the running processes
#[derive(Debug, clap::Args)]
pub(super) struct Top {
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Top {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (client, containers) = chosen(ctx, args, &self.services, false).await?;
        for container in containers {
            let top = client.container_top(&container.name, None).await?;
            ctx.ui.line(&container.name)?;
            let rows = std::iter::once(top.titles.unwrap_or_default()).chain(top.processes.unwrap_or_default());
            ctx.ui.line(&top::render(&rows.collect::<Vec<_>>()))?;
        }
        Ok(exit::OK)
    }
}

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
pub(super) struct Stats {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Format output: table, json, 'table TEMPLATE', or a Go template
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Service [default: all]
    service: Option<String>,
}

impl Stats {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let services: Vec<String> = self.service.into_iter().collect();
        let (_, containers) = chosen(ctx, args, &services, self.all).await?;
        if containers.is_empty() {
            return Ok(exit::OK);
        }
        let containers = containers.into_iter().map(|container| container.name).collect();
        stats::Stats::of(containers, self.format, self.no_stream, self.no_trunc).run(ctx).await
    }
}

/// Attach local standard input, output, and error streams to a service's running container
#[derive(Debug, clap::Args)]
pub(super) struct Attach {
    /// Key sequence that detaches
    #[arg(long, value_name = "KEYS", default_value = crate::session::DetachKeys::DEFAULT)]
    detach_keys: String,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// Do not attach stdin
    #[arg(long)]
    no_stdin: bool,
    /// Pass received signals on to the process
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    sig_proxy: bool,
    /// Service
    service: String,
}

impl Attach {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (_, container) = container_of(ctx, args, &self.service, self.index).await?;
        attach::Attach::to(container, self.no_stdin, self.sig_proxy, self.detach_keys).run(ctx).await
    }
}

/// Export a service container's filesystem as a tar archive
#[derive(Debug, clap::Args)]
pub(super) struct Export {
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// Write to a file, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Service
    service: String,
}

impl Export {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (client, container) = container_of(ctx, args, &self.service, self.index).await?;
        let archive = client.container_export(&container).await?;
        crate::commands::save::write_archive(ctx, archive, self.output.as_deref(), "exporting").await?;
        Ok(exit::OK)
    }
}

/// Create a new image from a service container's changes
#[derive(Debug, clap::Args)]
pub(super) struct Commit {
    /// Author
    #[arg(short, long, value_name = "NAME")]
    author: Option<String>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// Commit message
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Pause container during commit
    #[arg(short, long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pause: bool,
    /// Service
    service: String,
    /// The image's name
    #[arg(value_name = "REPOSITORY[:TAG]")]
    image: Option<String>,
}

impl Commit {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (client, container) = container_of(ctx, args, &self.service, self.index).await?;
        let options = CommitOptions {
            image: self.image,
            author: self.author.unwrap_or_default(),
            comment: self.message.unwrap_or_default(),
            changes: self.change,
            pause: self.pause,
        };
        let id = client.container_commit(&container, &options).await?;
        ctx.ui.line(&id)?;
        Ok(exit::OK)
    }
}

/// Block until containers of all (or specified) services stop
#[derive(Debug, clap::Args)]
pub(super) struct Wait {
    /// Drops project when the first container stops
    #[arg(long)]
    down_project: bool,
    /// Services
    #[arg(value_name = "SERVICE", required = true)]
    services: Vec<String>,
}

impl Wait {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let (name, project) = args.load_if_there(ctx, &self.services)?;
        let client = ctx.client().await?;
        let containers = ps(&client, &name, &self.services, true).await?;
        if containers.is_empty() {
            return Err(Failure::message("no containers for project \"".to_owned() + &name + "\""));
        }
        let mut waits: FuturesUnordered<_> = containers
            .iter()
            .map(|container| async {
                let mut waiter = client.container_wait(&container.name, WaitCondition::NotRunning).await?;
                Ok::<_, Failure>((&container.name, waiter.exit().await?.map_or(0, |exit| exit.status_code)))
            })
            .collect();
        let mut code = 0;
        while let Some(ended) = waits.next().await {
            let (name, status) = ended?;
            ctx.ui.line(&format!("container {name} exited with code {status}"))?;
            code = status;
            if self.down_project {
                break;
            }
        }
        drop(waits);
        if self.down_project {
            let report = super::report::Report::new(&ctx.ui);
            let options = drua_compose::DownOptions::default();
            let cancel = tokio_util::sync::CancellationToken::new();
            drua_compose::down(&client, &name, project.as_ref(), &options, &report, &cancel).await?;
        }
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }
}

/// Pause or unpause services
#[derive(Debug, clap::Args)]
pub(super) struct Pause {
    /// Services [default: all]
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
}

impl Pause {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs, pause: bool) -> Outcome {
        let (client, containers) = chosen(ctx, args, &self.services, false).await?;
        let mut requests: FuturesUnordered<_> = containers
            .iter()
            .filter(|container| {
                use drua_api::models::ContainerSummaryStateEnum as State;
                (container.summary.state == Some(State::PAUSED)) != pause
            })
            .map(|container| async {
                let request = async {
                    if pause {
                        client.container_pause(&container.name).await
                    } else {
                        client.container_unpause(&container.name).await
                    }
                };
                (&container.name, request.await)
            })
            .collect();
        while let Some((name, done)) = requests.next().await {
            done?;
            ctx.ui.note(&format!(" Container {name}  {}", if pause { "Paused" } else { "Unpaused" }));
        }
        Ok(exit::OK)
    }
}

/// Copy files/folders between a service container and the local filesystem
#[derive(Debug, clap::Args)]
pub(super) struct Cp {
    /// Copy from or to every container of the service
    #[arg(long)]
    all: bool,
    /// Archive mode (copy all uid/gid information)
    #[arg(short, long)]
    archive: bool,
    /// Always follow symbol link in SRC_PATH
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Index of the container if service has multiple replicas
    #[arg(long, value_name = "N", default_value_t = 0)]
    index: u32,
    /// SERVICE:PATH, PATH, or `-` for an archive on stdin
    source: String,
    /// SERVICE:PATH, PATH, or `-` for an archive on stdout
    target: String,
}

impl Cp {
    pub(super) async fn run(self, ctx: &Context, args: &ProjectArgs) -> Outcome {
        let split = |text: &str| {
            let (service, path) = text.split_once(':')?;
            (!service.contains('/') && !service.starts_with('.')).then(|| (service.to_owned(), path.to_owned()))
        };
        match (split(&self.source), split(&self.target)) {
            (Some((service, path)), None) => {
                let (client, container) = container_of(ctx, args, &service, self.index).await?;
                let (_, mut archive) = client.container_archive(&container, &path).await?;
                let mut bytes = Vec::new();
                if self.target == "-" {
                    while let Some(piece) = archive.next().await {
                        ctx.ui.data(&piece?)?;
                    }
                    return Ok(exit::OK);
                }
                while let Some(piece) = archive.next().await {
                    bytes.extend_from_slice(&piece?);
                    if bytes.len() > MAX_COPY_BYTES {
                        return Err(Failure::message(format!(
                            "more than {MAX_COPY_BYTES} bytes; copy to `-` and unpack it"
                        )));
                    }
                }
                drua_compose::unpack_copy(&bytes, &path, std::path::Path::new(&self.target))?;
            }
            (None, Some((service, path))) => {
                let (name, _) = args.load_if_there(ctx, &[])?;
                let client = ctx.client().await?;
                let containers = ps(&client, &name, std::slice::from_ref(&service), true).await?;
                let chosen = containers.iter().filter(|container| self.index == 0 || container.number == self.index);
                let chosen: Vec<&ProjectContainer> =
                    if self.all || self.index == 0 { chosen.collect() } else { chosen.take(1).collect() };
                if chosen.is_empty() {
                    return Err(Failure::message(format!("service \"{service}\" is not running")));
                }
                for container in chosen {
                    let is_folder = client.container_stat(&container.name, &path).await.is_ok_and(|stat| stat.is_dir());
                    let (folder, name) = if is_folder || path.ends_with('/') {
                        (path.clone(), None)
                    } else {
                        let (folder, name) = path.rsplit_once('/').unwrap_or(("", &path));
                        (format!("/{}", folder.trim_start_matches('/')), Some(name.to_owned()))
                    };
                    let body = if self.source == "-" {
                        let mut bytes = Vec::new();
                        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut bytes)?;
                        RequestBody::from(bytes::Bytes::from(bytes))
                    } else {
                        drua_compose::copy_archive(std::path::Path::new(&self.source), name.as_deref())?
                    };
                    let options = PutArchive { keep_kinds: true, copy_owners: self.archive };
                    client.container_archive_put(&container.name, &folder, body, options).await?;
                }
            }
            (Some(_), Some(_)) => return Err(Failure::message("copying between services is not supported")),
            (None, None) => return Err(Failure::message("unknown copy direction")),
        }
        Ok(exit::OK)
    }
}

/// The largest archive that is unpacked here.
const MAX_COPY_BYTES: usize = 1 << 30;
