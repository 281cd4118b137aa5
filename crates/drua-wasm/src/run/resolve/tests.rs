use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::*;

/// A name server on loopback that knows some names; others do not exist.
struct Dns {
    known: HashMap<&'static str, Vec<IpAddr>>,
    asked: Mutex<Vec<String>>,
}

impl Dns {
    /// Starts it and returns a resolver that asks it, with the directory of the resolver's files.
    async fn start(
        known: &[(&'static str, &[&str])],
        resolv_conf: &str,
        hosts: &str,
    ) -> (Arc<Self>, Resolver, tempfile::TempDir) {
        let known =
            known.iter().map(|(name, list)| (*name, list.iter().map(|ip| ip.parse().expect("an ip")).collect()));
        let dns = Arc::new(Self { known: known.collect(), asked: Mutex::default() });
        let (udp, tcp) = sockets().await;
        let port = udp.local_addr().expect("an address").port();
        tokio::spawn(dns.clone().serve_udp(udp));
        tokio::spawn(dns.clone().serve_tcp(tcp));
        let etc = tempfile::tempdir().expect("a directory");
        std::fs::write(etc.path().join("resolv.conf"), resolv_conf).expect("writing");
        std::fs::write(etc.path().join("hosts"), hosts).expect("writing");
        let resolver = Resolver::new(etc.path(), port);
        (dns, resolver, etc)
    }

    async fn serve_udp(self: Arc<Self>, socket: UdpSocket) {
        let mut buffer = [0; 512];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.expect("receiving");
            let mut answer = self.answer(&buffer[..length]);
            // A stray datagram first: the resolver must wait for its own answer.
            let mut stray = answer.clone();
            stray.metadata.id ^= 1;
            socket.send_to(&stray.to_vec().expect("encoding"), client).await.expect("sending");
            if answer.answers.len() > 8 {
                answer = answer.truncate();
                answer.metadata.truncation = true;
            }
            socket.send_to(&answer.to_vec().expect("encoding"), client).await.expect("sending");
        }
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (mut stream, _) = listener.accept().await.expect("accepting");
            let mut question = vec![0; stream.read_u16().await.expect("a length").into()];
            stream.read_exact(&mut question).await.expect("a question");
            let answer = self.answer(&question).to_vec().expect("encoding");
            stream.write_u16(answer.len() as u16).await.expect("answering");
            stream.write_all(&answer).await.expect("answering");
        }
    }

    fn answer(&self, question: &[u8]) -> Message {
        let question = Message::from_vec(question).expect("a question");
        let query = question.queries[0].clone();
        let name = query.name().to_ascii();
        if query.query_type() == RecordType::A {
            self.asked.lock().expect("no panic").push(name.clone());
        }
        let mut answer = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
        answer.add_query(query.clone());
        match self.known.get(name.as_str()) {
            None => answer.metadata.response_code = ResponseCode::NXDomain,
            Some(addresses) if addresses.is_empty() => answer.metadata.response_code = ResponseCode::ServFail,
            Some(addresses) => {
                for address in addresses {
                    let data = match (address, query.query_type()) {
                        (IpAddr::V4(v4), RecordType::A) => RData::A(A(*v4)),
                        (IpAddr::V6(v6), RecordType::AAAA) => RData::AAAA(AAAA(*v6)),
                        _ => continue,
                    };
                    answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
                }
            }
        }
        answer
    }
}

/// One port for both protocols.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.expect("binding");
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().expect("an address")).await {
            return (udp, tcp);
        }
    }
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(test);
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().expect("an ip")).collect()
}

#[test]
fn servers_are_asked_and_ipv4_comes_first() {
    run(async {
        let known: &[(&str, &[&str])] = &[("db.", &["fd00::5", "10.0.0.5"]), ("four.", &["10.0.0.4"])];
        let (_, resolver, _etc) = Dns::start(known, "nameserver 127.0.0.1\n", "").await;
        assert_eq!(resolver.resolve("db").await, Ok(ips(&["10.0.0.5", "fd00::5"])));
        assert_eq!(resolver.resolve("four").await, Ok(ips(&["10.0.0.4"])));
        assert_eq!(resolver.resolve("nobody").await, Err(ResolveError::NotFound("nobody".to_owned())));
        assert_eq!(resolver.resolve("10.1.2.3").await, Ok(ips(&["10.1.2.3"])));
        assert_eq!(resolver.resolve("[::1]").await, Ok(ips(&["::1"])));
        assert!(matches!(resolver.resolve("").await, Err(ResolveError::Name(_))));
        assert!(matches!(resolver.resolve("a b").await, Err(ResolveError::Name(_) | ResolveError::NotFound(_))));
    });
}

#[test]
fn hosts_come_before_servers() {
    run(async {
        let (dns, resolver, etc) =
            Dns::start(&[("web.", &["10.0.0.9"])], "nameserver 127.0.0.1\n", "10.0.0.1 Web www # mine\n::2 web\n")
                .await;
        assert_eq!(resolver.resolve("web").await, Ok(ips(&["10.0.0.1", "::2"])));
        assert_eq!(resolver.resolve("WWW").await, Ok(ips(&["10.0.0.1"])));
        assert_eq!(resolver.resolve("localhost").await, Ok(ips(&["127.0.0.1", "::1"])));
        assert!(dns.asked.lock().expect("no panic").is_empty());
        // The files are read anew each time, and a FIFO in their place blocks nobody.
        std::fs::remove_file(etc.path().join("hosts")).expect("removing");
        nix::unistd::mkfifo(&etc.path().join("hosts"), nix::sys::stat::Mode::S_IRWXU).expect("a fifo");
        assert_eq!(resolver.resolve("web").await, Ok(ips(&["10.0.0.9"])));
    });
}

#[test]
fn search_domains_follow_ndots() {
    run(async {
        let conf = "search one.test two.test\nnameserver 127.0.0.1\noptions ndots:2\n";
        let (dns, resolver, _etc) =
            Dns::start(&[("a.b.two.test.", &["10.0.0.1"]), ("x.y.z.", &["10.0.0.2"])], conf, "").await;
        assert_eq!(resolver.resolve("a.b").await, Ok(ips(&["10.0.0.1"])));
        assert_eq!(resolver.resolve("x.y.z").await, Ok(ips(&["10.0.0.2"])));
        assert!(resolver.resolve("a.b.").await.is_err());
        let asked = dns.asked.lock().expect("no panic").join(" ");
        assert_eq!(asked, "a.b.one.test. a.b.two.test. x.y.z. a.b.");
    });
}

#[test]
fn long_answers_come_by_tcp() {
    run(async {
        let addresses: Vec<String> = (1..=60).map(|n| Ipv4Addr::new(10, 0, 0, n).to_string()).collect();
        let many: Vec<&str> = addresses.iter().map(String::as_str).collect();
        let (_, resolver, _etc) = Dns::start(&[("many.", &many)], "nameserver 127.0.0.1\n", "").await;
        assert_eq!(resolver.resolve("many").await.expect("an answer").len(), 60);
        let (_, resolver, _etc) =
            Dns::start(&[("x.", &["10.0.0.1"])], "nameserver 127.0.0.1\noptions use-vc\n", "").await;
        assert_eq!(resolver.resolve("x").await, Ok(ips(&["10.0.0.1"])));
    });
}

#[test]
fn failing_servers_are_told_from_missing_names() {
    run(async {
        // 127.0.0.2 has no server on that port: its refusal is immediate, and the next one is asked.
        let conf = "nameserver 127.0.0.2\nnameserver 127.0.0.1\noptions attempts:1 timeout:1\n";
        let (_, resolver, _etc) = Dns::start(&[("ok.", &["10.0.0.1"]), ("broken.", &[])], conf, "").await;
        assert_eq!(resolver.resolve("ok").await, Ok(ips(&["10.0.0.1"])));
        assert!(matches!(resolver.resolve("broken").await, Err(ResolveError::Server { .. })));
        let silent = UdpSocket::bind("127.0.0.1:0").await.expect("binding");
        let etc = tempfile::tempdir().expect("a directory");
        std::fs::write(etc.path().join("resolv.conf"), "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n")
            .expect("writing");
        let resolver = Resolver::new(etc.path(), silent.local_addr().expect("an address").port());
        assert_eq!(resolver.resolve("ok").await, Err(ResolveError::NoAnswer("ok".to_owned())));
    });
}

#[test]
fn resolv_conf_is_read_as_the_c_library_reads_it() {
    let config = ResolvConf::parse(
        "# comment\n; comment\nnameserver 10.0.0.1\nnameserver fe80::1%eth0\nnameserver nonsense\nnameserver 1.1.1.1\n\
         nameserver 8.8.8.8\ndomain a.test\nsearch b.test\noptions timeout:90 attempts:0 ndots:99 rotate\n",
    );
    assert_eq!(config.servers, ips(&["10.0.0.1", "fe80::1", "1.1.1.1"]));
    assert_eq!((config.timeout, config.attempts, config.use_tcp), (Duration::from_secs(30), 1, false));
    let name = Name::from_str_relaxed("x").expect("a name");
    let candidates: Vec<String> = config.candidates(&name).iter().map(Name::to_ascii).collect();
    assert_eq!(candidates, ["x.b.test.", "x."]);
    assert_eq!(ResolvConf::parse("").servers, ips(&["127.0.0.1"]));
}
