//! Berkeley DB hash tables (db's dbinc/db_page.h), as far as `Packages` uses them: pages of keys and values, large
//! values on chains of overflow pages.

const HASH_MAGIC: u32 = 0x0006_1561;
const PAGE_HEADER: usize = 26;
const HASH_UNSORTED: u8 = 2;
const OVERFLOW: u8 = 7;
const HASH: u8 = 13;
/// Kinds of items.
const KEY_DATA: u8 = 1;
const OFF_PAGE: u8 = 3;
/// The largest header that is followed.
const MAX_RECORD: usize = 64 << 20;

struct Database<'a> {
    bytes: &'a [u8],
    page_size: usize,
    is_swapped: bool,
}

pub(super) fn records(bytes: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
    let magic = bytes.get(12..16).and_then(|magic| magic.try_into().ok()).ok_or("it is cut off")?;
    let is_swapped = match (u32::from_le_bytes(magic), u32::from_be_bytes(magic)) {
        (HASH_MAGIC, _) => false,
        (_, HASH_MAGIC) => true,
        _ => return Err("it is no hash table of Berkeley DB"),
    };
    let mut database = Database { bytes, page_size: 512, is_swapped };
    database.page_size = database.u32_at(bytes, 20).ok_or("it is cut off")? as usize;
    if !(512..=65536).contains(&database.page_size) || !database.page_size.is_power_of_two() {
        return Err("its page size is none");
    }
    let mut result = Ok(());
    for number in 1..bytes.len() / database.page_size {
        let page = database.page(number).ok_or("a page is missing")?;
        if matches!(page[25], HASH | HASH_UNSORTED) {
            // One damaged page does not hide the others.
            result = result.and(database.values(page, each));
        }
    }
    result
}

impl<'a> Database<'a> {
    fn page(&self, number: usize) -> Option<&'a [u8]> {
        let start = number.checked_mul(self.page_size)?;
        self.bytes.get(start..start + self.page_size)
    }

    /// Items come in pairs of key and value, from the end of the page towards its begin.
    fn values(&self, page: &[u8], each: &mut dyn FnMut(&[u8])) -> Result<(), &'static str> {
        let entries = usize::from(self.u16_at(page, 20).ok_or("a page is damaged")?);
        let offset = |item: usize| self.u16_at(page, PAGE_HEADER + 2 * item).map(usize::from);
        for item in (1..entries).step_by(2) {
            let (Some(start), Some(end)) = (offset(item), offset(item - 1)) else { return Err("a page is damaged") };
            let value = page.get(start..end).ok_or("a page is damaged")?;
            match value.first() {
                // The one short value is the counter of packages, four bytes; small headers are longer.
                Some(&KEY_DATA) if value.len() > 1 + 32 => each(&value[1..]),
                Some(&KEY_DATA) => {}
                Some(&OFF_PAGE) => {
                    let first = self.u32_at(value, 4).ok_or("an item is damaged")?;
                    let length = self.u32_at(value, 8).ok_or("an item is damaged")?;
                    each(&self.overflow(first as usize, length as usize).ok_or("a chain of pages is damaged")?);
                }
                _ => return Err("an item is of no kind that is known"),
            }
        }
        Ok(())
    }

    fn overflow(&self, first: usize, length: usize) -> Option<Vec<u8>> {
        if length > MAX_RECORD {
            return None;
        }
        let mut value = Vec::with_capacity(length.min(1 << 20));
        let mut number = first;
        while number != 0 && value.len() < length {
            let page = self.page(number)?;
            let used = usize::from(self.u16_at(page, 22)?);
            // An empty page would let a cycle turn for ever.
            if page[25] != OVERFLOW || used == 0 {
                return None;
            }
            value.extend_from_slice(page.get(PAGE_HEADER..PAGE_HEADER + used)?);
            number = self.u32_at(page, 16)? as usize;
        }
        (value.len() == length).then_some(value)
    }

    fn u16_at(&self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = bytes.get(at..at.checked_add(2)?)?.try_into().ok()?;
        Some(if self.is_swapped { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
        Some(if self.is_swapped { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}
