//! Files of containers: archive (`docker cp`), export, changes (`docker diff`), commit.

use std::io::{BufWriter, Write as _};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use drua_api::models;
use drua_engine::{Commit, ContainerFiles, Engine, PathStat};
use drua_types::{Digest, ImageRef, error_chain};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::blocking;
use crate::http::{self, Call, Failure, Reply, Sender};
use crate::wire;

const STAT_HEADER: HeaderName = HeaderName::from_static("x-docker-container-path-stat");
const CHUNK: usize = 128 << 10;

/// Go's `os.FileMode` of a stat(2) mode.
fn go_mode(mode: u32) -> u32 {
    let kind = match mode & 0o170_000 {
        0o040_000 => 1 << 31,
        0o120_000 => 1 << 27,
        0o060_000 => 1 << 26,
        0o020_000 => 1 << 26 | 1 << 21,
        0o010_000 => 1 << 25,
        0o140_000 => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    special.iter().filter(|(bit, _)| mode & bit != 0).fold(mode & 0o777 | kind, |bits, (_, bit)| bits | bit)
}

fn stat_header(stat: &PathStat) -> HeaderValue {
    let value = json!({
        "name": stat.name,
        "size": stat.size,
        "mode": go_mode(stat.mode),
        "mtime": wire::time(Some(stat.mtime)),
        "linkTarget": stat.link_target,
    });
    HeaderValue::from_str(&BASE64_STANDARD.encode(value.to_string())).expect("base64 is a header value")
}

fn path(call: &Call) -> Result<String, Failure> {
    call.query.get("path").map(str::to_owned).ok_or_else(|| Failure::invalid("bad parameter: 'path' cannot be empty"))
}

async fn files(engine: &Engine, name: &str) -> Result<ContainerFiles, Failure> {
    Ok(engine.container_files(name).await?)
}

pub(crate) async fn stat(engine: Engine, name: &str, call: &Call) -> Reply {
    let path = path(call)?;
    let files = files(&engine, name).await?;
    let stat = blocking(move || Ok(files.stat(&path).map_err(drua_engine::Error::from)?)).await?;
    let mut response = http::empty(StatusCode::OK);
    response.headers_mut().insert(STAT_HEADER, stat_header(&stat));
    Ok(response)
}

pub(crate) async fn read(engine: Engine, name: &str, call: &Call) -> Reply {
    let path = path(call)?;
    let files = files(&engine, name).await?;
    // Looked up first: a missing file is a 404, not a broken stream.
    let (files, stat) = blocking(move || {
        let stat = files.stat(&path).map_err(drua_engine::Error::from)?;
        Ok(((files, path), stat))
    })
    .await?;
    let (mut response, sender) = http::stream("application/x-tar");
    response.headers_mut().insert(STAT_HEADER, stat_header(&stat));
    write_tar(sender, move |out| {
        let (files, path) = &files;
        files.open(path)?.read(out)
    });
    Ok(response)
}

pub(crate) async fn export(engine: Engine, name: &str) -> Reply {
    let files = engine.container_rootfs(name).await?;
    let container = engine.container(name)?;
    let (response, sender) = http::stream("application/octet-stream");
    write_tar(sender, move |out| files.export(out));
    engine.publish_container_event(&container, "export");
    Ok(response)
}

/// Writes the body on a thread of its own: a client that reads slowly, or not at all, must not take one from the pool that
/// everybody needs.
fn write_tar(
    sender: Sender,
    write: impl FnOnce(&mut dyn std::io::Write) -> Result<(), drua_engine::FilesError> + Send + 'static,
) {
    let failed = sender.clone();
    let work = move || {
        let mut out = BufWriter::with_capacity(CHUNK, sender.clone());
        let written = write(&mut out);
        let written = written.map_err(|error| error_chain(&error));
        if let Err(error) = written.and_then(|()| out.flush().map_err(|error| error.to_string())) {
            tracing::warn!(error, "an archive ended early");
            // What is still in the buffer must not follow.
            drop(out.into_parts());
            sender.abort(error);
        }
    };
    if let Err(error) = std::thread::Builder::new().name("archive".to_owned()).spawn(work) {
        tokio::task::spawn_blocking(move || failed.abort(error));
    }
}

pub(crate) async fn write(engine: Engine, name: &str, call: Call) -> Reply {
    let path = path(&call)?;
    let keep_kinds = call.query.flag("noOverwriteDirNonDir");
    let as_user = call.query.flag("copyUIDGID");
    let container = engine.container(name)?;
    let files = files(&engine, name).await?;
    let mut body = call.into_reader();
    // On a thread of its own, as the client may send slowly.
    let (sender, done) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let _inside = runtime.enter();
        let done = files.write(&path, &mut body, keep_kinds, as_user);
        drop(body);
        // The client may have gone.
        let _ = sender.send(done);
    };
    let spawned = std::thread::Builder::new().name("archive".to_owned()).spawn(work);
    spawned.map_err(|error| Failure::new(StatusCode::SERVICE_UNAVAILABLE, error))?;
    let gone = |_| Failure::new(StatusCode::INTERNAL_SERVER_ERROR, "an internal task panicked");
    done.await.map_err(gone)?.map_err(drua_engine::Error::from)?;
    engine.publish_container_event(&container, "extract-to-dir");
    Ok(http::empty(StatusCode::OK))
}

/// How many paths one request may remove.
const MAX_PATHS: usize = 100_000;

/// drua's own `POST /drua/v1/containers/{}/remove-paths`: Docker's API can put files into a container but not take them away.
pub(crate) async fn remove(engine: Engine, name: &str, mut call: Call) -> Reply {
    #[derive(serde::Deserialize)]
    struct Paths {
        paths: Vec<String>,
    }
    let body: Option<Paths> = call.json().await?;
    let paths = body.map(|body| body.paths).unwrap_or_default();
    if paths.len() > MAX_PATHS {
        return Err(Failure::invalid(format!("more than {MAX_PATHS} paths")));
    }
    let files = files(&engine, name).await?;
    let done = blocking(move || {
        for path in &paths {
            files.remove(path).map_err(drua_engine::Error::from)?;
        }
        Ok(())
    });
    done.await?;
    Ok(http::empty(StatusCode::NO_CONTENT))
}

pub(crate) async fn changes(engine: &Engine, name: &str) -> Reply {
    let changes = engine.changes(name).await?;
    if changes.is_empty() {
        return http::json(&Value::Null);
    }
    let change =
        |change: &drua_engine::Change| json!({ "Path": change.path.to_string_lossy(), "Kind": change.kind as u8 });
    http::json(&changes.iter().map(change).collect::<Vec<_>>())
}

pub(crate) async fn commit(engine: Engine, mut call: Call) -> Reply {
    let body: Option<models::ContainerCreateBody> = call.json().await?;
    let name = call.query.get("container").map(str::to_owned);
    let name = name.ok_or_else(|| Failure::invalid("bad parameter: 'container' cannot be empty"))?;
    let image = match (call.query.get("repo"), call.query.get("tag")) {
        (None, _) => None,
        (Some(repo), None) => Some(repo.parse::<ImageRef>()),
        (Some(repo), Some(tag)) => Some(format!("{repo}:{tag}").parse()),
    };
    let image = image.transpose().map_err(|error| Failure::invalid(error_chain(&error)))?;
    let text = |key: &str| call.query.get(key).unwrap_or_default().to_owned();
    let commit = Commit {
        name: image,
        comment: text("comment"),
        author: text("author"),
        changes: call.query.all("changes").iter().flat_map(|all| all.lines()).map(str::to_owned).collect(),
        // Left out means yes; `pause=0` no.
        pause: call.query.all("pause").is_empty() || call.query.flag("pause"),
        config: wire::create::config(body.unwrap_or_default())?,
    };
    let id: Digest = engine.commit(&name, commit).await?;
    http::created(&json!({ "Id": id }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_gos() {
        for (mode, expect) in [
            (0o100_644, 0o644),
            (0o040_755, 1 << 31 | 0o755),
            (0o120_777, 1 << 27 | 0o777),
            (0o020_666, 1 << 26 | 1 << 21 | 0o666),
            (0o104_755, 1 << 23 | 0o755),
            (0o041_777, 1 << 31 | 1 << 20 | 0o777),
        ] {
            assert_eq!(go_mode(mode), expect, "{mode:o}");
        }
    }
}
