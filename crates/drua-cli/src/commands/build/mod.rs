//! `drua build`

mod check;
mod context;
mod output;
mod progress;

use std::collections::BTreeMap;
use std::path::PathBuf;

use base64::Engine as _;
use drua_api::client::RequestBody;
use drua_api::{Client, ClientError, Host, Query};
use drua_types::exit;
use serde_json::{Value, json};

use self::context::Source;
use self::output::Destination;
use self::progress::{Display, Style};
use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Build an image from a Dockerfile
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua build -t my/app .
  drua build -t my/app --target test --build-arg VERSION=2 .
  drua build --platform linux/amd64,wasi/wasm -t my/app .
  drua build --secret id=token,src=token.txt -o type=local,dest=out .
  drua build --check .
  drua build - < Dockerfile")]
pub(crate) struct Build {
    /// Name of the image; may be repeated
    #[arg(short, long, value_name = "NAME[:TAG]")]
    tag: Vec<String>,
    /// Name of the Dockerfile [default: PATH/Dockerfile]
    #[arg(short, long, value_name = "FILE")]
    file: Option<String>,
    /// Set build-time variables; without a value it comes from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    build_arg: Vec<String>,
    /// Additional build contexts: a directory, docker-image://NAME or target:STAGE
    #[arg(long, value_name = "NAME=WHERE")]
    build_context: Vec<String>,
    /// Set the target build stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// Target platforms, separated by commas, for example linux/amd64,wasi/wasm
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,
    /// Set metadata for the image
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,
    /// Secret to expose to the build: id=ID[,src=FILE|,env=NAME]
    #[arg(long, value_name = "SECRET")]
    secret: Vec<String>,
    /// SSH agent socket to expose to the build: default or ID=SOCKET
    #[arg(long, value_name = "AGENT")]
    ssh: Vec<String>,
    /// Do not use the cache when building the image
    #[arg(long)]
    no_cache: bool,
    /// Do not use the cache for these stages
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    no_cache_filter: Vec<String>,
    /// Always attempt to pull all referenced images
    #[arg(long)]
    pull: bool,
    /// Networking of RUN: default, none, host or a network's name
    #[arg(long, value_name = "MODE")]
    network: Option<String>,
    /// Add a custom host-to-IP mapping
    #[arg(long, value_name = "HOST:IP")]
    add_host: Vec<String>,
    /// Ulimit options
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Shared memory size for build containers
    #[arg(long, value_name = "BYTES")]
    shm_size: Option<drua_types::ByteSize>,
    /// Memory limit of each RUN
    #[arg(short, long, value_name = "BYTES")]
    memory: Option<drua_types::ByteSize>,
    /// Allow extra privileged entitlements: network.host, security.insecure
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',')]
    allow: Vec<String>,
    /// Where the result goes: type=image|oci|docker|tar|local|cacheonly[,dest=PATH], or a directory
    #[arg(short, long, value_name = "OUTPUT")]
    output: Option<String>,
    /// Attach a provenance attestation: mode=min, mode=max or false
    #[arg(long, value_name = "MODE", num_args = 0..=1, default_missing_value = "mode=min", require_equals = true)]
    provenance: Option<String>,
    /// Write the image ID to a file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,
    /// Write build result metadata to a file
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
    /// Set type of progress output
    #[arg(long, value_name = "STYLE", value_enum, default_value = "auto", env = "BUILDKIT_PROGRESS")]
    progress: Style,
    /// Check the Dockerfile and build nothing
    #[arg(long)]
    check: bool,
    /// Suppress the build output and print image ID on success
    #[arg(short, long)]
    quiet: bool,
    /// Directory, git repository, or - for a Dockerfile or archive on standard input
    #[arg(value_name = "PATH|URL|-")]
    context: String,
}

impl Build {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let destination = Destination::parse(self.output.as_deref(), &self.tag)?;
        let source = context::resolve(&self.context, self.file.as_deref())?;
        if self.check {
            return check::run(ctx, &source);
        }
        let client = ctx.client().await?;
        let extra = self.extra(&source, &destination)?;
        let query = self.query(&source)?;
        let mut display = Display::new(ctx.ui, self.progress, self.quiet);
        let built = send(&client, query, extra, source, &mut display).await;
        let built = match built {
            Ok(built) => built,
            Err(failure) => {
                display.clear();
                return Err(failure);
            }
        };
        display.finish(&built);
        let id = built["id"].as_str().unwrap_or_default();
        if let Some(path) = &self.iidfile {
            fs_err::write(path, id)?;
        }
        if let Some(path) = &self.metadata_file {
            let names: Vec<&str> = built["names"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let metadata = json!({
                "containerimage.digest": id,
                "containerimage.config.digest": built["config"],
                "containerimage.descriptor": {"mediaType": built["mediaType"], "digest": id, "size": built["size"]},
                "image.name": names.join(","),
            });
            fs_err::write(path, serde_json::to_vec_pretty(&metadata)?)?;
        }
        destination.deliver(&client, ctx, id, self.platform.as_deref()).await?;
        if self.quiet && !id.is_empty() {
            ctx.ui.line(id)?;
        }
        Ok(exit::OK)
    }

    fn query(&self, source: &Source) -> Result<Query, Failure> {
        let mut args = BTreeMap::new();
        for arg in &self.build_arg {
            match arg.split_once('=') {
                Some((name, value)) => drop(args.insert(name.to_owned(), value.to_owned())),
                None => drop(std::env::var(arg).map(|value| args.insert(arg.clone(), value))),
            }
        }
        if let Ok(epoch) = std::env::var("SOURCE_DATE_EPOCH") {
            args.entry("SOURCE_DATE_EPOCH".to_owned()).or_insert(epoch);
        }
        let labels: BTreeMap<&str, &str> =
            self.label.iter().map(|label| label.split_once('=').unwrap_or((label, ""))).collect();
        let mut query = Query::new()
            .with("version", "1")
            .with("buildargs", &json!(args).to_string())
            .with("labels", &json!(labels).to_string())
            .with_some("target", self.target.as_deref())
            .with_some("platform", self.platform.as_deref())
            .with_some("networkmode", self.network.as_deref())
            .with_some("dockerfile", source.dockerfile())
            .flag("nocache", self.no_cache)
            .flag("pull", self.pull);
        for name in &self.tag {
            query = query.with("t", name);
        }
        for host in &self.add_host {
            query = query.with("extrahosts", &json!([host.replacen('=', ":", 1)]).to_string());
        }
        let ulimits = self.ulimit.iter().map(|text| ulimit(text)).collect::<Result<Vec<_>, _>>()?;
        if !ulimits.is_empty() {
            query = query.with("ulimits", &json!(ulimits).to_string());
        }
        if let Some(size) = &self.shm_size {
            query = query.with("shmsize", &size.bytes().to_string());
        }
        if let Some(memory) = &self.memory {
            query = query.with("memory", &memory.bytes().to_string());
        }
        Ok(query)
    }

    /// What the API's query has no word for.
    fn extra(&self, source: &Source, destination: &Destination) -> Result<Value, Failure> {
        let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
        let mut secrets = BTreeMap::new();
        for secret in &self.secret {
            let (id, bytes) = read_secret(secret)?;
            secrets.insert(id, base64(&bytes));
        }
        let mut ssh = BTreeMap::new();
        for agent in &self.ssh {
            let (id, socket) = agent.split_once('=').unwrap_or((agent, ""));
            let socket = match socket {
                "" => std::env::var("SSH_AUTH_SOCK").map_err(|_| {
                    Failure::message("there is no SSH agent: SSH_AUTH_SOCK is not set")
                        .hint("start one with `eval $(ssh-agent)`, or name a socket: `--ssh default=/path`")
                })?,
                socket => socket.to_owned(),
            };
            ssh.insert(id.to_owned(), fs_err::canonicalize(socket)?);
        }
        let mut contexts = BTreeMap::new();
        for named in &self.build_context {
            let (name, place) = named
                .split_once('=')
                .ok_or_else(|| Failure::message(format!("`{named}` is not a build context: expected NAME=WHERE")))?;
            contexts.insert(name.to_owned(), context::named(place)?);
        }
        let provenance = match self.provenance.as_deref() {
            None | Some("false") => "",
            Some("mode=max" | "max") => "max",
            Some(_) => "min",
        };
        Ok(json!({
            "context": source.local()?, "contexts": contexts, "dockerfile_text": source.dockerfile_text(),
            "secrets": secrets, "ssh": ssh, "no_cache_filter": self.no_cache_filter, "allow": self.allow,
            "events": true, "cache_only": *destination == Destination::CacheOnly, "provenance": provenance,
        }))
    }
}

/// Sends the build; a context that the daemon cannot see is uploaded.
async fn send(
    client: &Client,
    query: Query,
    mut extra: Value,
    source: Source,
    display: &mut Display,
) -> Result<Value, Failure> {
    let header = |extra: &Value| base64::engine::general_purpose::STANDARD.encode(extra.to_string());
    let is_local = matches!(client.host(), Host::Unix(_)) && !extra["context"].is_null();
    let mut stream = None;
    if is_local || source.has_no_files() {
        match client.image_build(query.clone(), &header(&extra), RequestBody::empty()).await {
            Ok(answer) => stream = Some(answer),
            // Another machine behind the socket, or another view of the same one.
            Err(ClientError::Api(error)) if error.status == 409 && is_local => {}
            Err(error) => return Err(error.into()),
        }
    }
    let mut stream = match stream {
        Some(stream) => stream,
        None => {
            extra["context"] = Value::Null;
            client.image_build(query, &header(&extra), source.upload()?).await?
        }
    };
    let mut built = Value::Null;
    while let Some(line) = stream.next().await {
        let line = line?;
        if let Some(event) = line.get("drua") {
            if let Some(result) = event.get("built") {
                built = result.clone();
            } else if let Some(failed) = event.get("failed") {
                return Err(display.failed(failed));
            } else {
                display.event(event);
            }
        } else if let Some(error) = line["error"].as_str() {
            return Err(Failure::message(error));
        }
    }
    Ok(built)
}

fn ulimit(text: &str) -> Result<Value, Failure> {
    let bad = || Failure::message(format!("invalid ulimit `{text}`: expected NAME=SOFT[:HARD]"));
    let (name, limits) = text.split_once('=').ok_or_else(bad)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_err(|_| bad());
    Ok(json!({"Name": name, "Soft": number(soft)?, "Hard": number(hard)?}))
}

/// `id=x,src=file`, `id=x,env=NAME`, `id=x`: the variable or file of that name.
fn read_secret(text: &str) -> Result<(String, Vec<u8>), Failure> {
    let mut fields: BTreeMap<&str, &str> = BTreeMap::new();
    for field in text.split(',') {
        let (key, value) = field.split_once('=').ok_or_else(|| {
            Failure::message(format!("invalid secret `{text}`: `{field}` is not KEY=VALUE"))
                .hint("use `--secret id=NAME,src=FILE` or `--secret id=NAME,env=VARIABLE`")
        })?;
        fields.insert(key.trim(), value);
    }
    let source = fields.get("src").or(fields.get("source")).copied();
    let id = fields.get("id").copied().or(source).unwrap_or_default();
    if id.is_empty() {
        return Err(Failure::message(format!("invalid secret `{text}`: it has no id")));
    }
    let variable = |name: &str| std::env::var(name).ok().map(String::into_bytes);
    let value = match (source, fields.get("env")) {
        (Some(path), _) => fs_err::read(path)?,
        (None, Some(name)) => {
            variable(name).ok_or_else(|| Failure::message(format!("the variable {name} is not set")))?
        }
        (None, None) => match variable(id) {
            Some(value) => value,
            None => fs_err::read(id)?,
        },
    };
    if value.len() > 500 << 10 {
        return Err(Failure::message(format!("the secret `{id}` has more than 500 KiB")));
    }
    Ok((id.to_owned(), value))
}
