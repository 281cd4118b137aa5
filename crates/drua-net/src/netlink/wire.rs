//! Netlink messages and attributes as bytes.

/// `nlmsghdr` flags (linux/netlink.h).
pub(crate) mod flags {
    pub(crate) const REQUEST: u16 = 0x001;
    pub(crate) const MULTI: u16 = 0x002;
    pub(crate) const ACK: u16 = 0x004;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
}

const HEADER_LEN: usize = 16;
const NESTED: u16 = 0x8000;
const TYPE_MASK: u16 = 0x3fff;

/// One netlink message under construction: header, the family's fixed header, attributes.
#[derive(Debug, Clone)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// Starts a request; `flags` are added to `NLM_F_REQUEST`.
    pub(crate) fn new(kind: u16, flags: u16) -> Self {
        let mut bytes = vec![0; HEADER_LEN];
        bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
        bytes[6..8].copy_from_slice(&(flags | self::flags::REQUEST).to_ne_bytes());
        Self(bytes)
    }

    /// Adds the family's fixed header.
    pub(crate) fn fixed(mut self, header: &[u8]) -> Self {
        self.0.extend_from_slice(header);
        self.pad();
        self
    }

    /// Adds an attribute.
    ///
    /// # Panics
    /// If the value is 64 KiB or longer; callers bound what they put in.
    pub(crate) fn attr(mut self, kind: u16, value: &[u8]) -> Self {
        let len = u16::try_from(value.len() + 4).expect("attribute values are kept below 64 KiB by their writers");
        self.0.extend_from_slice(&len.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.pad();
        self
    }

    /// Adds a number in the machine's byte order, as rtnetlink has it.
    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_ne_bytes())
    }

    /// Adds a number in network byte order, as nftables has it.
    pub(crate) fn be32(self, kind: u16, value: u32) -> Self {
        self.attr(kind, &value.to_be_bytes())
    }

    /// Adds a NUL-terminated string.
    pub(crate) fn str(self, kind: u16, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.attr(kind, &bytes)
    }

    /// Adds an attribute that holds what `fill` adds.
    ///
    /// # Panics
    /// As [`Message::attr`].
    pub(crate) fn nest(mut self, kind: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 2]);
        self.0.extend_from_slice(&(kind | NESTED).to_ne_bytes());
        let mut filled = fill(self);
        let len = u16::try_from(filled.0.len() - start).expect("nests are kept below 64 KiB by their writers");
        filled.0[start..start + 2].copy_from_slice(&len.to_ne_bytes());
        filled
    }

    /// The finished message, with its length, sequence number and additional flags in place.
    pub(super) fn finish(mut self, sequence: u32, extra_flags: u16) -> Vec<u8> {
        let len = u32::try_from(self.0.len()).expect("a message is far shorter than 4 GiB");
        let flags = u16::from_ne_bytes([self.0[6], self.0[7]]) | extra_flags;
        self.0[0..4].copy_from_slice(&len.to_ne_bytes());
        self.0[6..8].copy_from_slice(&flags.to_ne_bytes());
        self.0[8..12].copy_from_slice(&sequence.to_ne_bytes());
        self.0
    }

    fn pad(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// One received message.
#[derive(Debug)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// In notifications: the port of the socket that asked for the change.
    pub(crate) sender: u32,
    pub(crate) body: &'a [u8],
}

/// Splits a datagram into messages; stops at the first one that is cut short.
pub(crate) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let len = u32_at(bytes, 0)? as usize;
        let body = bytes.get(HEADER_LEN..len)?;
        let message = Received {
            kind: u16_at(bytes, 4)?,
            flags: u16_at(bytes, 6)?,
            sequence: u32_at(bytes, 8)?,
            sender: u32_at(bytes, 12)?,
            body,
        };
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// Iterates over attributes as (type without flags, value); stops at the first one that is cut short.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(u16_at(bytes, 0)?);
        let kind = u16_at(bytes, 2)? & TYPE_MASK;
        let value = bytes.get(4..len)?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The number in the machine's byte order at an offset.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// A NUL-terminated string attribute.
pub(super) fn string(value: &[u8]) -> String {
    String::from_utf8_lossy(value.split(|&byte| byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_can_be_read() {
        let message = Message::new(16, flags::ACK)
            .fixed(&[1, 2, 3, 4])
            .str(3, "eth0")
            .nest(18, |nest| nest.str(1, "veth").u32(2, 7))
            .finish(9, 0);
        let [received] = <[Received<'_>; 1]>::try_from(messages(&message).collect::<Vec<_>>()).expect("one message");
        assert_eq!((received.kind, received.flags, received.sequence), (16, 5, 9));
        let attrs: Vec<_> = attributes(&received.body[4..]).collect();
        assert_eq!(attrs[0], (3, &b"eth0\0"[..]));
        let nested: Vec<_> = attributes(attrs[1].1).collect();
        assert_eq!(nested, [(1, &b"veth\0"[..]), (2, &7u32.to_ne_bytes()[..])]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for message in messages(&bytes) {
                prop_assert!(attributes(message.body).count() <= bytes.len());
            }
            prop_assert!(attributes(&bytes).count() <= bytes.len());
        }
    }
}
