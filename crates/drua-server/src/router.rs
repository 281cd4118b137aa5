//! Method and path → handler.
//!
//! Every route may carry a version prefix (`/v1.43`). Image names have slashes in the middle of the path, so routes are
//! slice patterns over the path's segments.

use drua_api::{API_VERSION, MIN_API_VERSION};
use drua_engine::Engine;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Method, Request, Response};

use crate::http::{Body, Call, Failure, Query, Reply, RequestBody, Version};
use crate::routes::{
    attach, build, containers, exec, extras, files, image_contents, images, logs, networks, registry, stats, swarm,
    system, top, volumes,
};

/// Answers one request.
pub(crate) async fn serve(engine: Engine, request: Request<Incoming>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let reply = dispatch(engine, request).await;
    let mut response = reply.unwrap_or_else(Failure::into_response);
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    let server = concat!("Docker/28.2.2 (linux) drua/", env!("CARGO_PKG_VERSION"));
    for (name, value) in
        [("api-version", API_VERSION), ("ostype", "linux"), ("docker-experimental", "false"), ("server", server)]
    {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

async fn dispatch(engine: Engine, request: Request<Incoming>) -> Reply {
    let path = request.uri().path().to_owned();
    let (path, version) = without_version(&path)?;
    let segments: Vec<String> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    let method = request.method().clone();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let call = Call { query, version, request: RequestBody::of(request) };
    match segments.split_first() {
        Some((&"containers", rest)) => container_routes(engine, &method, rest, call).await,
        Some((&"images", rest)) => image_routes(engine, &method, rest, call).await,
        Some((&"networks", rest)) => network_routes(engine, &method, rest, call).await,
        Some((&"volumes", rest)) => volume_routes(engine, &method, rest, call).await,
        _ => system_routes(engine, &method, &segments, call).await,
    }
}

/// Takes the version prefix off, after checking that it is one we serve. `None`: the newest.
fn without_version(path: &str) -> Result<(&str, Option<Version>), Failure> {
    let Some((version, rest)) = path.strip_prefix("/v").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
        return Ok((path, None));
    };
    let number = |text: &str| -> Option<Version> {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let Some(asked) = number(version) else { return Ok((path, None)) };
    if Some(asked) < number(MIN_API_VERSION) {
        let message = format!(
            "client version {version} is too old. Minimum supported API version is {MIN_API_VERSION}, please upgrade your client to a newer version"
        );
        return Err(Failure::invalid(message));
    }
    if Some(asked) > number(API_VERSION) {
        let message = format!("client version {version} is too new. Maximum supported API version is {API_VERSION}");
        return Err(Failure::invalid(message));
    }
    Ok((rest, Some(asked)))
}

fn no_such_page() -> Reply {
    Err(Failure::not_found("page not found"))
}

async fn system_routes(engine: Engine, method: &Method, path: &[&str], call: Call) -> Reply {
    match (method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => Ok(system::ping(method == Method::HEAD)),
        ("GET", ["version"]) => system::version(),
        ("GET", ["info"]) => system::info(&engine).await,
        ("GET", ["events"]) => system::events(&engine, &call),
        ("POST", ["drua", "v1", "system", "check"]) => extras::check(engine, call).await,
        ("POST", ["drua", "v1", "manifests", "create"]) => extras::create_index(engine, call).await,
        ("POST", ["drua", "v1", "manifests", "annotate"]) => extras::annotate_index(engine, call).await,
        ("GET", ["drua", "v1", "manifests", "inspect"]) => extras::inspect_document(engine, call).await,
        ("GET", ["drua", "v1", "images", "module"]) => extras::module(engine, call).await,
        ("GET", ["drua", "v1", "images", "contents"]) => image_contents::contents(engine, call).await,
        ("GET", ["drua", "v1", "images", "blob"]) => image_contents::blob(engine, call).await,
        ("GET", ["system", "df"]) => system::disk_usage(engine).await,
        ("POST", ["auth"]) => registry::auth(engine, call).await,
        ("GET", ["distribution", name @ .., "json"]) => registry::distribution(engine, name.join("/"), &call).await,
        ("POST", ["exec", id, "start"]) => exec::start(engine, id, call).await,
        ("POST", ["exec", id, "resize"]) => exec::resize(&engine, id, &call).await,
        ("GET", ["exec", id, "json"]) => exec::inspect(&engine, id),
        ("POST", ["drua", "v1", "containers", name, "remove-paths"]) => files::remove(engine, name, call).await,
        ("POST", ["commit"]) => files::commit(engine, call).await,
        ("POST", ["build"]) => build::build(engine, call).await,
        ("POST", ["build", "prune"]) => build::prune(engine, &call).await,
        ("POST", ["build", "cancel"]) => crate::http::no_content(),
        ("GET", ["plugins"]) => crate::http::json(&[(); 0]),
        (_, ["swarm" | "services" | "tasks" | "nodes" | "secrets" | "configs", ..]) => swarm::answer(path),
        _ => no_such_page(),
    }
}

async fn container_routes(engine: Engine, method: &Method, path: &[&str], call: Call) -> Reply {
    match (method.as_str(), path) {
        ("GET", ["json"]) => containers::list(engine, call).await,
        ("POST", ["create"]) => containers::create(&engine, call).await,
        ("POST", ["prune"]) => containers::prune(&engine, &call).await,
        ("GET", [name, "json"]) => containers::inspect(&engine, name),
        ("POST", [name, "start"]) => containers::start(&engine, name).await,
        ("POST", [name, "stop"]) => containers::stop(&engine, name, &call).await,
        ("POST", [name, "restart"]) => containers::restart(&engine, name, &call).await,
        ("POST", [name, "kill"]) => containers::kill(&engine, name, &call).await,
        ("POST", [name, "pause"]) => containers::pause(&engine, name).await,
        ("POST", [name, "unpause"]) => containers::unpause(&engine, name).await,
        ("POST", [name, "rename"]) => containers::rename(&engine, name, &call).await,
        ("POST", [name, "update"]) => containers::update(&engine, name, call).await,
        ("POST", [name, "wait"]) => containers::wait(&engine, name, &call),
        ("POST", [name, "resize"]) => containers::resize(&engine, name, &call).await,
        ("GET", [name, "top"]) => top::top(&engine, name, &call).await,
        ("GET", [name, "logs"]) => logs::logs(&engine, name, &call).await,
        ("POST", [name, "attach"]) => attach::attach(engine, name, call).await,
        ("GET", [name, "attach", "ws"]) => attach::attach_ws(engine, name, call).await,
        ("POST", [name, "exec"]) => exec::create(&engine, name, call).await,
        ("GET", [name, "stats"]) => stats::stats(engine, name, call).await,
        ("HEAD", [name, "archive"]) => files::stat(engine, name, &call).await,
        ("GET", [name, "archive"]) => files::read(engine, name, &call).await,
        ("PUT", [name, "archive"]) => files::write(engine, name, call).await,
        ("GET", [name, "changes"]) => files::changes(&engine, name).await,
        ("GET", [name, "export"]) => files::export(engine, name).await,
        ("DELETE", [name]) => containers::remove(&engine, name, &call).await,
        _ => no_such_page(),
    }
}

async fn image_routes(engine: Engine, method: &Method, path: &[&str], call: Call) -> Reply {
    match (method.as_str(), path) {
        ("GET", ["json"]) => images::list(engine, call).await,
        ("POST", ["create"]) => images::create(engine, call).await,
        ("POST", ["load"]) => images::load(engine, call),
        ("POST", ["prune"]) => images::prune(engine, call).await,
        ("GET", ["get"]) => images::save(engine, call.query.all("names"), &call).await,
        ("GET", ["search"]) => registry::search(engine, call).await,
        ("GET", [name @ .., "get"]) => images::save(engine, vec![name.join("/")], &call).await,
        ("GET", [name @ .., "json"]) => images::inspect(engine, name.join("/"), call).await,
        ("GET", [name @ .., "history"]) => images::history(engine, name.join("/"), call).await,
        ("POST", [name @ .., "tag"]) => images::tag(engine, name.join("/"), call).await,
        ("POST", [name @ .., "push"]) => registry::push(engine, name.join("/"), &call).await,
        ("DELETE", name) if !name.is_empty() => images::remove(engine, name.join("/"), call).await,
        _ => no_such_page(),
    }
}

async fn network_routes(engine: Engine, method: &Method, path: &[&str], call: Call) -> Reply {
    match (method.as_str(), path) {
        ("GET", []) => networks::list(&engine, &call),
        ("POST", ["create"]) => networks::create(engine, call).await,
        ("POST", ["prune"]) => networks::prune(engine, call).await,
        ("GET", [name]) => networks::inspect(&engine, name),
        ("POST", [name, "connect"]) => networks::connect(&engine, name, call).await,
        ("POST", [name, "disconnect"]) => networks::disconnect(&engine, name, call).await,
        ("DELETE", [name]) => networks::remove(engine, (*name).to_owned()).await,
        _ => no_such_page(),
    }
}

async fn volume_routes(engine: Engine, method: &Method, path: &[&str], call: Call) -> Reply {
    match (method.as_str(), path) {
        ("GET", []) => volumes::list(&engine, &call),
        ("POST", ["create"]) => volumes::create(&engine, call).await,
        ("POST", ["prune"]) => volumes::prune(engine, call).await,
        ("GET", [name]) => volumes::inspect(&engine, name),
        ("PUT", [_]) => swarm::answer(path),
        ("DELETE", [name]) => volumes::remove(engine, (*name).to_owned(), call).await,
        _ => no_such_page(),
    }
}
