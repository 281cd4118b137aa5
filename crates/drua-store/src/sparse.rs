//! Maps of files with holes, in the formats that GNU tar has written (GNU tar manual, "Storing Sparse Files").

use tar::GnuSparseHeader;

use crate::tar_stream::{TarError, decimal};

/// More would be a file made of holes to keep us busy.
const MAX_EXTENTS: usize = 1 << 20;
const BLOCK: usize = 512;

/// A run of data in a file with holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Appends the slots of an old GNU header that are in use; `None` when one is malformed.
pub(crate) fn push_gnu(extents: &mut Vec<Extent>, slots: &[GnuSparseHeader]) -> Option<()> {
    for slot in slots.iter().filter(|slot| !slot.is_empty()) {
        extents.push(Extent { offset: slot.offset().ok()?, bytes: slot.length().ok()? });
    }
    (extents.len() <= MAX_EXTENTS).then_some(())
}

/// Makes extents of alternating offsets and lengths.
pub(crate) fn pair_up(numbers: &[u64]) -> Option<Vec<Extent>> {
    let (pairs, rest) = numbers.as_chunks::<2>();
    let within = rest.is_empty() && pairs.len() <= MAX_EXTENTS;
    within.then(|| pairs.iter().map(|[offset, bytes]| Extent { offset: *offset, bytes: *bytes }).collect())
}

/// Reads a format 1.0 map, which stands at the start of the data: decimal lines (count, then pairs), padded to a block.
pub(crate) fn read_map(
    next_block: &mut dyn FnMut() -> Result<[u8; BLOCK], TarError>,
) -> Result<Option<Vec<Extent>>, TarError> {
    let mut numbers: Vec<u64> = Vec::new();
    let mut line = Vec::new();
    let mut wanted = 1;
    while numbers.len() < wanted {
        for byte in next_block()? {
            match byte {
                b'\n' => {
                    let Some(number) = decimal(&line) else { return Ok(None) };
                    line.clear();
                    numbers.push(number);
                    if numbers.len() == 1 {
                        if number > MAX_EXTENTS as u64 {
                            return Ok(None);
                        }
                        wanted = 1 + 2 * usize::try_from(number).unwrap_or(0);
                    }
                    if numbers.len() == wanted {
                        break;
                    }
                }
                digit if line.len() < 20 => line.push(digit),
                _ => return Ok(None),
            }
        }
    }
    Ok(pair_up(&numbers[1..]))
}

/// Whether extents are in order, within the file, and together as long as the data.
pub(crate) fn is_consistent(extents: &[Extent], size: u64, data: u64) -> bool {
    let mut end = 0_u64;
    let mut total = 0_u64;
    for extent in extents {
        let Some(next) = extent.offset.checked_add(extent.bytes) else { return false };
        if extent.offset < end {
            return false;
        }
        end = next;
        total += extent.bytes;
    }
    end <= size && total == data && i64::try_from(size).is_ok()
}
