//! What every detector does: versions, ports, databases, labels.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::Date;
use regex::Regex;

use crate::manifest::{pinned_version, tool_version};
use crate::releases::{Language, releases};
use crate::service::{Database, Service};
use crate::setting::{Evidence, Key};
use crate::tree::Folder;

/// Source files that are looked into for ports; a program says early where it listens.
const MAX_SCANNED: usize = 60;
/// Bytes of each that are looked at.
const MAX_SCANNED_BYTES: usize = 256 << 10;

/// How much of a version an image's tag has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Digits {
    Major,
    Minor,
    Whole,
}

/// A version that the project pins, or a range that it asks for.
#[derive(Debug)]
pub(super) enum Wish {
    Exactly(String, Evidence),
    Range(String, Evidence),
}

/// Pins in a file of their own, then in those of version managers.
pub(super) fn pinned(folder: &Folder<'_>, files: &[&str], tools: &[&str]) -> Option<Wish> {
    let places = || [*folder, folder.root()];
    let own = places().into_iter().find_map(|place| {
        let file = place.first_of(files)?;
        let version = pinned_version(&place.text(file)?)?;
        let evidence = Evidence::of(place.path(file), format!("pins {version}"));
        Some(Wish::Exactly(version, evidence))
    });
    own.or_else(|| {
        places().into_iter().find_map(|place| {
            let file = place.first_of(&[".tool-versions", "mise.toml", ".mise.toml"])?;
            let version = tool_version(&place.text(file)?, tools)?;
            let evidence = Evidence::of(place.path(file), format!("pins {version}"));
            Some(Wish::Exactly(version, evidence))
        })
    })
}

/// Settles the version: what is pinned, else what fits the range, else what is current. What has ended is noted.
pub(super) fn version(
    service: &mut Service,
    folder: &Folder<'_>,
    name: &str,
    wishes: Vec<Wish>,
    cut: Digits,
    today: Date,
) {
    let language = releases().language(name);
    let found = wishes.into_iter().find_map(|wish| settle(wish, &language, cut, today));
    let usual = || (language.default.clone(), Evidence::usual("current, and nothing is pinned"));
    let (version, evidence) = found.unwrap_or_else(usual);
    if let Some(day) = language.ended(&version, today) {
        folder.notes.add(format!(
            "{} {version} ({}) has got no more fixes since {day}; {} is current",
            language.name, evidence, language.default
        ));
    }
    service.settings.found(Key::Version, version, evidence);
}

fn settle(wish: Wish, language: &Language, cut: Digits, today: Date) -> Option<(String, Evidence)> {
    match wish {
        Wish::Exactly(version, evidence) => {
            let version = match cut {
                Digits::Major => crate::manifest::major(&version),
                Digits::Minor => crate::manifest::minor(&version),
                Digits::Whole => version,
            };
            Some((version, evidence))
        }
        Wish::Range(range, evidence) => {
            language.newest_matching(&range, today).map(|version| (version.to_owned(), evidence))
        }
    }
}

/// What the sources say about HTTP.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) port: Option<(u16, String)>,
    pub(super) health: Option<(String, String)>,
    /// Where it listens for its own machine only, which in a container is nobody.
    loopback: Option<String>,
}

static PORTS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        r#"PORT["')\]]*\s*(?:,|\|\||\?\?|\?:|\.unwrap_or[a-z_]*\([^"0-9\n]*)\s*["']?(\d{2,5})\b"#,
        r#"(?:listen|Listen|ListenAndServe|serve)\(\s*["']?:?(\d{2,5})\b"#,
        r#"["'](?:0\.0\.0\.0|\[::\])?:(\d{2,5})["']"#,
        r"\[0,\s*0,\s*0,\s*0\],\s*(\d{2,5})\)",
        r"htons\(\s*(\d{2,5})\s*\)",
        r#"(?i)\b(?:server[._])?port["']?\s*[:=]\s*["']?(\d{2,5})\b"#,
        r"--port[= ](\d{2,5})\b",
        r#"(?:listen|bind|Listen|Bind)[^\n]*["'](?:127\.0\.0\.1|localhost):(\d{2,5})["']"#,
    ]
    .map(|pattern| Regex::new(pattern).expect("a constant, compiled by every test"))
    .into()
});

static HEALTH: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"["'](?:GET )?(/(?:api/)?(?:healthz?|livez|readyz|_health|health/live))["'/]"#)
        .expect("a constant, compiled by every test")
});

static LOOPBACK: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(?:(?i)listen|bind|run|serve)[^\n]*["'](?:127\.0\.0\.1|localhost)["':]"#)
        .expect("a constant, compiled by every test")
});

/// Ports of others, which a program names to reach them.
const FOREIGN_PORTS: [u16; 8] = [22, 443, 3306, 5432, 5672, 6379, 9092, 27017];

/// Looks into the sources with these endings, those first that are likely to start the program.
pub(super) fn scan(folder: &Folder<'_>, endings: &[&str]) -> Scan {
    let likely = |file: &str| {
        let name = file.rsplit('/').next().unwrap_or(file);
        let stem = name.split('.').next().unwrap_or(name).to_ascii_lowercase();
        let first = ["main", "server", "app", "index", "program", "wsgi", "asgi", "start", "__main__", "application"];
        (!first.contains(&stem.as_str()), file.matches('/').count())
    };
    let test = |file: &str| file.contains("test") || file.contains("spec") || file.contains("example");
    let files = folder.all().filter(|file| endings.iter().any(|ending| file.ends_with(ending)) && !test(file));
    let mut files: Vec<&str> = files.collect();
    files.sort_by_key(|file| likely(file));
    let mut scan = Scan::default();
    for file in files.into_iter().take(MAX_SCANNED) {
        let Some(text) = folder.text(file) else { continue };
        let text = clip(&text);
        if scan.port.is_none() {
            scan.port = port_in(text).map(|port| (port, folder.path(file)));
        }
        if scan.health.is_none() {
            let found = HEALTH.captures(text).map(|captures| captures[1].to_owned());
            scan.health = found.map(|path| (path, folder.path(file)));
        }
        if scan.loopback.is_none() && LOOPBACK.is_match(text) {
            scan.loopback = Some(folder.path(file));
        }
    }
    scan
}

fn clip(text: &str) -> &str {
    let mut end = text.len().min(MAX_SCANNED_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The port in a piece of source or a command line.
pub(super) fn port_in(text: &str) -> Option<u16> {
    let ports = PORTS.iter().flat_map(|pattern| pattern.captures_iter(text));
    let ports = ports.filter_map(|captures| captures[1].parse::<u16>().ok());
    ports.into_iter().find(|port| *port >= 80 && !FOREIGN_PORTS.contains(port))
}

/// Settles port and health check: what the start command says, what the sources say, what is usual.
pub(super) fn serve(service: &mut Service, folder: &Folder<'_>, scan: &Scan, usual: Option<u16>) {
    let start = service.settings.get(Key::Start).cloned();
    let of_start =
        start.as_ref().and_then(|start| port_of_command(&start.value).map(|port| (port, start.evidence.clone())));
    let of_source = || scan.port.as_ref().map(|(port, file)| (*port, Evidence::of(file, format!("listens on {port}"))));
    let of_habit = || usual.map(|port| (port, Evidence::usual(format!("{port} is usual for {}", service.title))));
    match of_start.or_else(of_source).or_else(of_habit) {
        Some((port, evidence)) => service.settings.found(Key::Port, port.to_string(), evidence),
        None => service.settings.found(Key::Port, "", Evidence::usual("nothing says that it listens")),
    }
    if !service.settings.value(Key::Port).is_empty() {
        match &scan.health {
            Some((path, file)) => {
                service.settings.found(Key::Health, path.clone(), Evidence::of(file, format!("answers {path}")));
            }
            None => {
                service.settings.found(Key::Health, "", Evidence::usual("no path for it was seen: the port is tried"));
            }
        }
    }
    if let Some(file) = &scan.loopback {
        folder.notes.add(format!(
            "{file} seems to listen on 127.0.0.1 only; in a container it must listen on 0.0.0.0 to be reached"
        ));
    }
}

/// `--port 8000`, `-p 3000`, `0.0.0.0:8000`, `:8000`.
fn port_of_command(command: &str) -> Option<u16> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let after = |option: &str| {
        let at = words.iter().position(|word| *word == option)?;
        words.get(at + 1)?.parse().ok()
    };
    let joined = words.iter().find_map(|word| {
        let word = word.trim_matches(['"', '\'']);
        let (before, port) = word.rsplit_once([':', '='])?;
        (before.is_empty() || before.ends_with("0.0.0.0") || before.ends_with("[::]") || before.ends_with("port"))
            .then(|| port.parse().ok())
            .flatten()
    });
    after("--port").or_else(|| after("-p")).or_else(|| after("-l")).or(joined)
}

/// Which database a dependency of this name is a driver of, whatever the language.
fn database_of(dependency: &str) -> Option<Database> {
    let last =
        dependency.rsplit(['/', ':']).find(|part| !part.starts_with('v') || part.len() > 3).unwrap_or(dependency);
    let is = |names: &[&str]| names.contains(&last) || names.contains(&dependency);
    if is(&[
        "psycopg",
        "psycopg2",
        "psycopg2-binary",
        "psycopg-binary",
        "asyncpg",
        "pg8000",
        "pg",
        "postgres",
        "pg-promise",
        "pq",
        "pgx",
        "tokio-postgres",
        "sqlx-postgres",
        "postgresql",
        "npgsql",
        "npgsql.entityframeworkcore.postgresql",
        "postgrex",
        "ext-pgsql",
        "ext-pdo_pgsql",
        "gorm.io/driver/postgres",
        "pq-sys",
        "@neondatabase/serverless",
    ]) {
        return Some(Database::Postgres);
    }
    if is(&[
        "mysqlclient",
        "pymysql",
        "aiomysql",
        "mysql-connector-python",
        "mysql",
        "mysql2",
        "mariadb",
        "go-sql-driver",
        "github.com/go-sql-driver/mysql",
        "gorm.io/driver/mysql",
        "mysql_async",
        "sqlx-mysql",
        "mysql-connector-j",
        "mysql-connector-java",
        "mariadb-java-client",
        "mysqlconnector",
        "pomelo.entityframeworkcore.mysql",
        "myxql",
        "ext-mysqli",
        "ext-pdo_mysql",
        "trilogy",
    ]) {
        return Some(Database::Mysql);
    }
    if is(&[
        "redis",
        "ioredis",
        "aioredis",
        "go-redis",
        "redigo",
        "fred",
        "jedis",
        "lettuce-core",
        "stackexchange.redis",
        "redix",
        "predis",
        "ext-redis",
        "spring-boot-starter-data-redis",
        "valkey",
        "iovalkey",
        "celery[redis]",
        "bullmq",
        "sidekiq",
        "hiredis",
        "github.com/redis/go-redis",
        "connect-redis",
        "django-redis",
    ]) {
        return Some(Database::Redis);
    }
    let mongo = is(&[
        "pymongo",
        "motor",
        "mongoengine",
        "mongodb",
        "mongoose",
        "mongo-driver",
        "mongodb.driver",
        "mongoid",
        "mongo",
        "spring-boot-starter-data-mongodb",
        "mongodb-driver-sync",
        "ext-mongodb",
        "beanie",
    ]);
    mongo.then_some(Database::Mongodb)
}

/// Names of dependencies, with the file that names them.
pub(super) type Dependencies = BTreeMap<String, String>;

/// Notes the databases whose drivers are among the dependencies.
pub(super) fn databases(service: &mut Service, dependencies: &Dependencies) {
    for (name, file) in dependencies {
        let Some(database) = database_of(&name.to_ascii_lowercase()) else { continue };
        if service.databases.iter().all(|(known, _)| *known != database) {
            service.databases.push((database, Evidence::of(file, format!("names {name}"))));
        }
    }
    service.databases.sort_by_key(|(database, _)| *database);
}

/// Folders at the top that a program may read while it runs.
pub(super) fn assets(folder: &Folder<'_>, names: &[&str]) -> Vec<String> {
    names.iter().filter(|name| folder.has_dir(name)).map(|name| (*name).to_owned()).collect()
}
