//! RPM headers as databases hold them (rpm's docs/manual/hregions.md): two counts, an index of tags, the data.

use super::{push_owned, source_package};
use crate::catalog::Found;
use crate::facts::path_hash;
use crate::model::{Evidence, PackageKind};
use crate::text::clean;

const NAME: u32 = 1000;
const VERSION: u32 = 1001;
const RELEASE: u32 = 1002;
const EPOCH: u32 = 1003;
const VENDOR: u32 = 1011;
const LICENSE: u32 = 1014;
const URL: u32 = 1020;
const ARCH: u32 = 1022;
const SOURCE_RPM: u32 = 1044;
const REQUIRES: u32 = 1049;
const DIR_INDEXES: u32 = 1116;
const BASE_NAMES: u32 = 1117;
const DIR_NAMES: u32 = 1118;
const MODULARITY: u32 = 5096;

const INT32: u32 = 4;
/// Tags of one header; real ones have about a hundred.
const MAX_TAGS: usize = 0xffff;
/// Strings of one array: files of one package.
const MAX_STRINGS: usize = 1_000_000;

struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    fn parse(blob: &'a [u8]) -> Option<Self> {
        let tags = u32_at(blob, 0)? as usize;
        let length = u32_at(blob, 4)? as usize;
        if tags == 0 || tags > MAX_TAGS {
            return None;
        }
        let index = blob.get(8..8 + tags * 16)?;
        let data = blob.get(8 + tags * 16..)?;
        Some(Self { index, data: data.get(..length)? })
    }

    /// Type, data and count of a tag.
    fn tag(&self, wanted: u32) -> Option<(u32, &'a [u8], usize)> {
        let entry = self.index.chunks_exact(16).find(|entry| u32_at(entry, 0) == Some(wanted))?;
        let data = self.data.get(u32_at(entry, 8)? as usize..)?;
        Some((u32_at(entry, 4)?, data, (u32_at(entry, 12)? as usize).min(MAX_STRINGS)))
    }

    fn strings(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> {
        let (_, data, count) = self.tag(tag).unwrap_or((0, &[], 0));
        data.split(|byte| *byte == 0).take(count)
    }

    fn text(&self, tag: u32) -> Option<String> {
        let text = self.strings(tag).next().map(|text| clean(&String::from_utf8_lossy(text), 500))?;
        Some(text).filter(|text| !text.is_empty() && text != "(none)")
    }

    fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> {
        let (kind, data, count) = self.tag(tag).unwrap_or((0, &[], 0));
        let count = if kind == INT32 { count } else { 0 };
        data.chunks_exact(4).take(count).filter_map(|bytes| u32_at(bytes, 0))
    }
}

/// Adds the package of a header; `None` when it is none.
pub(super) fn package(blob: &[u8], found: &mut Found<'_>) -> Option<()> {
    let header = Header::parse(blob)?;
    let name = header.text(NAME)?;
    let version = header.text(VERSION)?;
    // Keys of repositories are listed like packages.
    if name == "gpg-pubkey" {
        return Some(());
    }
    let release = header.text(RELEASE).map(|release| format!("-{release}")).unwrap_or_default();
    let epoch =
        header.numbers(EPOCH).next().filter(|epoch| *epoch > 0).map(|epoch| format!("{epoch}:")).unwrap_or_default();
    let version = format!("{epoch}{version}{release}");
    let paths = owned(&header);
    let entry = found.add(PackageKind::Rpm, &name, &version, (Evidence::Installed, "rpm"))?;
    entry.package.arch = header.text(ARCH);
    entry.package.vendor = header.text(VENDOR);
    entry.package.licenses = header.text(LICENSE).into_iter().collect();
    entry.package.source = header.text(SOURCE_RPM).and_then(|file| source_package(&file));
    entry.package.qualifiers.extend(header.text(MODULARITY).map(|label| ("modularitylabel".to_owned(), label)));
    entry.package.details.extend(header.text(URL).map(|url| ("homepage".to_owned(), url)));
    let needs = header.strings(REQUIRES).map(|need| String::from_utf8_lossy(need).into_owned());
    entry.needs = needs.filter(|need| !need.starts_with("rpmlib(") && !need.starts_with('/')).take(1000).collect();
    entry.needs.sort();
    entry.needs.dedup();
    push_owned(found, name, paths);
    Some(())
}

fn owned(header: &Header<'_>) -> Vec<u64> {
    let dirs: Vec<&[u8]> = header.strings(DIR_NAMES).collect();
    let files = header.numbers(DIR_INDEXES).zip(header.strings(BASE_NAMES));
    let path = |(dir, base): (u32, &[u8])| {
        let dir = dirs.get(dir as usize)?;
        Some(path_hash(&format!("{}{}", String::from_utf8_lossy(dir), String::from_utf8_lossy(base))))
    };
    files.filter_map(path).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_be_bytes)
}
