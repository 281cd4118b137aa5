//! Cuts a stream of bytes into the pieces that a log record holds: whole lines, or 16 KiB of a longer one.
//!
//! Pure. A piece that is no whole line is held back until the rest comes, so that a line written in several goes is one
//! record, as with Docker.

/// The longest piece, Docker's.
pub(crate) const MAX_PIECE_BYTES: usize = 16 << 10;

/// Cuts one stream.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
}

impl Lines {
    /// Takes the next bytes and gives every piece that is complete to `emit`.
    pub(crate) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        for line in bytes.split_inclusive(|&byte| byte == b'\n') {
            if self.held.is_empty() {
                let rest = cut(line, &mut emit);
                self.held.extend_from_slice(rest);
            } else {
                self.held.extend_from_slice(line);
                let held = std::mem::take(&mut self.held);
                let rest = cut(&held, &mut emit);
                self.held = rest.to_owned();
            }
        }
    }

    /// Gives out what is held back, if anything.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&[u8])) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            emit(&held);
        }
    }
}

/// Emits the complete pieces of what is at most one line; returns the incomplete rest.
fn cut<'a>(mut line: &'a [u8], emit: &mut impl FnMut(&[u8])) -> &'a [u8] {
    while line.len() > MAX_PIECE_BYTES {
        let (piece, rest) = line.split_at(boundary(line));
        emit(piece);
        line = rest;
    }
    if line.ends_with(b"\n") || line.len() == MAX_PIECE_BYTES {
        emit(line);
        return &[];
    }
    line
}

/// Where to cut a long line: before a UTF-8 character that would not fit whole, so that no record ends in half of one.
fn boundary(line: &[u8]) -> usize {
    let is_continuation = |byte: u8| byte & 0xc0 == 0x80;
    let start = (MAX_PIECE_BYTES - 3..=MAX_PIECE_BYTES).rev().find(|&index| !is_continuation(line[index]));
    start.unwrap_or(MAX_PIECE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pushes: &[&[u8]], expect: &[&[u8]]) {
        let mut lines = Lines::default();
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        for bytes in pushes {
            lines.push(bytes, |piece| pieces.push(piece.to_owned()));
        }
        lines.finish(|piece| pieces.push(piece.to_owned()));
        assert_eq!(pieces, expect);
    }

    #[test]
    fn lines_are_records() {
        check(&[], &[]);
        check(&[b"a\nb\n"], &[b"a\n", b"b\n"]);
        check(&[b"a", b"b", b"c\nd"], &[b"abc\n", b"d"]);
        check(&[b"\n\n"], &[b"\n", b"\n"]);
        check(&[b"a\r\n"], &[b"a\r\n"]);
    }

    #[test]
    fn long_lines_are_cut() {
        let long = vec![b'x'; MAX_PIECE_BYTES * 2 + 5];
        check(&[&long, b"\n"], &[&long[..MAX_PIECE_BYTES], &long[..MAX_PIECE_BYTES], b"xxxxx\n"]);
        let whole = vec![b'x'; MAX_PIECE_BYTES];
        check(&[&whole, b"\n"], &[&whole, b"\n"]);
    }

    #[test]
    fn characters_stay_whole() {
        let text = format!("{}é\n", "x".repeat(MAX_PIECE_BYTES - 1));
        check(&[text.as_bytes()], &[&text.as_bytes()[..MAX_PIECE_BYTES - 1], "é\n".as_bytes()]);
        let garbage = vec![0x80; MAX_PIECE_BYTES + 1];
        check(&[&garbage], &[&garbage[..MAX_PIECE_BYTES], &garbage[..1]]);
    }
}
