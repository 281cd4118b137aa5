//! Reads one table of an SQLite database (sqlite.org/fileformat2.html): `Packages(hnum INTEGER PRIMARY KEY, blob BLOB)`.
//!
//! Only what that needs: table b-trees and overflow chains. A write-ahead log that was not checkpointed is not read; rpm
//! leaves none behind.

/// Pages visited at most; a cycle ends here, and earlier by the depth.
const MAX_PAGES: usize = 4_000_000;
const MAX_DEPTH: usize = 20;
/// The largest header that is followed.
const MAX_RECORD: usize = 64 << 20;

struct Database<'a> {
    bytes: &'a [u8],
    page_size: usize,
    /// Without the bytes that each page reserves at its end.
    usable: usize,
}

pub(super) fn records(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    if !bytes.starts_with(b"SQLite format 3\0") || bytes.len() < 100 {
        return Err("it is no SQLite database");
    }
    let page_size = match u16::from_be_bytes([bytes[16], bytes[17]]) {
        1 => 65536,
        size => usize::from(size),
    };
    let usable = page_size.saturating_sub(usize::from(bytes[20]));
    if page_size < 512 || usable < 480 {
        return Err("its page size is none");
    }
    let database = Database { bytes, page_size, usable };
    let mut root = None;
    database.table(1, &mut |record| {
        let columns = columns(record);
        let is_packages = columns.get(1).is_some_and(|name| *name == b"Packages")
            && columns.first().is_some_and(|kind| *kind == b"table");
        if is_packages {
            root = columns.get(3).map(|page| page.iter().fold(0_usize, |value, byte| value << 8 | usize::from(*byte)));
        }
    })?;
    database.table(root.ok_or("it has no table `Packages`")?, &mut |record| {
        // The first column is the row's id and therefore NULL.
        if let Some(blob) = columns(record).last() {
            each(blob);
        }
    })
}

impl<'a> Database<'a> {
    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_sub(1)?.checked_mul(self.page_size)?;
        self.bytes.get(start..start + self.page_size)
    }

    /// Gives each record of a table to `each`.
    fn table(&self, root: usize, each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        let mut waiting = vec![(root, 0)];
        let mut visited = 0;
        while let Some((number, depth)) = waiting.pop() {
            visited += 1;
            if visited > MAX_PAGES || depth > MAX_DEPTH {
                return Err("its pages go round in circles");
            }
            let page = self.page(number).ok_or("a page is missing")?;
            let header = if number == 1 { 100 } else { 0 };
            let cells = usize::from(u16_at(page, header + 3).ok_or("a page is damaged")?);
            let pointer = |cell: usize, size: usize| u16_at(page, header + size + 2 * cell).map(usize::from);
            match page[header] {
                0x05 => {
                    let right = u32_at(page, header + 8).ok_or("a page is damaged")?;
                    waiting.push((right as usize, depth + 1));
                    for cell in (0..cells).rev() {
                        let child = pointer(cell, 12).and_then(|at| u32_at(page, at)).ok_or("a page is damaged")?;
                        waiting.push((child as usize, depth + 1));
                    }
                }
                0x0d => {
                    for cell in 0..cells {
                        let at = pointer(cell, 8).ok_or("a page is damaged")?;
                        each(&self.record(page, at).ok_or("a record is damaged")?);
                    }
                }
                _ => return Err("a page is of no kind that tables have"),
            }
        }
        Ok(())
    }

    fn record(&self, page: &[u8], at: usize) -> Option<Vec<u8>> {
        let (length, used) = varint(page.get(at..)?)?;
        let (_, id) = varint(page.get(at + used..)?)?;
        let start = at + used + id;
        let length = usize::try_from(length).ok().filter(|length| *length <= MAX_RECORD)?;
        let max_local = self.usable - 35;
        if length <= max_local {
            return page.get(start..start + length).map(<[u8]>::to_vec);
        }
        let min_local = (self.usable - 12) * 32 / 255 - 23;
        let spill = min_local + (length - min_local) % (self.usable - 4);
        let local = if spill <= max_local { spill } else { min_local };
        let mut record = page.get(start..start + local)?.to_vec();
        let mut next = u32_at(page, start + local)?;
        while next != 0 && record.len() < length {
            let overflow = self.page(next as usize)?;
            let take = (length - record.len()).min(self.usable - 4);
            record.extend_from_slice(overflow.get(4..4 + take)?);
            next = u32_at(overflow, 0)?;
        }
        (record.len() == length).then_some(record)
    }
}

/// The columns of a record, as bytes.
fn columns(record: &[u8]) -> Vec<&[u8]> {
    let mut columns = Vec::new();
    let Some((header_length, mut at)) = varint(record) else { return columns };
    let header_length = usize::try_from(header_length).unwrap_or(usize::MAX).min(record.len());
    let mut body = header_length;
    while at < header_length {
        let Some((kind, used)) = varint(&record[at..]) else { break };
        at += used;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => usize::try_from(kind).unwrap_or(0),
            5 => 6,
            6 | 7 => 8,
            kind => usize::try_from(kind.saturating_sub(12) / 2).unwrap_or(usize::MAX),
        };
        let Some(column) = body.checked_add(length).and_then(|end| record.get(body..end)) else { break };
        columns.push(column);
        body += length;
    }
    columns
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(9).enumerate() {
        if place == 8 {
            return Some((value << 8 | u64::from(*byte), 9));
        }
        value = value << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, place + 1));
        }
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}
