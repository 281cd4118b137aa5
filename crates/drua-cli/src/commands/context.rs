//! `drua context …`: named daemons, shared with docker's CLI.

use anyhow::bail;
use drua_api::Host;
use drua_types::exit;
use serde_json::json;

use crate::context::Context as Ctx;
use crate::contexts::{DEFAULT, Endpoint, Meta, Store, check_name};
use crate::failure::{Failure, Outcome};
use crate::options::key_values;

/// Manage contexts: named daemons, in docker's own files
#[derive(Debug, clap::Args)]
pub(crate) struct Context {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Create(Put),
    Inspect(Names),
    #[command(visible_alias = "list")]
    Ls(Ls),
    #[command(visible_alias = "remove")]
    Rm(Rm),
    Show(Show),
    Update(Put),
    Use(Use),
}

/// Create or change a context
#[derive(Debug, clap::Args)]
struct Put {
    /// What it is
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Where its daemon is: host=ssh://…[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=true]
    #[arg(long, value_name = "KEY=VALUE,…")]
    docker: Option<String>,
    /// Its name
    name: String,
}

/// Print the name of the context in use
#[derive(Debug, clap::Args)]
struct Show {}

/// Use a context from now on, with drua alone; `default` is none
#[derive(Debug, clap::Args)]
struct Use {
    name: String,
}

/// Display detailed information on contexts
#[derive(Debug, clap::Args)]
struct Names {
    /// Contexts; the one in use unless named
    names: Vec<String>,
}

/// Remove contexts
#[derive(Debug, clap::Args)]
struct Rm {
    /// Also the one in use
    #[arg(short, long)]
    force: bool,
    #[arg(required = true)]
    names: Vec<String>,
}

/// List contexts
#[derive(Debug, clap::Args)]
struct Ls {
    /// Only names
    #[arg(short, long)]
    quiet: bool,
}

impl Context {
    pub(super) fn run(self, ctx: &Ctx) -> Outcome {
        let store = Store::open().ok_or_else(|| Failure::message("neither DOCKER_CONFIG nor HOME is set"))?;
        match self.command {
            Command::Create(command) => {
                check_name(&command.name)?;
                if store.get(&command.name).is_ok() {
                    return Err(Failure::message(format!("context \"{}\" already exists", command.name)));
                }
                let meta =
                    Meta { name: command.name.clone(), metadata: Default::default(), endpoints: Default::default() };
                command.put(&store, meta)?;
                ctx.ui.line(&command.name)?;
                ctx.ui.note(&format!("Successfully created context \"{}\"", command.name));
            }
            Command::Update(command) => {
                let meta = store.get(&command.name)?;
                command.put(&store, meta)?;
                ctx.ui.line(&command.name)?;
                ctx.ui.note(&format!("Successfully updated context \"{}\"", command.name));
            }
            Command::Use(command) => {
                store.choose(&command.name)?;
                ctx.ui.line(&command.name)?;
                ctx.ui.note(&format!("Current context is now \"{}\"", command.name));
            }
            Command::Show(_) => ctx.ui.line(&store.current())?,
            Command::Inspect(command) => inspect(ctx, &store, command.names)?,
            Command::Rm(command) => {
                for name in &command.names {
                    if *name == DEFAULT {
                        return Err(Failure::message("context \"default\" cannot be removed"));
                    }
                    if *name == store.current() {
                        if !command.force {
                            let text = format!("context \"{name}\" is in use, set -f flag to force remove");
                            return Err(Failure::message(text));
                        }
                        store.choose(DEFAULT)?;
                    }
                    store.remove(name)?;
                    ctx.ui.line(name)?;
                }
            }
            Command::Ls(command) => list(ctx, &store, command.quiet)?,
        }
        Ok(exit::OK)
    }
}

impl Put {
    fn put(&self, store: &Store, mut meta: Meta) -> anyhow::Result<()> {
        if let Some(text) = &self.description {
            meta.metadata.insert("Description".to_owned(), json!(text));
        }
        let mut files = Vec::new();
        if let Some(docker) = &self.docker {
            let fields = key_values(&docker.split(',').map(str::to_owned).collect::<Vec<_>>());
            let known = ["host", "ca", "cert", "key", "skip-tls-verify"];
            if let Some(unknown) = fields.keys().find(|key| !known.contains(&key.as_str())) {
                bail!("unrecognized config key: {unknown}");
            }
            let host = fields.get("host").cloned().unwrap_or_else(|| Host::default().to_string());
            host.parse::<Host>()?;
            for (key, file) in [("ca", "ca.pem"), ("cert", "cert.pem"), ("key", "key.pem")] {
                if let Some(path) = fields.get(key) {
                    files.push((file, fs_err::read(path)?));
                }
            }
            let skip_tls_verify = fields.get("skip-tls-verify").is_some_and(|value| value != "false");
            meta.endpoints.insert("docker".to_owned(), Endpoint { host, skip_tls_verify });
        } else if meta.endpoints.is_empty() {
            let host = Host::default().to_string();
            meta.endpoints.insert("docker".to_owned(), Endpoint { host, skip_tls_verify: false });
        }
        store.put(&meta, &files)
    }
}

fn inspect(ctx: &Ctx, store: &Store, names: Vec<String>) -> Result<(), Failure> {
    let names = if names.is_empty() { vec![store.current()] } else { names };
    let mut all = Vec::new();
    for name in names {
        let meta = if name == DEFAULT { default_meta() } else { store.get(&name)? };
        let mut value = serde_json::to_value(&meta).map_err(Failure::new)?;
        value["TLSMaterial"] = json!({});
        value["Storage"] = json!({ "MetadataPath": "", "TLSPath": store.tls(&name) });
        all.push(value);
    }
    ctx.ui.line(&serde_json::to_string_pretty(&all).map_err(Failure::new)?)?;
    Ok(())
}

fn default_meta() -> Meta {
    let host = Host::from_env().ok().flatten().unwrap_or_default().to_string();
    Meta {
        name: DEFAULT.to_owned(),
        metadata: Default::default(),
        endpoints: [("docker".to_owned(), Endpoint { host, skip_tls_verify: false })].into(),
    }
}

fn list(ctx: &Ctx, store: &Store, quiet: bool) -> Result<(), Failure> {
    let current = store.current();
    let all: Vec<Meta> = std::iter::once(default_meta()).chain(store.list()).collect();
    if quiet {
        all.iter().try_for_each(|meta| ctx.ui.line(&meta.name))?;
        return Ok(());
    }
    let name = |meta: &Meta| if meta.name == current { format!("{} *", meta.name) } else { meta.name.clone() };
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
    let names = width(&mut all.iter().map(|meta| name(meta).len())).max(4);
    let descriptions = width(&mut all.iter().map(|meta| meta.description().len())).max(11);
    ctx.ui.line(&format!("{:<names$}   {:<descriptions$}   DOCKER ENDPOINT", "NAME", "DESCRIPTION"))?;
    for meta in &all {
        let host = meta.endpoint().host;
        ctx.ui.line(&format!("{:<names$}   {:<descriptions$}   {host}", name(meta), meta.description()))?;
    }
    Ok(())
}
