//! What to do with a question: a pure function of the zone, the asker and the packet.

use std::net::IpAddr;

use drua_types::ContainerId;
use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::zone::Zone;

/// Docker's, in seconds.
const TTL: u32 = 600;
/// RFC 1035 §4.2.1; what an answer over UDP may have when the asker says nothing else.
const PLAIN_UDP_LIMIT: u16 = 512;
/// No link on the way is smaller than a bridge, but there is no need for more either (RFC 9715).
const EDNS_UDP_LIMIT: u16 = 1232;
const HEADER_LEN: usize = 12;

/// How a question came; it limits the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// What becomes of a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Send this back.
    Reply(Vec<u8>),
    /// Ask the host's name servers.
    Forward,
    /// Do nothing: it is no question.
    Ignore,
}

/// Decides about a packet from a container. `turn` rotates the addresses of a name that has several.
pub(super) fn decide(
    zone: &Zone,
    container: &ContainerId,
    packet: &[u8],
    transport: Transport,
    turn: usize,
) -> Decision {
    let Ok(request) = Message::from_vec(packet) else { return unreadable(packet) };
    if request.metadata.message_type != MessageType::Query {
        return Decision::Ignore;
    }
    if request.metadata.op_code != OpCode::Query {
        return reply(&request, transport, ResponseCode::NotImp, Vec::new());
    }
    let [query] = request.queries.as_slice() else {
        return reply(&request, transport, ResponseCode::FormErr, Vec::new());
    };
    match local_answers(zone, container, query, turn) {
        Some(answers) => reply(&request, transport, ResponseCode::NoError, answers),
        None if zone.forwards(container) => Decision::Forward,
        None => reply(&request, transport, ResponseCode::NXDomain, Vec::new()),
    }
}

/// The answer when nobody could be asked.
pub(super) fn server_failure(packet: &[u8]) -> Option<Vec<u8>> {
    let request = Message::from_vec(packet).ok()?;
    match reply(&request, Transport::Udp, ResponseCode::ServFail, Vec::new()) {
        Decision::Reply(bytes) => Some(bytes),
        Decision::Forward | Decision::Ignore => None,
    }
}

/// `None` for what is not ours to answer; an empty answer for a name of ours that has no such record.
fn local_answers(zone: &Zone, container: &ContainerId, query: &Query, turn: usize) -> Option<Vec<Record>> {
    if query.query_class() != DNSClass::IN {
        return None;
    }
    let name = query.name();
    if query.query_type() == RecordType::PTR
        && let Ok(net) = name.parse_arpa_name()
        && net.prefix_len() == net.max_prefix_len()
    {
        let target = Name::from_ascii(format!("{}.", zone.pointer(container, net.addr())?)).ok()?;
        return Some(vec![record(name, RData::PTR(PTR(target)))]);
    }
    let text = name.to_ascii().to_ascii_lowercase();
    let addresses = zone.addresses(container, text.trim_end_matches('.'))?;
    let mut records: Vec<Record> = addresses
        .iter()
        .filter_map(|address| match (address, query.query_type()) {
            (IpAddr::V4(address), RecordType::A) => Some(record(name, RData::A(A(*address)))),
            (IpAddr::V6(address), RecordType::AAAA) => Some(record(name, RData::AAAA(AAAA(*address)))),
            _ => None,
        })
        .collect();
    if !records.is_empty() {
        let len = records.len();
        records.rotate_left(turn % len);
    }
    Some(records)
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

fn reply(request: &Message, transport: Transport, code: ResponseCode, answers: Vec<Record>) -> Decision {
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    response.metadata.response_code = code;
    response.add_queries(request.queries.iter().cloned());
    response.add_answers(answers);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(EDNS_UDP_LIMIT);
        response.set_edns(edns);
    }
    let limit = match (transport, &request.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => PLAIN_UDP_LIMIT,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(PLAIN_UDP_LIMIT, EDNS_UDP_LIMIT),
    };
    let encoded = response.to_vec().ok().and_then(|bytes| {
        if bytes.len() <= usize::from(limit) { Some(bytes) } else { response.truncate().to_vec().ok() }
    });
    encoded.map_or(Decision::Ignore, Decision::Reply)
}

/// Tells somebody who asked something that cannot be read so, if there is at least a header to answer to.
fn unreadable(packet: &[u8]) -> Decision {
    const RESPONSE: u8 = 0x80;
    let (Some(&[high, low]), Some(flags)) = (packet.first_chunk(), packet.get(2)) else { return Decision::Ignore };
    if packet.len() < HEADER_LEN || flags & RESPONSE != 0 {
        return Decision::Ignore;
    }
    let id = u16::from_be_bytes([high, low]);
    let error = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
    error.to_vec().map_or(Decision::Ignore, Decision::Reply)
}
