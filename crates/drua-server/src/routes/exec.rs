//! `POST /containers/{}/exec` and `/exec/…`.

use drua_engine::container::{Exec, ExecConfig, ExecState};
use drua_engine::{Engine, Error, ExecSession, StartExec};
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::hijack::{self, Ended};
use crate::http::{self, Call, Failure, Reply};

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct CreateBody {
    user: Option<String>,
    privileged: Option<bool>,
    tty: Option<bool>,
    attach_stdin: Option<bool>,
    attach_stdout: Option<bool>,
    attach_stderr: Option<bool>,
    detach_keys: Option<String>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    cmd: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct StartBody {
    detach: Option<bool>,
    console_size: Option<Vec<u32>>,
}

pub(crate) async fn create(engine: &Engine, name: &str, mut call: Call) -> Reply {
    let body: CreateBody = call.json().await?.unwrap_or_default();
    let cmd = body.cmd.unwrap_or_default();
    if cmd.is_empty() {
        return Err(Failure::invalid("No exec command specified"));
    }
    let detach_keys = body.detach_keys.unwrap_or_default();
    hijack::detach_keys(Some(&detach_keys))?;
    let attach = [body.attach_stdin, body.attach_stdout, body.attach_stderr].map(Option::unwrap_or_default);
    let config = ExecConfig {
        cmd,
        user: body.user.unwrap_or_default(),
        working_dir: body.working_dir.unwrap_or_default(),
        env: body.env.unwrap_or_default(),
        tty: body.tty.unwrap_or_default(),
        attach,
        privileged: body.privileged.unwrap_or_default(),
        detach_keys,
    };
    http::created(&json!({ "Id": engine.create_exec(name, config)? }))
}

pub(crate) async fn start(engine: Engine, id: &str, mut call: Call) -> Reply {
    let body: StartBody = call.json().await?.unwrap_or_default();
    let exec = engine.exec(id)?;
    let size = body.console_size.as_deref().and_then(|size| match size {
        [rows, columns] if *rows > 0 && *columns > 0 => {
            Some((u16::try_from(*rows).unwrap_or(u16::MAX), u16::try_from(*columns).unwrap_or(u16::MAX)))
        }
        _ => None,
    });
    let detach = body.detach.unwrap_or_default();
    let mut session = engine.start_exec(id, StartExec { detach, size }).await?;
    if detach {
        return match session.failure {
            Some(message) => Err(Error::Exec(message).into()),
            None => Ok(http::empty(StatusCode::OK)),
        };
    }
    let tty = exec.config.tty;
    let content_type = hijack::content_type(tty, &call);
    if !hijack::wants_upgrade(&call) {
        let (response, sender) = http::stream(content_type);
        tokio::spawn(async move {
            if let Some(text) = failure(&session, tty) {
                // The client may have gone.
                let _ = sender.send(text).await;
            }
            if let Some(connection) = session.connection.take() {
                hijack::forward(connection, tty, &sender).await;
            }
            session.ended().await;
        });
        return Ok(response);
    }
    let keys = hijack::detach_keys(Some(&exec.config.detach_keys))?;
    let keys = if tty && exec.config.attach[0] { keys } else { Vec::new() };
    hijack::upgrade(call, content_type, move |mut client| async move {
        if let Some(text) = failure(&session, tty) {
            let _ = client.write_all(&text).await;
        }
        let Some(connection) = session.connection.take() else {
            let _ = client.shutdown().await;
            return;
        };
        // The client asks for the exit code as soon as the output has ended.
        if hijack::splice(client, connection, tty, &keys, session.ended()).await == Ended::Detached {
            engine.announce(exec.container.as_str(), "exec_detach");
        }
    })
}

/// What is said in the stream when the command could not be run.
fn failure(session: &ExecSession, tty: bool) -> Option<bytes::Bytes> {
    session.failure.as_ref().map(|text| hijack::message(tty, &format!("{text}\r\n")))
}

pub(crate) async fn resize(engine: &Engine, id: &str, call: &Call) -> Reply {
    let size = |key| call.query.number::<u32>(key).map(Option::unwrap_or_default);
    engine.resize_exec(id, size("w")?, size("h")?).await?;
    Ok(http::empty(StatusCode::OK))
}

pub(crate) fn inspect(engine: &Engine, id: &str) -> Reply {
    let Exec { id, container, config, state } = engine.exec(id)?;
    let (running, code, pid) = match state {
        ExecState::Created => (false, None, 0),
        ExecState::Running { pid } => (true, None, pid),
        ExecState::Exited { code, pid, .. } => (false, Some(code), pid),
    };
    let [stdin, stdout, stderr] = config.attach;
    let mut process = json!({
        "tty": config.tty,
        "entrypoint": config.cmd.first(),
        "arguments": config.cmd.get(1..).unwrap_or_default(),
        "privileged": config.privileged,
    });
    if !config.user.is_empty() {
        process["user"] = json!(config.user);
    }
    http::json(&json!({
        "ID": id,
        "Running": running,
        "ExitCode": code,
        "ProcessConfig": process,
        "OpenStdin": stdin,
        "OpenStderr": stderr,
        "OpenStdout": stdout,
        "CanRemove": code.is_some(),
        "ContainerID": container,
        "DetachKeys": config.detach_keys,
        "Pid": pid,
    }))
}
