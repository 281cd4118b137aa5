//! Programs: what is embedded in them, and for well-known ones the version string among their bytes.

use std::sync::OnceLock;

use regex::bytes::Regex;

use super::{Found, Input, elf, wasm};
use crate::model::{Evidence, PackageKind};

/// Looks into an executable or a Wasm file.
pub(crate) fn program(input: &Input<'_>, found: &mut Found<'_>) {
    if input.bytes.starts_with(b"\0asm") {
        return wasm::wasm(input, found);
    }
    elf::executable(input.bytes, found);
    classify(input, found);
}

/// How a well-known program is recognised.
struct Class {
    /// Its name in documents.
    name: &'static str,
    /// File names (of hard links the one that comes first in a layer: `[` for BusyBox): a prefix; what follows must be empty, or begin with a digit, `-`, `.` or `_`.
    files: &'static [&'static str],
    /// The version is group 1.
    pattern: &'static str,
    /// Vendor and product of its CPE.
    cpe: (&'static str, &'static str),
}

const CLASSES: &[Class] = &[
    class(
        "python",
        &["python", "libpython"],
        r"(?-u)\x00(3\.[0-9]{1,2}\.[0-9]{1,2}(?:a|b|rc)?[0-9]*\+?)\x00",
        ("python", "python"),
    ),
    class("node", &["node"], r"(?-u)node\.js/v([0-9]+\.[0-9]+\.[0-9]+)", ("nodejs", "node.js")),
    class(
        "redis",
        &["redis-server"],
        r"(?-u)(?:[^\d]|^)([4-9]\.[0-9]{1,2}\.[0-9]{1,2})\x00[0-9a-f]{8}\x00|(?-u)-cpu-[\x00-\xff]{0,200}?([4-9]\.[0-9]{1,2}\.[0-9]{1,2})\x00|(?-u)redis[\x00-\xff]{1,300}?\x00([4-9]\.[0-9]{1,2}\.[0-9]{1,2})\x00",
        ("redis", "redis"),
    ),
    class("valkey", &["valkey-server"], r"(?-u)\x00([7-9]\.[0-9]{1,2}\.[0-9]{1,2})\x00", ("lfprojects", "valkey")),
    class(
        "nginx",
        &["nginx"],
        r"(?-u)nginx version: [^/]{0,40}/([0-9]+\.[0-9]+\.[0-9]+)|(?-u)nginx/([0-9]+\.[0-9]+\.[0-9]+)",
        ("f5", "nginx"),
    ),
    class("httpd", &["httpd", "apache2"], r"(?-u)Apache/([0-9]+\.[0-9]+\.[0-9]+)", ("apache", "http_server")),
    class(
        "haproxy",
        &["haproxy"],
        r"(?-u)HAProxy version ([0-9]+\.[0-9]+(?:\.[0-9]+|-dev[0-9]+)?)|(?-u)version ([0-9]+\.[0-9]+\.[0-9]+)-[0-9a-f]+, released",
        ("haproxy", "haproxy"),
    ),
    class(
        "memcached",
        &["memcached"],
        r"(?-u)memcached ([0-9]+\.[0-9]+\.[0-9]+)|(?-u)\x00(1\.[4-9]\.[0-9]+)\x00",
        ("memcached", "memcached"),
    ),
    class(
        "postgresql",
        &["postgres"],
        r"(?-u)\(PostgreSQL\) ([0-9]+(?:\.[0-9]+){1,2})|(?-u)PostgreSQL ([0-9]+(?:\.[0-9]+){1,2}) on",
        ("postgresql", "postgresql"),
    ),
    class("mariadb", &["mariadbd", "mariadb"], r"(?-u)([0-9]{1,2}\.[0-9]+\.[0-9]+)-MariaDB", ("mariadb", "mariadb")),
    class("mysql", &["mysqld"], r"(?-u)mysql-([0-9]\.[0-9]+\.[0-9]+)", ("oracle", "mysql")),
    class("busybox", &["busybox", "[", "ash"], r"(?-u)BusyBox v([0-9]+\.[0-9]+\.[0-9]+)", ("busybox", "busybox")),
    class("bash", &["bash"], r"(?-u)@\(#\)Bash version ([0-9]+\.[0-9]+(?:\.[0-9]+)?)", ("gnu", "bash")),
    class(
        "openssl",
        &["openssl", "libcrypto.so", "libssl.so"],
        r"(?-u)OpenSSL ([0-9]+\.[0-9]+\.[0-9]+[a-z]?)(?:-[a-z0-9]+)? +[0-9]{1,2} [A-Z][a-z]{2} [0-9]{4}",
        ("openssl", "openssl"),
    ),
    class(
        "perl",
        &["perl", "libperl"],
        r"(?-u)/usr/(?:local/)?(?:lib|share)/perl[0-9]?/([0-9]\.[0-9]+\.[0-9]+)",
        ("perl", "perl"),
    ),
    class(
        "php",
        &["php", "php-fpm", "php-cgi", "libphp"],
        r"(?-u)X-Powered-By: PHP/([0-9]+\.[0-9]+\.[0-9]+)",
        ("php", "php"),
    ),
    class("ruby", &["ruby", "libruby"], r"(?-u)ruby ([0-9]+\.[0-9]+\.[0-9]+)(?:p[0-9]+)? \(", ("ruby-lang", "ruby")),
    class("go", &["go"], r"(?-u)\x00go([0-9]\.[0-9]+(?:\.[0-9]+)?)\x00", ("golang", "go")),
    class("curl", &["curl", "libcurl.so"], r"(?-u)(?:lib)?curl/([0-9]+\.[0-9]+\.[0-9]+)", ("haxx", "curl")),
    class("sqlite", &["sqlite3", "libsqlite3.so"], r"(?-u)\x00(3\.[0-9]{1,2}\.[0-9]{1,2})\x00", ("sqlite", "sqlite")),
    class("zlib", &["libz.so"], r"(?-u)inflate ([0-9]\.[0-9]\.[0-9]+(?:\.[0-9]+)?) Copyright", ("zlib", "zlib")),
    class("xz", &["xz", "liblzma.so"], r"(?-u)\x00(5\.[0-9]\.[0-9]+(?:alpha|beta)?)\x00", ("tukaani", "xz")),
    class("lighttpd", &["lighttpd"], r"(?-u)lighttpd/([0-9]+\.[0-9]+\.[0-9]+)", ("lighttpd", "lighttpd")),
    class("erlang", &["beam.smp"], r"(?-u)Erlang/OTP ([0-9]+(?:\.[0-9]+)*)", ("erlang", "erlang/otp")),
    class("deno", &["deno"], r"(?-u)Deno/([0-9]+\.[0-9]+\.[0-9]+)", ("deno", "deno")),
    class("bun", &["bun"], r"(?-u)Bun v([0-9]+\.[0-9]+\.[0-9]+)", ("bun", "bun")),
    class("dart", &["dart"], r"(?-u)([0-9]+\.[0-9]+\.[0-9]+) \(stable\)", ("dart", "dart")),
    class("jq", &["jq"], r"(?-u)jq-([0-9]+\.[0-9]+(?:\.[0-9]+)?)", ("jqlang", "jq")),
    class("git", &["git"], r"(?-u)\x00([2-3]\.[0-9]{1,3}\.[0-9]{1,2})\x00", ("git-scm", "git")),
    class(
        "mongodb",
        &["mongod", "mongos"],
        r"(?-u)mongodb-mongo-([0-9]+\.[0-9]+\.[0-9]+)|(?-u)\x00r?([4-8]\.[0-9]+\.[0-9]+)\x00",
        ("mongodb", "mongodb"),
    ),
    class("envoy", &["envoy"], r"(?-u)[0-9a-f]{40}/([0-9]+\.[0-9]+\.[0-9]+)/Clean", ("envoyproxy", "envoy")),
    class("lua", &["lua", "luajit"], r"(?-u)Lua ([0-9]\.[0-9]\.[0-9])", ("lua", "lua")),
    class("varnish", &["varnishd"], r"(?-u)varnish-([0-9]+\.[0-9]+\.[0-9]+)", ("varnish-software", "varnish_cache")),
    class(
        "glibc",
        &["libc.so.6", "libc-"],
        r"(?-u)GNU C Library [^\n]{0,80}release version ([0-9]\.[0-9]+(?:\.[0-9]+)?)",
        ("gnu", "glibc"),
    ),
    class("musl", &["ld-musl", "libc.musl"], r"(?-u)\x00(1\.[0-9]\.[0-9]{1,2})\x00", ("musl-libc", "musl")),
];

const fn class(
    name: &'static str,
    files: &'static [&'static str],
    pattern: &'static str,
    cpe: (&'static str, &'static str),
) -> Class {
    Class { name, files, pattern, cpe }
}

fn pattern(number: usize) -> Option<&'static Regex> {
    static PATTERNS: [OnceLock<Option<Regex>>; 64] = [const { OnceLock::new() }; 64];
    PATTERNS.get(number)?.get_or_init(|| Regex::new(CLASSES[number].pattern).ok()).as_ref()
}

fn classify(input: &Input<'_>, found: &mut Found<'_>) {
    let name = input.file_name();
    for (number, class) in CLASSES.iter().enumerate().filter(|(_, class)| class.is_named(name)) {
        let Some(captures) = pattern(number).and_then(|pattern| pattern.captures(input.bytes)) else { continue };
        let Some(version) = captures.iter().skip(1).flatten().next() else { continue };
        let version = String::from_utf8_lossy(version.as_bytes()).into_owned();
        if let Some(entry) = found.add(PackageKind::Generic, class.name, &version, (Evidence::Classified, "binary")) {
            let (vendor, product) = class.cpe;
            entry
                .package
                .cpes
                .push(format!("cpe:2.3:a:{vendor}:{}:{version}:*:*:*:*:*:*:*", product.replace('/', "\\/")));
        }
    }
}

impl Class {
    fn is_named(&self, name: &str) -> bool {
        self.files.iter().any(|file| {
            name.strip_prefix(file).is_some_and(|rest| {
                rest.is_empty()
                    || file.ends_with('-')
                    || rest.starts_with(|c: char| c.is_ascii_digit() || "-._".contains(c))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_compile() {
        for (number, class) in CLASSES.iter().enumerate() {
            assert!(pattern(number).is_some(), "{}", class.name);
        }
    }
}
