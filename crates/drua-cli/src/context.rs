//! What every command needs: a printer, and a client that finds or starts the daemon.

use drua_api::{Client, Host, TlsFiles};
use tokio::net::UnixStream;

use crate::autostart;
use crate::contexts::{DEFAULT, Store};
use crate::failure::Failure;
use crate::ui::Printer;

/// The surroundings of a command.
#[derive(Debug)]
pub(crate) struct Context {
    /// The way to the user.
    pub(crate) ui: Printer,
    /// Where the user said the daemon is, by `--host` or the environment.
    host: Option<Host>,
}

impl Context {
    /// The host is the first of: `--host`, `--context`, the environment's host, the environment's context, what `drua
    /// context use` has chosen.
    pub(crate) fn new(ui: Printer, host: Option<&str>, context: Option<&str>) -> Result<Self, Failure> {
        if host.is_some() && context.is_some() {
            return Err(Failure::message("conflicting options: cannot specify both --host and --context"));
        }
        let host = match (host, context) {
            (Some(text), _) => Some(text.parse::<Host>()?.with_tls(TlsFiles::from_env())),
            (None, Some(name)) => named(name)?,
            (None, None) => match Host::from_env()? {
                Some(host) => Some(host),
                None => {
                    let asked = std::env::var("DRUA_CONTEXT").ok().filter(|name| !name.is_empty());
                    let chosen = asked.or_else(|| Store::open().map(|store| store.current()));
                    chosen.as_deref().map_or(Ok(None), named)?
                }
            },
        };
        Ok(Self { ui, host })
    }

    /// Where the daemon is.
    pub(crate) fn host(&self) -> Host {
        self.host.clone().unwrap_or_default()
    }

    /// A client of the daemon.
    ///
    /// Where the user named a host, it is taken as it is. The default daemon is started when it does not answer.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        if let Some(host) = &self.host {
            return Ok(client_of(host));
        }
        let host = Host::default();
        let client = client_of(&host);
        if let Host::Unix(path) = &host
            && let Err(error) = UnixStream::connect(path).await
            && autostart::would_help(&error)
        {
            autostart::start(&client, &self.ui).await?;
        }
        Ok(client)
    }

    /// A client of a daemon that runs already; nothing is started.
    pub(crate) async fn running_client(&self) -> Option<Client> {
        let host = self.host();
        if let Host::Unix(path) = &host {
            UnixStream::connect(path).await.ok()?;
        }
        Some(client_of(&host))
    }
}

/// The daemon of a context; `None` for the one that has no name.
fn named(name: &str) -> Result<Option<Host>, Failure> {
    if name == DEFAULT {
        return Ok(None);
    }
    let store = Store::open().ok_or_else(|| Failure::message("neither DOCKER_CONFIG nor HOME is set"))?;
    Ok(Some(store.host(name)?))
}

/// A client that finds credentials of registries where Docker's clients keep them.
fn client_of(host: &Host) -> Client {
    Client::connect(host).with_registry_auth(|domain| {
        let found = crate::credentials::Store::open().and_then(|store| store.get(domain));
        found
            .unwrap_or_else(|error| {
                // Most images need no credentials; where some are needed, the registry's refusal follows this.
                tracing::warn!(error = drua_types::error_chain(&error), "no credentials");
                None
            })
            .map(|login| login.header())
    })
}
