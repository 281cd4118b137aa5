//! Docker's framing of output streams (attach, logs, exec), as a pure codec.
//!
//! ```text
//! byte 0      type: 0 stdin echo, 1 stdout, 2 stderr, 3 system error
//! bytes 1–3   zero
//! bytes 4–7   payload length, big endian
//! bytes 8–…   payload
//! ```
//! With a terminal there is no framing: everything is stdout ([`Framing::Raw`]). A decoder holds at most one header; the
//! payload is handed on in the pieces in which it arrives, so a frame that announces 4 GiB costs nothing.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes before each payload.
pub const HEADER_LEN: usize = 8;

/// Which stream a piece of output belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamType {
    /// An echo of the input; nobody sends it today.
    Stdin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// The daemon failed while streaming; the payload is its message.
    SystemError,
}

impl StreamType {
    /// The type byte.
    pub fn byte(self) -> u8 {
        match self {
            Self::Stdin => 0,
            Self::Stdout => 1,
            Self::Stderr => 2,
            Self::SystemError => 3,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Stdin),
            1 => Some(Self::Stdout),
            2 => Some(Self::Stderr),
            3 => Some(Self::SystemError),
            _ => None,
        }
    }
}

/// A piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Where it was written.
    pub stream: StreamType,
    /// What was written; the decoder may split what was sent as one frame into several.
    pub payload: Bytes,
}

/// Whether a stream is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// Frames, as for a container without a terminal.
    Multiplexed,
    /// Bare bytes, as for a container with a terminal.
    Raw,
}

impl Framing {
    /// The `Content-Type` that announces it (API 1.42 and later).
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Multiplexed => "application/vnd.docker.multiplexed-stream",
            Self::Raw => "application/vnd.docker.raw-stream",
        }
    }

    /// Reads a `Content-Type`; anything that does not say multiplexed is raw.
    pub fn from_content_type(value: Option<&str>) -> Self {
        if value == Some(Self::Multiplexed.content_type()) { Self::Multiplexed } else { Self::Raw }
    }
}

/// The bytes are not framed.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
pub enum FrameError {
    /// A header with an unknown type byte.
    #[error("unknown stream type {0} in a frame header")]
    UnknownType(u8),
    /// A header whose reserved bytes are not zero.
    #[error("reserved bytes of a frame header are not zero")]
    Reserved,
    /// The stream ended inside a frame.
    #[error("the stream ended inside a frame, {missing} bytes early")]
    Truncated {
        /// How many bytes of the frame are missing.
        missing: usize,
    },
}

impl From<FrameError> for std::io::Error {
    fn from(error: FrameError) -> Self {
        let kind = match error {
            FrameError::Truncated { .. } => std::io::ErrorKind::UnexpectedEof,
            FrameError::UnknownType(_) | FrameError::Reserved => std::io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The header of a frame with `len` bytes of payload.
pub fn header(stream: StreamType, len: u32) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = stream.byte();
    header[4..].copy_from_slice(&len.to_be_bytes());
    header
}

/// Appends `payload` to `out` as frames; an empty payload gives none.
pub fn encode(stream: StreamType, payload: &[u8], out: &mut BytesMut) {
    for piece in payload.chunks(u32::MAX as usize) {
        let len = u32::try_from(piece.len()).expect("chunks() bounds the length by u32::MAX");
        out.reserve(HEADER_LEN + piece.len());
        out.put_slice(&header(stream, len));
        out.put_slice(piece);
    }
}

/// Takes a byte stream apart into [`Frame`]s, however it was cut into pieces.
#[derive(Debug, Clone)]
pub struct Decoder {
    framing: Framing,
    header: [u8; HEADER_LEN],
    header_filled: usize,
    /// The frame whose payload is being read, and how much of it is still to come.
    current: Option<(StreamType, u32)>,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new(framing: Framing) -> Self {
        Self { framing, header: [0; HEADER_LEN], header_filled: 0, current: None }
    }

    /// Takes the next piece of output from the front of `input`; `None` means that more input is needed.
    ///
    /// # Errors
    /// [`FrameError`] when `input` is not framed. The decoder is of no use afterwards.
    pub fn decode(&mut self, input: &mut Bytes) -> Result<Option<Frame>, FrameError> {
        if self.framing == Framing::Raw {
            let payload = input.split_to(input.len());
            return Ok((!payload.is_empty()).then_some(Frame { stream: StreamType::Stdout, payload }));
        }
        loop {
            if let Some((stream, remaining)) = self.current {
                if remaining > 0 && input.is_empty() {
                    return Ok(None);
                }
                let take = input.len().min(remaining as usize);
                let left = remaining - u32::try_from(take).expect("take is at most `remaining`, a u32");
                self.current = (left > 0).then_some((stream, left));
                if take > 0 {
                    return Ok(Some(Frame { stream, payload: input.split_to(take) }));
                }
            }
            if !self.read_header(input)? {
                return Ok(None);
            }
        }
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] inside a header or a payload.
    pub fn finish(&self) -> Result<(), FrameError> {
        let missing = match self.current {
            Some((_, remaining)) => remaining as usize,
            None if self.header_filled > 0 => HEADER_LEN - self.header_filled,
            None => 0,
        };
        if missing == 0 { Ok(()) } else { Err(FrameError::Truncated { missing }) }
    }

    /// Whether a whole header has been read.
    fn read_header(&mut self, input: &mut Bytes) -> Result<bool, FrameError> {
        let take = input.len().min(HEADER_LEN - self.header_filled);
        input.copy_to_slice(&mut self.header[self.header_filled..self.header_filled + take]);
        self.header_filled += take;
        if self.header_filled < HEADER_LEN {
            return Ok(false);
        }
        self.header_filled = 0;
        let [kind, a, b, c, len @ ..] = self.header;
        let stream = StreamType::from_byte(kind).ok_or(FrameError::UnknownType(kind))?;
        if [a, b, c] != [0; 3] {
            return Err(FrameError::Reserved);
        }
        self.current = Some((stream, u32::from_be_bytes(len)));
        Ok(true)
    }
}
