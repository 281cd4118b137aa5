//! One question to one name server (RFC 1035): by UDP, and by TCP when the answer does not fit.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

pub(super) const PORT: u16 = 53;
/// Without EDNS, which not every server on a container network speaks, an answer by UDP has at most 512 bytes.
const UDP_SIZE: usize = 4096;

/// What a server said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// These, at least one.
    Addresses(Vec<IpAddr>),
    /// The name does not exist, or has no such address.
    Unknown,
    /// Nothing, in time.
    Silent,
    /// That it cannot or will not answer.
    Failed(String),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) timeout: Duration,
    pub(super) tcp_only: bool,
}

impl Server {
    pub(super) async fn query(&self, name: &Name, kind: RecordType) -> Outcome {
        let mut question = Message::query();
        question.metadata.recursion_desired = true;
        question.add_query(Query::query(name.clone(), kind));
        let deadline = Instant::now() + self.timeout;
        match timeout_at(deadline, self.exchange(&question)).await {
            Ok(Ok(answer)) => read_answer(&answer),
            Ok(Err(error)) => Outcome::Failed(error.to_string()),
            Err(_) => Outcome::Silent,
        }
    }

    async fn exchange(&self, question: &Message) -> io::Result<Message> {
        let bytes = question.to_vec().map_err(io::Error::other)?;
        if !self.tcp_only {
            let answer = self.by_udp(question, &bytes).await?;
            if !answer.metadata.truncation {
                return Ok(answer);
            }
        }
        self.by_tcp(question, &bytes).await
    }

    async fn by_udp(&self, question: &Message, bytes: &[u8]) -> io::Result<Message> {
        let any: SocketAddr =
            if self.address.is_ipv4() { (Ipv4Addr::UNSPECIFIED, 0).into() } else { (Ipv6Addr::UNSPECIFIED, 0).into() };
        // Connected: the kernel drops what comes from elsewhere and reports a closed port.
        let socket = UdpSocket::bind(any).await?;
        socket.connect(self.address).await?;
        socket.send(bytes).await?;
        let mut buffer = vec![0; UDP_SIZE];
        loop {
            let length = socket.recv(&mut buffer).await?;
            // Something else than our answer: a late one, or somebody's guess. The right one may still come.
            if let Ok(answer) = Message::from_vec(&buffer[..length])
                && answers(&answer, question)
            {
                return Ok(answer);
            }
        }
    }

    async fn by_tcp(&self, question: &Message, bytes: &[u8]) -> io::Result<Message> {
        let mut stream = TcpStream::connect(self.address).await?;
        let length = u16::try_from(bytes.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes()[..], bytes].concat()).await?;
        let mut buffer = vec![0; stream.read_u16().await?.into()];
        stream.read_exact(&mut buffer).await?;
        let answer = Message::from_vec(&buffer).map_err(io::Error::other)?;
        if answers(&answer, question) { Ok(answer) } else { Err(io::Error::other("the answer is to another question")) }
    }
}

fn answers(answer: &Message, question: &Message) -> bool {
    answer.metadata.id == question.metadata.id
        && answer.metadata.message_type == MessageType::Response
        && answer.queries == question.queries
}

fn read_answer(answer: &Message) -> Outcome {
    match answer.metadata.response_code {
        ResponseCode::NoError => {}
        ResponseCode::NXDomain => return Outcome::Unknown,
        code => return Outcome::Failed(code.to_string()),
    }
    // A recursive server sends the whole chain of aliases; the addresses at its end are what was asked for.
    let addresses: Vec<IpAddr> = answer
        .answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::A(address) => Some(address.0.into()),
            RData::AAAA(address) => Some(address.0.into()),
            _ => None,
        })
        .collect();
    if addresses.is_empty() { Outcome::Unknown } else { Outcome::Addresses(addresses) }
}
