//! Health checks of containers in which nothing can be executed: what their command would have asked, we ask ourselves,
//! from within the container's network namespace.
//!
//! A WebAssembly container has no `curl`. Its check is a URL, `http://localhost:8080/health` or `tcp://localhost:6379`, alone
//! (`--health-cmd http://…`) or as an argument of `curl` or `wget`, which is what compose files have; or `nc -z host port`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::{Error, Result};

/// How much of an answer is read.
const MAX_ANSWER_BYTES: u64 = 4096;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probe {
    address: SocketAddr,
    /// Host and path of an HTTP request; `None` when a connection is enough.
    request: Option<(String, String)>,
}

impl Probe {
    /// What a health check's command asks, if it is of a form that needs no program.
    pub(super) fn parse(args: &[String]) -> Option<Self> {
        let words: Vec<&str> = args.iter().flat_map(|arg| arg.split_whitespace()).collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim_matches(['"', '\''])).collect();
        // `curl … || exit 1` means what the exit code of curl means.
        let end = words.iter().position(|word| *word == "||").unwrap_or(words.len());
        let words = &words[..end];
        let program = words.iter().position(|word| !word.ends_with("/sh") && !matches!(*word, "sh" | "-c"))?;
        let (program, rest) = (words[program].rsplit('/').next()?, &words[program + 1..]);
        let url = |words: &[&str]| words.iter().find_map(|word| Self::of_url(word));
        match program {
            "curl" | "wget" => url(rest),
            "nc" if rest.contains(&"-z") => {
                let mut plain = rest.iter().filter(|word| !word.starts_with('-'));
                let (host, port) = (plain.next()?, plain.next()?);
                Some(Self { address: address(host, port.parse().ok()?)?, request: None })
            }
            _ => rest.is_empty().then(|| url(&words[words.len().checked_sub(1)?..])).flatten(),
        }
    }

    fn of_url(text: &str) -> Option<Self> {
        let (is_http, rest) = match (text.strip_prefix("http://"), text.strip_prefix("tcp://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            (None, None) => return None,
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ if is_http => (authority, 80),
            _ => return None,
        };
        let path = if path.is_empty() { "/" } else { path };
        let request = is_http.then(|| (authority.to_owned(), path.to_owned()));
        Some(Self { address: address(host, port)?, request })
    }

    /// Asks, in the network namespace at `netns`. Exit code, as a command would have it, and what there is to say. Blocking,
    /// for `patience` at most a step.
    pub(super) fn run(&self, netns: &Path, patience: Duration) -> Result<(u32, String)> {
        let connect = || TcpStream::connect_timeout(&self.address, patience);
        let entered = drua_net::netns::enter(netns, connect);
        let connected = entered.map_err(|error| Error::Network {
            kind: drua_types::ErrorKind::Internal,
            message: drua_types::error_chain(&error),
        })?;
        let answer = connected.and_then(|stream| self.ask(stream, patience));
        Ok(match answer {
            Ok(result) => result,
            Err(error) => (1, format!("{}: {error}", self.address)),
        })
    }

    fn ask(&self, mut stream: TcpStream, patience: Duration) -> std::io::Result<(u32, String)> {
        let Some((host, path)) = &self.request else { return Ok((0, format!("connected to {}", self.address))) };
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let agent = concat!("drua-health/", env!("CARGO_PKG_VERSION"));
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER_BYTES).read_to_end(&mut answer)?;
        let text = String::from_utf8_lossy(&answer);
        let status: Option<u16> = text.split_whitespace().nth(1).and_then(|status| status.parse().ok());
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let line = text.lines().next().unwrap_or_default();
        let fine = text.starts_with("HTTP/") && status.is_some_and(|status| (200..400).contains(&status));
        Ok((u32::from(!fine), format!("{line}\n{body}")))
    }
}

/// Names are not looked up: a container asks itself.
fn address(host: &str, port: u16) -> Option<SocketAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let ip = match host {
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        other => other.parse().ok()?,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_questions() {
        let http = |address: &str, host: &str, path: &str| {
            let request = Some((host.to_owned(), path.to_owned()));
            Some(Probe { address: address.parse().expect("an address"), request })
        };
        let tcp = |address: &str| Some(Probe { address: address.parse().expect("an address"), request: None });
        for (command, expected) in [
            (&["http://localhost:8080/health"][..], http("127.0.0.1:8080", "localhost:8080", "/health")),
            (&["/bin/sh", "-c", "http://127.0.0.1"], http("127.0.0.1:80", "127.0.0.1", "/")),
            (&["curl", "-f", "http://localhost:8080"], http("127.0.0.1:8080", "localhost:8080", "/")),
            (
                &["/bin/sh", "-c", "curl -fsS http://localhost:8080/a?b=c || exit 1"],
                http("127.0.0.1:8080", "localhost:8080", "/a?b=c"),
            ),
            (&["wget", "--spider", "-q", "'http://[::1]:81/'"], http("[::1]:81", "[::1]:81", "/")),
            (&["tcp://localhost:6379"], tcp("127.0.0.1:6379")),
            (&["/bin/sh", "-c", "nc -z localhost 5432"], tcp("127.0.0.1:5432")),
            (&["curl", "https://localhost/"], None),
            (&["http://elsewhere.example/"], None),
            (&["tcp://localhost"], None),
            (&["pg_isready"], None),
            (&["rm", "http://localhost/"], None),
            (&["curl"], None),
            (&[], None),
        ] {
            let words: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
            assert_eq!(Probe::parse(&words), expected, "{command:?}");
        }
    }

    #[test]
    fn answers_are_judged() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("an address").port();
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.1 200 OK\r\n\r\nfine", "HTTP/1.1 503 Unavailable\r\n\r\nnot yet", "nonsense"] {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    let mut piece = [0; 1024];
                    let length = stream.read(&mut piece).expect("a request");
                    assert_ne!(length, 0, "the request ends early");
                    request.extend_from_slice(&piece[..length]);
                }
                assert!(request.starts_with(b"GET /x HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).expect("answered");
            }
        });
        let probe = Probe::parse(&[format!("http://localhost:{port}/x")]).expect("a probe");
        let ask = || {
            let stream = TcpStream::connect(probe.address).expect("connected");
            probe.ask(stream, Duration::from_secs(5)).expect("an answer")
        };
        assert_eq!(ask(), (0, "HTTP/1.1 200 OK\nfine".to_owned()));
        assert_eq!(ask(), (1, "HTTP/1.1 503 Unavailable\nnot yet".to_owned()));
        assert_eq!(ask().0, 1);
        server.join().expect("served");
    }
}
