//! Every environment variable that drua reads, in one place.

/// Where the API is: `unix:///path` or `tcp://host:port`. Wins over [`DOCKER_HOST`].
pub const DRUA_HOST: &str = "DRUA_HOST";
/// Where the API is, in Docker's words.
pub const DOCKER_HOST: &str = "DOCKER_HOST";
/// Directory of Docker's `config.json`, default `~/.docker`.
pub const DOCKER_CONFIG: &str = "DOCKER_CONFIG";
/// The platform to assume where none is given, for example `wasi/wasm`.
pub const DOCKER_DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";
/// What to log, in `tracing`'s filter syntax. Default `info` for the daemon, `warn` for commands.
pub const DRUA_LOG: &str = "DRUA_LOG";
/// Where `drua scout` keeps what it knows about layers, default `$XDG_CACHE_HOME/drua/scout`. Empty: nowhere.
pub const DRUA_SCOUT_CACHE: &str = "DRUA_SCOUT_CACHE";
/// Directory of `drua scout`'s advisories; `$XDG_DATA_HOME/drua/scout` without it.
pub const DRUA_SCOUT_DB: &str = "DRUA_SCOUT_DB";
/// Seconds since 1970 that documents state as their time, so that they are reproducible.
pub const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";
/// Set to anything: no colour.
pub const NO_COLOR: &str = "NO_COLOR";
/// Set to anything but `0`: colour even when stderr is no terminal.
pub const CLICOLOR_FORCE: &str = "CLICOLOR_FORCE";
/// The proxy towards registries that speak plain HTTP; lower case works too.
pub const HTTP_PROXY: &str = "HTTP_PROXY";
/// The proxy towards registries; lower case works too.
pub const HTTPS_PROXY: &str = "HTTPS_PROXY";
/// Hosts that are reached without a proxy, separated by commas; lower case works too.
pub const NO_PROXY: &str = "NO_PROXY";
/// Where a `wasi:http` component listens, `address:port`; read from the container's environment. Default `0.0.0.0:8080`.
pub const WASMTIME_HTTP_PROXY_SOCKET_ADDR: &str = "WASMTIME_HTTP_PROXY_SOCKET_ADDR";
/// Where the tests find real images, instead of `../shared/data`.
pub const DRUA_TEST_DATA: &str = "DRUA_TEST_DATA";
/// The soft limit of open files that a shim goes back to; from the daemon to its shims.
pub const SHIM_OPEN_FILES: &str = "DRUA_SHIM_OPEN_FILES";
