//! gzip (RFC 1952) for layers: without the checksum of the trailer, which costs a tenth of an unpacking and says less than
//! the diff id, which is computed from the same bytes.
//!
//! Only for streams that are verified otherwise. Lengths are compared all the same.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const HEADER_CHECKSUM: u8 = 1 << 1;
/// Longer names and comments than this are no gzip that anybody made.
const MAX_TEXT_BYTES: usize = 64 << 10;

/// Where in a stream of members the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Body,
    Trailer,
    End,
}

/// Decompresses one member after the other.
pub(super) struct Gunzip<R> {
    inner: R,
    raw: Decompress,
    at: At,
}

impl<R: BufRead> Gunzip<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, raw: Decompress::new(false), at: At::Header }
    }

    fn header(&mut self) -> io::Result<()> {
        let mut fixed = [0; 10];
        self.inner.read_exact(&mut fixed)?;
        let [0x1f, 0x8b, 8, flags, ..] = fixed else { return Err(invalid("no gzip header")) };
        if flags & EXTRA != 0 {
            let mut length = [0; 2];
            self.inner.read_exact(&mut length)?;
            let length = u64::from(u16::from_le_bytes(length));
            if io::copy(&mut self.inner.by_ref().take(length), &mut io::sink())? != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                self.skip_text()?;
            }
        }
        if flags & HEADER_CHECKSUM != 0 {
            self.inner.read_exact(&mut [0; 2])?;
        }
        self.raw.reset(false);
        Ok(())
    }

    /// Skips to the byte after the next zero.
    fn skip_text(&mut self) -> io::Result<()> {
        let mut byte = [0];
        for _ in 0..MAX_TEXT_BYTES {
            self.inner.read_exact(&mut byte)?;
            if byte == [0] {
                return Ok(());
            }
        }
        Err(invalid("a name in a gzip header that does not end"))
    }

    /// Decompresses into `buffer`; 0 bytes when the member has ended.
    fn body(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let input = self.inner.fill_buf()?;
            let ended = input.is_empty();
            let (read, written) = (self.raw.total_in(), self.raw.total_out());
            let status = self.raw.decompress(input, buffer, FlushDecompress::None).map_err(io::Error::from)?;
            let read = usize::try_from(self.raw.total_in() - read).unwrap_or(0);
            let written = usize::try_from(self.raw.total_out() - written).unwrap_or(0);
            self.inner.consume(read);
            match status {
                Status::StreamEnd => {
                    self.at = At::Trailer;
                    return Ok(written);
                }
                _ if written > 0 => return Ok(written),
                Status::Ok | Status::BufError if ended => return Err(io::ErrorKind::UnexpectedEof.into()),
                Status::Ok | Status::BufError if read == 0 => return Err(invalid("a corrupt deflate stream")),
                Status::Ok | Status::BufError => {}
            }
        }
    }

    fn trailer(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.inner.read_exact(&mut trailer)?;
        let [.., a, b, c, d] = trailer;
        // Modulo 2³², as the format has it.
        if u64::from(u32::from_le_bytes([a, b, c, d])) != self.raw.total_out() & u64::from(u32::MAX) {
            return Err(invalid("a gzip stream with another length than its trailer says"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Gunzip<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.at {
                At::Header => {
                    self.header()?;
                    self.at = At::Body;
                }
                At::Body => match self.body(buffer)? {
                    0 => {}
                    written => return Ok(written),
                },
                At::Trailer => {
                    self.trailer()?;
                    self.at = if self.inner.fill_buf()?.is_empty() { At::End } else { At::Header };
                }
                At::End => return Ok(0),
            }
        }
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::GzBuilder;

    use super::*;

    fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, io::ErrorKind> {
        // Small pieces, so that every border is met.
        for size in [1, 3, 100_000] {
            let mut out = Vec::new();
            let mut reader = Gunzip::new(io::BufReader::with_capacity(size, bytes));
            let mut piece = vec![0; size];
            loop {
                match reader.read(&mut piece).map_err(|error| error.kind())? {
                    0 => break,
                    read => out.extend_from_slice(&piece[..read]),
                }
            }
            if size == 100_000 {
                return Ok(out);
            }
        }
        Ok(Vec::new())
    }

    fn member(text: &[u8]) -> Vec<u8> {
        let builder = GzBuilder::new().filename("name").comment("words").extra([1, 2, 3]);
        let mut encoder = builder.write(Vec::new(), flate2::Compression::default());
        encoder.write_all(text).expect("in memory");
        encoder.finish().expect("in memory")
    }

    #[test]
    fn members_follow_each_other() {
        let long: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
        let both = [member(&long), member(b""), member(b"end")].concat();
        assert_eq!(gunzip(&both), Ok([long, b"end".to_vec()].concat()));
    }

    #[test]
    fn damage_is_noticed() {
        let whole = member(b"some text, some text, some text");
        for end in 0..whole.len() {
            assert!(gunzip(&whole[..end]).is_err(), "{end} bytes");
        }
        let mut length = whole.clone();
        *length.last_mut().expect("a trailer") ^= 1;
        assert_eq!(gunzip(&length), Err(io::ErrorKind::InvalidData));
        assert!(gunzip(&[&whole[..], b"garbage after the end"].concat()).is_err());
    }
}
