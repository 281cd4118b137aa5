//! Executables: sections and addresses of ELF, PE and Mach-O files, by the `object` crate.

use object::{Object as _, ObjectSection as _, ObjectSegment as _};

use super::Found;
use super::golang;
use super::rust;
use crate::facts::FoundPackage;
use crate::model::{Evidence, Package, PackageKind};

/// Sections of one file; more are an attack.
const MAX_SECTIONS: usize = 100_000;

/// Adds what compilers left in an executable: Go's modules, cargo-auditable's crates, ELF package notes.
pub(super) fn executable(bytes: &[u8], found: &mut Found<'_>) {
    // Programs that are cut off or strange are still searched for version strings.
    let Ok(file) = object::File::parse(bytes) else { return };
    let section = |names: &[&str]| {
        file.sections().take(MAX_SECTIONS).find(|section| section.name().is_ok_and(|name| names.contains(&name)))
    };
    if let Some(data) = section(&[".dep-v0", ".rust-deps-v0", "rust-deps-v0", ".rust-audit-info"])
        .and_then(|section| section.data().ok())
    {
        rust::auditable(data, "", found);
    }
    let go = section(&[".go.buildinfo", "__go_buildinfo"]).and_then(|section| section.data().ok());
    // PE files have it at the begin of `.data`.
    let go = go.or_else(|| bytes.starts_with(b"MZ").then(|| section(&[".data"])?.data().ok()).flatten());
    if let Some(go) = go {
        let read_at = |address: u64, length: usize| {
            file.segments().take(1000).find_map(|segment| segment.data_range(address, length as u64).ok().flatten())
        };
        golang::binary(go, read_at, found);
    }
    if let Some(note) = section(&[".note.package"]).and_then(|section| section.data().ok()) {
        package_note(note, found);
    }
}

/// <https://systemd.io/ELF_PACKAGE_METADATA/>: a note of owner `FDO` whose description is JSON.
fn package_note(note: &[u8], found: &mut Found<'_>) {
    let json = note.iter().position(|byte| *byte == b'{').map(|at| &note[at..]);
    let Some(end) = json.and_then(|json| json.iter().rposition(|byte| *byte == b'}')) else { return };
    let Some(Ok(document)) = json.map(|json| serde_json::from_slice::<serde_json::Value>(&json[..=end])) else {
        return;
    };
    let text = |name: &str| document[name].as_str();
    let kind = match text("type") {
        Some("deb") => PackageKind::Deb,
        Some("rpm") => PackageKind::Rpm,
        Some("apk") => PackageKind::Apk,
        Some("alpm" | "pkg") => PackageKind::Alpm,
        _ => return,
    };
    if let (Some(name), Some(version)) = (text("name"), text("version")) {
        let mut package = Package::new(kind, name, version, Evidence::Embedded, "elf-note");
        package.arch = text("architecture").map(str::to_owned);
        package.namespace = text("os").map(str::to_owned);
        found.push(FoundPackage::new(package));
    }
}
