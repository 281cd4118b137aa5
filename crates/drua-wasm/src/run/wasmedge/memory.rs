//! A guest's memory as host calls see it: every access is checked, and an error number comes back instead of a panic.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno as Linux;

/// An error number of WASI preview 1, or of WasmEdge's extension to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) struct Errno(pub(in crate::run) u16);

impl Errno {
    pub(in crate::run) const ACCES: Self = Self(2);
    pub(in crate::run) const ADDRNOTAVAIL: Self = Self(4);
    pub(in crate::run) const AFNOSUPPORT: Self = Self(5);
    pub(in crate::run) const BADF: Self = Self(8);
    pub(in crate::run) const FAULT: Self = Self(21);
    pub(in crate::run) const INVAL: Self = Self(28);
    pub(in crate::run) const IO: Self = Self(29);
    pub(in crate::run) const MFILE: Self = Self(33);
    pub(in crate::run) const MSGSIZE: Self = Self(35);
    pub(in crate::run) const NOPROTOOPT: Self = Self(50);
    pub(in crate::run) const NOTCONN: Self = Self(53);
    pub(in crate::run) const NOTSOCK: Self = Self(57);
    pub(in crate::run) const NOTSUP: Self = Self(58);
    pub(in crate::run) const AIAGAIN: Self = Self(78);
    pub(in crate::run) const AIFAIL: Self = Self(80);
    pub(in crate::run) const AIFAMILY: Self = Self(81);
    pub(in crate::run) const AINONAME: Self = Self(84);
    pub(in crate::run) const AISERVICE: Self = Self(85);
    pub(in crate::run) const AISOCKTYPE: Self = Self(86);
}

/// What a host call returns: 0, or an error number.
pub(in crate::run) fn errno(result: Result<(), Errno>) -> i32 {
    result.map_or_else(|error| error.0.into(), |()| 0)
}

impl From<Linux> for Errno {
    fn from(error: Linux) -> Self {
        Self(match error {
            Linux::ACCESS => 2,
            Linux::ADDRINUSE => 3,
            Linux::ADDRNOTAVAIL => 4,
            Linux::AFNOSUPPORT => 5,
            Linux::AGAIN => 6,
            Linux::ALREADY => 7,
            Linux::BADF => 8,
            Linux::BUSY => 10,
            Linux::CANCELED => 11,
            Linux::CONNABORTED => 13,
            Linux::CONNREFUSED => 14,
            Linux::CONNRESET => 15,
            Linux::DESTADDRREQ => 17,
            Linux::FAULT => 21,
            Linux::HOSTUNREACH => 23,
            Linux::INPROGRESS => 26,
            Linux::INTR => 27,
            Linux::INVAL => 28,
            Linux::ISCONN => 30,
            Linux::MFILE => 33,
            Linux::MSGSIZE => 35,
            Linux::NETDOWN => 38,
            Linux::NETRESET => 39,
            Linux::NETUNREACH => 40,
            Linux::NFILE => 41,
            Linux::NOBUFS => 42,
            Linux::NODEV => 43,
            Linux::NOMEM => 48,
            Linux::NOPROTOOPT => 50,
            Linux::NOSYS => 52,
            Linux::NOTCONN => 53,
            Linux::NOTSOCK => 57,
            Linux::OPNOTSUPP => 58,
            Linux::PERM => 63,
            Linux::PIPE => 64,
            Linux::PROTO => 65,
            Linux::PROTONOSUPPORT => 66,
            Linux::PROTOTYPE => 67,
            Linux::TIMEDOUT => 73,
            _ => return Self::IO,
        })
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(error: nix::errno::Errno) -> Self {
        Linux::from_raw_os_error(error as i32).into()
    }
}

/// How many pieces one scattered read or gathered write may have, as on Linux.
const MAX_PIECES: u32 = 1024;

/// A piece of the guest's memory: where it begins and how long it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::run) struct Piece {
    pub(in crate::run) at: u32,
    pub(in crate::run) length: u32,
}

/// The exported memory.
#[derive(Debug)]
pub(in crate::run) struct Memory<'a>(pub(in crate::run) &'a mut [u8]);

impl Memory<'_> {
    pub(in crate::run) fn bytes(&self, at: u32, length: u32) -> Result<&[u8], Errno> {
        let end = (at as usize).checked_add(length as usize).ok_or(Errno::FAULT)?;
        self.0.get(at as usize..end).ok_or(Errno::FAULT)
    }

    pub(in crate::run) fn bytes_mut(&mut self, at: u32, length: u32) -> Result<&mut [u8], Errno> {
        let end = (at as usize).checked_add(length as usize).ok_or(Errno::FAULT)?;
        self.0.get_mut(at as usize..end).ok_or(Errno::FAULT)
    }

    fn array<const N: usize>(&self, at: u32) -> Result<[u8; N], Errno> {
        self.bytes(at, N as u32)?.try_into().map_err(|_| Errno::FAULT)
    }

    pub(in crate::run) fn read_u8(&self, at: u32) -> Result<u8, Errno> {
        self.array::<1>(at).map(|[byte]| byte)
    }

    pub(in crate::run) fn read_u16(&self, at: u32) -> Result<u16, Errno> {
        self.array(at).map(u16::from_le_bytes)
    }

    pub(in crate::run) fn read_u32(&self, at: u32) -> Result<u32, Errno> {
        self.array(at).map(u32::from_le_bytes)
    }

    pub(in crate::run) fn read_u64(&self, at: u32) -> Result<u64, Errno> {
        self.array(at).map(u64::from_le_bytes)
    }

    pub(in crate::run) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Errno> {
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::FAULT)?;
        self.bytes_mut(at, length)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(in crate::run) fn write_u16(&mut self, at: u32, value: u16) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    pub(in crate::run) fn write_u32(&mut self, at: u32, value: u32) -> Result<(), Errno> {
        self.write(at, &value.to_le_bytes())
    }

    /// The pieces of an iovec array, each of them within memory.
    pub(in crate::run) fn pieces(&self, at: u32, count: u32) -> Result<Vec<Piece>, Errno> {
        if count > MAX_PIECES {
            return Err(Errno::INVAL);
        }
        let mut pieces = Vec::with_capacity(count as usize);
        for index in 0..count {
            let at = at.checked_add(index * 8).ok_or(Errno::FAULT)?;
            let end = at.checked_add(4).ok_or(Errno::FAULT)?;
            let piece = Piece { at: self.read_u32(at)?, length: self.read_u32(end)? };
            self.bytes(piece.at, piece.length)?;
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// The `__wasi_address_t` at a place: its buffer.
    pub(in crate::run) fn address_buffer(&self, at: u32) -> Result<Piece, Errno> {
        if !at.is_multiple_of(4) {
            return Err(Errno::ADDRNOTAVAIL);
        }
        let end = at.checked_add(4).ok_or(Errno::FAULT)?;
        let piece = Piece { at: self.read_u32(at)?, length: self.read_u32(end)? };
        self.bytes(piece.at, piece.length)?;
        Ok(piece)
    }

    /// An address of the guest: 4 or 16 bytes, or 128 with the family in front.
    pub(in crate::run) fn address(&self, at: u32) -> Result<IpAddr, Errno> {
        let buffer = self.address_buffer(at)?;
        match buffer.length {
            4 => Ok(Ipv4Addr::from(self.array::<4>(buffer.at)?).into()),
            16 => Ok(Ipv6Addr::from(self.array::<16>(buffer.at)?).into()),
            LONG => match self.read_u16(buffer.at)? {
                INET4 => Ok(Ipv4Addr::from(self.array::<4>(buffer.at + 2)?).into()),
                INET6 => Ok(Ipv6Addr::from(self.array::<16>(buffer.at + 2)?).into()),
                _ => Err(Errno::AFNOSUPPORT),
            },
            _ => Err(Errno::INVAL),
        }
    }

    /// Writes an address the way that the guest's buffer asks for.
    pub(in crate::run) fn write_address(&mut self, buffer: Piece, address: IpAddr) -> Result<(), Errno> {
        let (family, bytes) = match address {
            IpAddr::V4(address) => (INET4, address.octets().to_vec()),
            IpAddr::V6(address) => (INET6, address.octets().to_vec()),
        };
        if buffer.length == LONG {
            self.write_u16(buffer.at, family)?;
            return self.write(buffer.at + 2, &bytes);
        }
        if !matches!(buffer.length, 4 | 16) || bytes.len() > buffer.length as usize {
            return Err(Errno::INVAL);
        }
        self.write(buffer.at, &bytes)
    }
}

/// `__WASI_ADDRESS_FAMILY_INET4`.
pub(in crate::run) const INET4: u16 = 1;
/// `__WASI_ADDRESS_FAMILY_INET6`.
pub(in crate::run) const INET6: u16 = 2;
/// Length of an address with its family: the second version of the extension.
const LONG: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wild_pointers_are_faults() {
        let mut bytes = [0u8; 64];
        let mut memory = Memory(&mut bytes);
        for at in [61, 64, u32::MAX, u32::MAX - 3] {
            assert_eq!(memory.read_u32(at), Err(Errno::FAULT), "{at}");
            assert_eq!(memory.write_u32(at, 1), Err(Errno::FAULT), "{at}");
        }
        assert_eq!(memory.bytes(1, u32::MAX), Err(Errno::FAULT));
        assert_eq!(memory.pieces(u32::MAX - 4, 1), Err(Errno::FAULT));
        assert_eq!(memory.pieces(0, u32::MAX), Err(Errno::INVAL));
        assert_eq!(memory.address(2), Err(Errno::ADDRNOTAVAIL));
        memory.write(0, &[60, 0, 0, 0, 16, 0, 0, 0]).expect("room");
        assert_eq!(memory.address(0), Err(Errno::FAULT));
        assert_eq!(memory.pieces(0, 1), Err(Errno::FAULT));
    }

    #[test]
    fn addresses_of_both_versions() {
        let mut bytes = [0u8; 256];
        let mut memory = Memory(&mut bytes);
        let address: IpAddr = "10.1.2.3".parse().expect("an address");
        for (length, expect) in
            [(4, Ok(())), (16, Ok(())), (128, Ok(())), (5, Err(Errno::INVAL)), (0, Err(Errno::INVAL))]
        {
            let buffer = Piece { at: 16, length };
            assert_eq!(memory.write_address(buffer, address), expect, "{length}");
        }
        memory.write(0, &[16, 0, 0, 0, 128, 0, 0, 0]).expect("room");
        memory.write_address(Piece { at: 16, length: 128 }, address).expect("room");
        assert_eq!(memory.address(0), Ok(address));
        assert_eq!(memory.write_address(Piece { at: 16, length: 4 }, "::1".parse().expect("one")), Err(Errno::INVAL));
    }
}
