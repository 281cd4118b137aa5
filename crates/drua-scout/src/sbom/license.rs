//! Licences as documents want them: identifiers of SPDX's list where they are some, names elsewhere.

/// Identifiers of SPDX's list that images have in practice (spdx.org/licenses). What is missing here is written as a name,
/// which every format allows.
const KNOWN: &[&str] = &[
    "0BSD",
    "AFL-2.1",
    "AFL-3.0",
    "AGPL-1.0-only",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-1.0",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-1.0",
    "Artistic-1.0-Perl",
    "Artistic-2.0",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "BSD-4-Clause",
    "BSD-4-Clause-UC",
    "BSD-Source-Code",
    "BSL-1.0",
    "Beerware",
    "BlueOak-1.0.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CDDL-1.1",
    "CPL-1.0",
    "ClArtistic",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.1",
    "EUPL-1.2",
    "FSFAP",
    "FSFUL",
    "FSFULLR",
    "FTL",
    "GFDL-1.1-only",
    "GFDL-1.2-only",
    "GFDL-1.2-or-later",
    "GFDL-1.3",
    "GFDL-1.3-only",
    "GFDL-1.3-or-later",
    "GPL-1.0",
    "GPL-1.0+",
    "GPL-1.0-only",
    "GPL-1.0-or-later",
    "GPL-2.0",
    "GPL-2.0+",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0",
    "GPL-3.0+",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "HPND",
    "ICU",
    "IJG",
    "IPL-1.0",
    "ISC",
    "LGPL-2.0",
    "LGPL-2.0+",
    "LGPL-2.0-only",
    "LGPL-2.0-or-later",
    "LGPL-2.1",
    "LGPL-2.1+",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0",
    "LGPL-3.0+",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "LPL-1.02",
    "LPPL-1.3c",
    "Libpng",
    "MIT",
    "MIT-0",
    "MPL-1.0",
    "MPL-1.1",
    "MPL-2.0",
    "MPL-2.0-no-copyleft-exception",
    "MS-PL",
    "MS-RL",
    "MulanPSL-2.0",
    "NCSA",
    "NTP",
    "Naumen",
    "OFL-1.1",
    "OLDAP-2.8",
    "OpenSSL",
    "PHP-3.0",
    "PHP-3.01",
    "PSF-2.0",
    "PostgreSQL",
    "Python-2.0",
    "QPL-1.0",
    "Ruby",
    "SGI-B-2.0",
    "SISSL",
    "SMLNJ",
    "SSPL-1.0",
    "Sleepycat",
    "TCL",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "UPL-1.0",
    "Vim",
    "W3C",
    "WTFPL",
    "X11",
    "XFree86-1.1",
    "ZPL-2.0",
    "ZPL-2.1",
    "Zend-2.0",
    "Zlib",
    "bzip2-1.0.6",
    "curl",
    "libpng-2.0",
    "libtiff",
    "zlib-acknowledgement",
];

const EXCEPTIONS: &[&str] = &[
    "Autoconf-exception-2.0",
    "Autoconf-exception-3.0",
    "Bison-exception-2.2",
    "Classpath-exception-2.0",
    "GCC-exception-2.0",
    "GCC-exception-3.1",
    "LLVM-exception",
    "Linux-syscall-note",
    "OpenJDK-assembly-exception-1.0",
    "openvpn-openssl-exception",
];

/// The identifier that a text is, in SPDX's own spelling.
pub(super) fn id(text: &str) -> Option<&'static str> {
    KNOWN.iter().find(|known| known.eq_ignore_ascii_case(text)).copied()
}

/// Whether a text is an expression of known identifiers: `MIT OR Apache-2.0`.
pub(super) fn is_expression(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut wants_operand = true;
    let mut is_exception = false;
    let mut depth = 0_i32;
    for word in spaced.split_whitespace() {
        match word {
            "(" if wants_operand && !is_exception => depth += 1,
            ")" if !wants_operand => depth -= 1,
            "AND" | "OR" if !wants_operand => wants_operand = true,
            "WITH" if !wants_operand => (wants_operand, is_exception) = (true, true),
            exception if wants_operand && is_exception && EXCEPTIONS.contains(&exception) => {
                (wants_operand, is_exception) = (false, false);
            }
            license if wants_operand && !is_exception && KNOWN.contains(&license) => wants_operand = false,
            _ => return false,
        }
        if depth < 0 {
            return false;
        }
    }
    !wants_operand && depth == 0
}

/// An identifier for a licence that SPDX does not list: letters, digits, `.` and `-` only.
pub(super) fn reference(text: &str) -> String {
    let name: String = text
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '-' })
        .take(60)
        .collect();
    let hash = super::hex(&<sha2::Sha256 as sha2::Digest>::digest(text.as_bytes())[..4]);
    format!("LicenseRef-{}-{hash}", name.trim_matches('-'))
}

/// One expression for all licences of a package, and those that need an explanation: (reference, text).
pub(super) fn expression(licenses: &[String]) -> (String, Vec<(String, String)>) {
    let mut parts: Vec<String> = Vec::new();
    let mut unknown = Vec::new();
    for license in licenses.iter().filter(|license| !license.is_empty()) {
        let part = match id(license) {
            Some(id) => id.to_owned(),
            None if is_expression(license) => {
                let needs_parentheses = licenses.len() > 1 && license.contains(" OR ");
                if needs_parentheses { format!("({license})") } else { license.clone() }
            }
            None => {
                let reference = reference(license);
                unknown.push((reference.clone(), license.clone()));
                reference
            }
        };
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let joined = if parts.is_empty() { "NOASSERTION".to_owned() } else { parts.join(" AND ") };
    (joined, unknown)
}
