//! A real registry: Debian's `docker-registry` on a loopback port of its own.

use std::{
    fmt::Write as _,
    fs::File,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{binary, http, wait};

/// The one user of a registry that asks who one is.
pub const USER: &str = "ahab";
/// Its password.
pub const PASSWORD: &str = "opensesame";
/// The password as `htpasswd -B` writes it.
const HASH: &str = "$2b$05$SD5UBQQn9cHMK31DyMK8ZuXHkjY1IOnhnJFAYpethtDLzWo75AlKu";
/// The name in the certificate of a registry with TLS that no resolver knows: it is reached through
/// [`crate::scripted::tunnel_to`].
pub const NAME: &str = "registry.test";
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a registry asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// A name and a password.
    pub password: bool,
    /// TLS, with a certificate of its own CA for `localhost` and [`NAME`].
    pub tls: bool,
}

/// A running registry. Dropping it ends it and removes its content.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Registry {
    /// Where the program is, if it is installed.
    #[must_use]
    pub fn program() -> Option<PathBuf> {
        binary::on_path("docker-registry")
    }

    /// Starts a registry and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not answer in time.
    pub fn start(setup: Setup) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("drua-registry-").tempdir()?;
        // Another process may take the port in between: then another one is tried.
        for _ in 0..5 {
            let port = free_port()?;
            if let Some(child) = try_start(dir.path(), port, setup)? {
                return Ok(Self { child, port, dir });
            }
        }
        let log = fs_err::read_to_string(dir.path().join("log")).unwrap_or_default();
        bail!("docker-registry does not start\n{log}")
    }

    /// `localhost:port`, as image names have it.
    #[must_use]
    pub fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The certificate of its CA, where it speaks TLS.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.crt")
    }

    /// Where its content is: `docker/registry/v2/…`.
    #[must_use]
    pub fn content(&self) -> PathBuf {
        self.dir.path().join("content")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn try_start(dir: &Path, port: u16, setup: Setup) -> Result<Option<Child>> {
    let at = |name: &str| dir.join(name).display().to_string();
    let mut config = format!(
        "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
         storage: {{filesystem: {{rootdirectory: '{}'}}, delete: {{enabled: true}}}}\n\
         http:\n  addr: '127.0.0.1:{port}'\n",
        at("content")
    );
    if setup.tls {
        certificates(dir)?;
        writeln!(config, "  tls: {{certificate: '{}', key: '{}'}}", at("server.crt"), at("server.key"))?;
    }
    if setup.password {
        fs_err::write(dir.join("htpasswd"), format!("{USER}:{HASH}\n"))?;
        writeln!(config, "auth: {{htpasswd: {{realm: test, path: '{}'}}}}", at("htpasswd"))?;
    }
    fs_err::write(dir.join("config.yml"), config)?;
    let log = File::create(dir.join("log"))?;
    let program = Registry::program().context("docker-registry is not installed")?;
    let mut child = Command::new(program)
        .args(["serve", &at("config.yml")])
        // It takes settings from the environment, too.
        .env_clear()
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    let answers = wait::poll(START_LIMIT, || {
        if let Ok(Some(_)) = child.try_wait() {
            return Some(false);
        }
        let address = format!("127.0.0.1:{port}");
        let up = match setup.tls {
            true => std::net::TcpStream::connect(&address).is_ok(),
            false => http::get(&address, "/v2/").is_ok(),
        };
        up.then_some(true)
    });
    if answers == Some(true) {
        return Ok(Some(child));
    }
    drop(child.kill());
    drop(child.wait());
    Ok(None)
}

/// A CA, and a certificate for a server on this machine, by the `openssl` program.
fn certificates(dir: &Path) -> Result<()> {
    if dir.join("server.crt").exists() {
        return Ok(());
    }
    let openssl = |args: &str| -> Result<()> {
        let output = Command::new("openssl").args(args.split(' ')).current_dir(dir).output()?;
        ensure!(output.status.success(), "openssl {args}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(&format!("req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=test-ca"))?;
    openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"))?;
    let extensions = "subjectAltName=DNS:localhost,DNS:registry.test\nbasicConstraints=CA:FALSE\n";
    fs_err::write(dir.join("extensions"), extensions)?;
    openssl(
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.crt",
    )
}
