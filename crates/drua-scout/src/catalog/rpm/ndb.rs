//! RPM's own database, NDB (rpm's lib/backend/ndb/rpmpkg.c): pages of slots, each pointing at a blob.

const PAGE: usize = 4096;
/// Slots and blob offsets count in these.
const UNIT: usize = 16;

pub(super) fn records(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    if !bytes.starts_with(b"RpmP") {
        return Err("it is no NDB database");
    }
    let pages = u32_at(bytes, 12).ok_or("it is cut off")? as usize;
    let slots = bytes.get(..pages.checked_mul(PAGE).ok_or("it has too many slots")?).ok_or("it is cut off")?;
    // The header takes the place of the first two slots.
    for slot in slots.chunks_exact(UNIT).skip(2) {
        let (index, offset) = (u32_at(slot, 4).unwrap_or(0), u32_at(slot, 8).unwrap_or(0));
        if !slot.starts_with(b"Slot") || offset == 0 || index == 0 {
            continue;
        }
        let blob = (offset as usize).checked_mul(UNIT).and_then(|at| bytes.get(at..)).ok_or("a record is missing")?;
        if !blob.starts_with(b"BlbS") || u32_at(blob, 4) != Some(index) {
            return Err("a record is not where its slot says");
        }
        let length = u32_at(blob, 12).ok_or("a record is cut off")? as usize;
        each(blob.get(UNIT..UNIT + length).ok_or("a record is cut off")?);
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_le_bytes)
}
