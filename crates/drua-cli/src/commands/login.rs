use std::io::{self, Read as _};

use drua_types::exit;

use crate::context::Context;
use crate::credentials::{self, Login as Credentials, Store};
use crate::failure::{Failure, Outcome};
use crate::session::{NoEcho, stdin_is_terminal};

/// Authenticate to a registry
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:
  pass show registry | drua login -u ahab --password-stdin localhost:5000

Defaults to Docker Hub without a server.")]
pub(crate) struct Login {
    /// Username
    #[arg(short, long, value_name = "NAME")]
    username: Option<String>,
    /// Password or personal access token
    #[arg(short, long, value_name = "PASSWORD", conflicts_with = "password_stdin")]
    password: Option<String>,
    /// Take the password from stdin
    #[arg(long, requires = "username")]
    password_stdin: bool,
    /// Registry: host or host:port
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Login {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let domain = self.server.clone().unwrap_or_default();
        let mut store = Store::open()?;
        let client = ctx.client().await?;
        let known = if self.username.is_none() && self.password.is_none() { store.get(&domain)? } else { None };
        let mut login = match known {
            Some(known) => {
                ctx.ui.note("Authenticating with existing credentials...");
                known
            }
            None => self.ask(ctx, &domain)?,
        };
        let answer = client.registry_login(&login).await?;
        if let Some(token) = answer.identity_token.filter(|token| !token.is_empty()) {
            (login.identitytoken, login.password) = (token, String::new());
        }
        if store.put(&domain, &login)? {
            let path = store.path().display().to_string();
            ctx.ui.warning(&format!(
                "your credentials are stored unencrypted in '{path}'; a credential helper keeps them safe"
            ));
        }
        ctx.ui.line(&answer.status)?;
        Ok(exit::OK)
    }

    /// What the options do not say is asked for, where there is somebody to ask.
    fn ask(&self, ctx: &Context, domain: &str) -> Result<Credentials, Failure> {
        let ask = |question: &str| -> Result<String, Failure> {
            if !stdin_is_terminal() {
                return Err(Failure::message("cannot ask for a name and a password: stdin is no terminal")
                    .hint("give them with `-u NAME --password-stdin`"));
            }
            Ok(ctx.ui.ask(question)?)
        };
        let username = match &self.username {
            Some(username) => username.clone(),
            None => ask("Username: ")?,
        };
        let password = if self.password_stdin {
            let mut text = String::new();
            io::stdin().take(64 << 10).read_to_string(&mut text)?;
            text.trim_end_matches(['\n', '\r']).to_owned()
        } else if let Some(password) = &self.password {
            ctx.ui.warning("using --password via the command line is insecure: use --password-stdin");
            password.clone()
        } else {
            let hidden = NoEcho::enter();
            let password = ask("Password: ")?;
            drop(hidden);
            ctx.ui.note("");
            password
        };
        if username.is_empty() || password.is_empty() {
            return Err(Failure::message("username and password must not be empty"));
        }
        Ok(Credentials { username, password, serveraddress: credentials::key(domain), ..Credentials::default() })
    }
}

/// Log out from a registry
#[derive(Debug, clap::Args)]
pub(crate) struct Logout {
    /// Registry: host or host:port
    #[arg(value_name = "SERVER")]
    server: Option<String>,
}

impl Logout {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        let domain = self.server.unwrap_or_default();
        let key = credentials::key(&domain);
        match Store::open()?.remove(&domain)? {
            true => ctx.ui.line(&format!("Removing login credentials for {key}"))?,
            false => ctx.ui.line(&format!("Not logged in to {key}"))?,
        }
        Ok(exit::OK)
    }
}
