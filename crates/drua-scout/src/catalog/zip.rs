//! ZIP archives as far as jars, wheels and eggs use them (PKWARE APPNOTE 6.3.10): stored and deflated entries, the central
//! directory as the one truth. Every part is bounded by what is left of the file's budget.

use std::io::Read as _;

/// An archive in memory.
pub(super) struct Archive<'a> {
    bytes: &'a [u8],
    /// In the order of the central directory.
    pub(super) entries: Vec<Entry>,
}

/// A file of an archive.
pub(super) struct Entry {
    pub(super) name: String,
    method: u16,
    compressed: u64,
    pub(super) size: u64,
    /// Of the local header.
    offset: u64,
}

const END: &[u8] = b"PK\x05\x06";
const CENTRAL: &[u8] = b"PK\x01\x02";
const LOCAL: &[u8] = b"PK\x03\x04";

impl<'a> Archive<'a> {
    /// Reads the central directory, at most `parts` entries of it.
    pub(super) fn open(bytes: &'a [u8], parts: usize) -> Result<Self, &'static str> {
        // The end record is at most 64 KiB of comment away from the end.
        let from = bytes.len().saturating_sub(22 + 0xffff);
        let end = bytes[from..]
            .windows(4)
            .rposition(|window| window == END)
            .map(|at| from + at)
            .ok_or("it has no directory")?;
        let count = u64::from(u16_at(bytes, end + 10).ok_or("its directory is cut off")?);
        let mut start = u64::from(u32_at(bytes, end + 16).ok_or("its directory is cut off")?);
        let mut count = count;
        if start == u64::from(u32::MAX) || count == 0xffff {
            // ZIP64: a locator right before the end record.
            if let Some(end64) =
                end.checked_sub(20).and_then(|at| u64_at(bytes, at + 8)).and_then(|at| usize::try_from(at).ok())
            {
                count = u64_at(bytes, end64.saturating_add(32)).unwrap_or(count);
                start = u64_at(bytes, end64.saturating_add(48)).unwrap_or(start);
            }
        }
        // A program may stand before the archive (executable jars): then offsets count from the archive's begin.
        let size = u64::from(u32_at(bytes, end + 12).unwrap_or(0));
        let real_start = (end as u64).saturating_sub(size);
        let shift = if bytes.get(to_usize(start)..).is_some_and(|rest| rest.starts_with(CENTRAL)) {
            0
        } else {
            real_start.saturating_sub(start)
        };
        let mut entries = Vec::new();
        let mut at = to_usize(start + shift);
        while (entries.len() as u64) < count {
            if entries.len() >= parts {
                return Err("it has too many parts");
            }
            let Some((entry, next)) = central(bytes, at, shift) else { break };
            entries.push(entry);
            at = next;
        }
        if entries.is_empty() && count > 0 { Err("its directory is damaged") } else { Ok(Self { bytes, entries }) }
    }

    /// The content of an entry, charged to `budget`.
    pub(super) fn read(&self, entry: &Entry, budget: &mut u64) -> Result<Vec<u8>, &'static str> {
        let header = to_usize(entry.offset);
        let local = self
            .bytes
            .get(header..)
            .filter(|rest| rest.starts_with(LOCAL))
            .ok_or("a part is not where its directory says")?;
        let skip = 30 + usize::from(u16_at(local, 26).unwrap_or(0)) + usize::from(u16_at(local, 28).unwrap_or(0));
        let data = local.get(skip..).ok_or("a part is cut off")?;
        let data = data.get(..to_usize(entry.compressed)).ok_or("a part is cut off")?;
        let limit = *budget;
        let mut content = Vec::new();
        let read = match entry.method {
            0 => data.take(limit + 1).read_to_end(&mut content),
            8 => flate2::read::DeflateDecoder::new(data).take(limit + 1).read_to_end(&mut content),
            _ => return Err("a part is compressed in a way that is not supported"),
        };
        if content.len() as u64 > limit {
            *budget = 0;
            return Err("its parts are too large together");
        }
        *budget -= content.len() as u64;
        read.map(|_| content).map_err(|_| "a part is damaged")
    }
}

fn central(bytes: &[u8], at: usize, shift: u64) -> Option<(Entry, usize)> {
    let record = bytes.get(at..)?;
    if !record.starts_with(CENTRAL) {
        return None;
    }
    let length = |place| u16_at(record, place).map(usize::from);
    let (name_length, extra_length, comment_length) = (length(28)?, length(30)?, length(32)?);
    let name = String::from_utf8_lossy(record.get(46..46 + name_length)?).into_owned();
    let mut entry = Entry {
        name,
        method: u16_at(record, 10)?,
        compressed: u64::from(u32_at(record, 20)?),
        size: u64::from(u32_at(record, 24)?),
        offset: u64::from(u32_at(record, 42)?) + shift,
    };
    let extra = record.get(46 + name_length..46 + name_length + extra_length)?;
    zip64(extra, &mut entry);
    Some((entry, at + 46 + name_length + extra_length + comment_length))
}

/// Sizes that did not fit stand in extra field 1, in this order, each only where the plain field is all ones.
fn zip64(mut extra: &[u8], entry: &mut Entry) {
    while let (Some(id), Some(length)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(field) = extra.get(4..4 + usize::from(length)) else { return };
        if id == 1 {
            let mut at = 0;
            for value in [&mut entry.size, &mut entry.compressed, &mut entry.offset] {
                if *value == u64::from(u32::MAX)
                    && let Some(long) = u64_at(field, at)
                {
                    *value = long;
                    at += 8;
                }
            }
        }
        extra = &extra[4 + usize::from(length)..];
    }
}

fn to_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?).and_then(|bytes| bytes.try_into().ok()).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..at.checked_add(8)?).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes)
}
