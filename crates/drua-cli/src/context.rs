//! What every command needs: a printer, and a client that finds or starts the daemon.

use drua_api::{Client, Host};
use tokio::net::UnixStream;

use crate::autostart;
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
    pub(crate) fn new(ui: Printer, host: Option<&str>) -> Result<Self, Failure> {
        let host = match host {
            Some(text) => Some(text.parse()?),
            None => Host::from_env()?,
        };
        Ok(Self { ui, host })
    }

    /// A client of the daemon.
    ///
    /// Where the user named a host, it is taken as it is. The default daemon is started when it does not answer.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        if let Some(host) = &self.host {
            return Ok(Client::connect(host));
        }
        let host = Host::default();
        let client = Client::connect(&host);
        if let Host::Unix(path) = &host
            && let Err(error) = UnixStream::connect(path).await
            && autostart::would_help(&error)
        {
            autostart::start(&client, &self.ui).await?;
        }
        Ok(client)
    }
}
