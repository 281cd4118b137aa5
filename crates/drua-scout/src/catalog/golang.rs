//! Go: the build information that the linker puts into every binary (debug/buildinfo), and `go.mod`.

use super::{Found, Input};
use crate::model::{Evidence, PackageKind};
use crate::text::clean;

const MAGIC: &[u8] = b"\xff Go buildinf:";
const HOW: (Evidence, &str) = (Evidence::Embedded, "go-binary");

/// Adds the modules of a Go binary. `section` is the one that should hold the information; `read_at` gives bytes at a
/// virtual address, for binaries of Go before 1.18.
pub(super) fn binary<'b>(
    section: &[u8],
    read_at: impl Fn(u64, usize) -> Option<&'b [u8]>,
    found: &mut Found<'_>,
) -> bool {
    let Some((version, modules)) = build_info(section, read_at) else { return false };
    let version = clean(&version, 80);
    // `go1.22.5 X:boringcrypto`, `devel go1.23-abcdef`
    let number = version.split(' ').find_map(|word| word.strip_prefix("go")).unwrap_or_default().to_owned();
    let mut main = None;
    let mut needs = Vec::new();
    let mut settings = Vec::new();
    for line in modules.lines() {
        let mut fields = line.split('\t');
        let kind = fields.next().unwrap_or_default();
        let (name, version) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        match kind {
            "mod" => {
                let version = if version == "(devel)" { "" } else { version };
                if let Some(entry) = found.add(PackageKind::Golang, name, version, HOW) {
                    entry.package.details.insert("go.main".to_owned(), "true".to_owned());
                    main = Some(found.packages.len() - 1);
                }
            }
            "dep" if found.add(PackageKind::Golang, name, version, HOW).is_some() => {
                needs.push(found.packages.len() - 1)
            }
            // Replaces the line before.
            "=>" => {
                if let Some(place) = needs.last() {
                    let package = &mut found.packages[*place].package;
                    package.details.insert("go.replaces".to_owned(), format!("{}@{}", package.name, package.version));
                    package.name = clean(name, 300);
                    package.version = clean(version, 100);
                }
            }
            "build" => settings.push(clean(name, 200)),
            _ => {}
        }
    }
    if !number.is_empty() && found.add(PackageKind::Golang, "stdlib", &number, HOW).is_some() {
        needs.push(found.packages.len() - 1);
    }
    if let Some(main) = main {
        let entry = &mut found.packages[main];
        entry.relations = needs.into_iter().map(|place| (crate::model::RelationKind::DependsOn, place)).collect();
        let of = |name: &str| settings.iter().find_map(|setting| setting.strip_prefix(name)?.strip_prefix('='));
        for name in ["GOOS", "GOARCH", "CGO_ENABLED", "vcs.revision", "vcs.time"] {
            if let Some(value) = of(name) {
                entry.package.details.insert(format!("go.{name}"), value.to_owned());
            }
        }
    }
    true
}

/// Go's version and the text of its modules.
fn build_info<'b>(section: &[u8], read_at: impl Fn(u64, usize) -> Option<&'b [u8]>) -> Option<(String, String)> {
    let at = find_aligned(section)?;
    let header = &section[at..];
    let (pointer_size, flags) = (usize::from(*header.get(14)?), *header.get(15)?);
    let (version, modules) = if flags & 2 != 0 {
        let (version, rest) = varint_string(header.get(32..)?)?;
        let (modules, _) = varint_string(rest)?;
        (version, modules)
    } else {
        if !matches!(pointer_size, 4 | 8) {
            return None;
        }
        let number = |bytes: &[u8]| {
            let fold = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            if flags & 1 != 0 { bytes.iter().fold(0, fold) } else { bytes.iter().rev().fold(0, fold) }
        };
        let string = |offset: usize| {
            let address = number(header.get(offset..offset + pointer_size)?);
            let descriptor = read_at(address, 2 * pointer_size)?;
            let length =
                usize::try_from(number(&descriptor[pointer_size..])).ok().filter(|length| *length < 64 << 20)?;
            read_at(number(&descriptor[..pointer_size]), length)
        };
        (string(16)?, string(16 + pointer_size).unwrap_or_default())
    };
    if version.is_empty() {
        return None;
    }
    // The modules are between two marks of 16 bytes.
    let modules = if modules.len() >= 33 && modules[modules.len() - 17] == b'\n' {
        &modules[16..modules.len() - 16]
    } else {
        b""
    };
    Some((String::from_utf8_lossy(version).into_owned(), String::from_utf8_lossy(modules).into_owned()))
}

/// The header stands at a multiple of 16 bytes.
fn find_aligned(section: &[u8]) -> Option<usize> {
    // In its own section it comes first; elsewhere it is looked for in the first megabyte, as Go does.
    let window = &section[..section.len().min(1 << 20)];
    (0..window.len().saturating_sub(32)).step_by(16).find(|at| window[*at..].starts_with(MAGIC))
}

fn varint_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut length = 0_usize;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            let rest = &bytes[place + 1..];
            return (length <= rest.len()).then(|| rest.split_at(length));
        }
    }
    None
}

/// `require` lines, with `replace` left to the builder: a `go.mod` declares, it does not install.
pub(super) fn go_mod(input: &Input<'_>, found: &mut Found<'_>) {
    let text = input.text();
    let mut in_block = false;
    for (number, line) in (1..).zip(text.lines()) {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let code = code.trim();
        let entry = match code.strip_prefix("require") {
            Some(rest) if rest.trim() == "(" => {
                in_block = true;
                continue;
            }
            Some(rest) => rest.trim(),
            None if code == ")" => {
                in_block = false;
                continue;
            }
            None if in_block => code,
            None => continue,
        };
        if let Some((name, version)) = entry.split_once(' ')
            && let Some(added) = found.add(PackageKind::Golang, name, version, (Evidence::Declared, "go-mod"))
        {
            added.line = Some(number);
            if comment.contains("indirect") {
                added.package.details.insert("scope".to_owned(), "indirect".to_owned());
            }
        }
    }
}
