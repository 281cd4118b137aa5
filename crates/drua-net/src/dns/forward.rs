//! Asking the host's name servers.
//!
//! Questions leave with an id and from a port of our own choosing, and an answer counts only if it comes from the server
//! that was asked and repeats id and question (RFC 5452).

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::answer::Transport;

/// Docker's limits.
const SERVERS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(4);
const HEADER_LEN: usize = 12;

/// Asks one server after the other; `None` when none has an answer.
///
/// An answer that says "cannot" is kept while there is another server to ask.
pub(super) async fn ask(upstreams: &[SocketAddr], packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let mut refusal = None;
    for &server in upstreams.iter().take(SERVERS) {
        let exchange = async {
            match transport {
                Transport::Udp => over_udp(server, packet).await,
                Transport::Tcp => over_tcp(server, packet).await,
            }
        };
        match timeout(PATIENCE, exchange).await {
            Ok(Ok(answer)) if is_refusal(&answer) => refusal = Some(answer),
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::debug!(%server, %error, "a name server does not answer"),
            Err(_) => tracing::debug!(%server, "a name server is silent"),
        }
    }
    refusal
}

async fn over_udp(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(server).await?;
    let question = with_id(packet, rand::random())?;
    socket.send(&question).await?;
    let mut buffer = vec![0; 65535];
    loop {
        let len = socket.recv(&mut buffer).await?;
        if answers(&question, &buffer[..len]) {
            return with_id(&buffer[..len], id(packet)?);
        }
    }
}

async fn over_tcp(server: SocketAddr, packet: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server).await?;
    let question = with_id(packet, rand::random())?;
    write_framed(&mut stream, &question).await?;
    let answer = read_framed(&mut stream).await?;
    if answers(&question, &answer) { with_id(&answer, id(packet)?) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// Reads a message as TCP carries it: length, then bytes (RFC 1035 §4.2.2).
pub(super) async fn read_framed(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let len = stream.read_u16().await?;
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message as TCP carries it, in one piece.
pub(super) async fn write_framed(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    let framed = [&len.to_be_bytes(), message].concat();
    stream.write_all(&framed).await
}

fn id(packet: &[u8]) -> io::Result<u16> {
    packet.first_chunk().map(|bytes| u16::from_be_bytes(*bytes)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn with_id(packet: &[u8], id: u16) -> io::Result<Vec<u8>> {
    let mut packet = packet.to_vec();
    *packet.first_chunk_mut().ok_or(io::ErrorKind::InvalidData)? = id.to_be_bytes();
    Ok(packet)
}

/// Whether `answer` is a response to `question`: same id, same question.
pub(super) fn answers(question: &[u8], answer: &[u8]) -> bool {
    const RESPONSE: u8 = 0x80;
    let same_id = question.get(..2) == answer.get(..2);
    let is_response = answer.get(2).is_some_and(|flags| flags & RESPONSE != 0);
    let same_question = match (question_section(question), question_section(answer)) {
        (Some(asked), Some(answered)) => asked.eq_ignore_ascii_case(answered),
        // Some servers repeat nothing when they refuse.
        (Some(_), None) => answer.len() == HEADER_LEN && is_refusal(answer),
        (None, _) => false,
    };
    same_id && is_response && same_question
}

/// The bytes of the one question: labels up to the root, type and class.
fn question_section(packet: &[u8]) -> Option<&[u8]> {
    let count = u16::from_be_bytes(packet.get(4..6)?.try_into().ok()?);
    if count != 1 {
        return None;
    }
    let mut at = HEADER_LEN;
    loop {
        match *packet.get(at)? {
            0 => return packet.get(HEADER_LEN..at + 5),
            len @ 1..=63 => at += usize::from(len) + 1,
            _ => return None,
        }
    }
}

/// SERVFAIL, NOTIMP or REFUSED.
fn is_refusal(answer: &[u8]) -> bool {
    answer.get(3).is_some_and(|flags| matches!(flags & 0x0f, 2 | 4 | 5))
}
