use std::collections::BTreeMap;

use jiff::civil::Date;

use super::common::{self, Digits, Wish};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let module = folder.first_of(&["go.mod", "go.work"])?;
    let mut service = Service::new(Stack::Go, folder.dir, "Go");
    service.evidence.push(Evidence::of(folder.path(module), "is a Go module"));
    let text = folder.text(module).unwrap_or_default();
    let dependencies = requirements(folder, &text);
    let has = |name: &str| dependencies.keys().any(|known| known.starts_with(name));
    for (prefix, name) in [
        ("github.com/gin-gonic/gin", "Gin"),
        ("github.com/labstack/echo", "Echo"),
        ("github.com/gofiber/fiber", "Fiber"),
        ("github.com/go-chi/chi", "chi"),
    ] {
        if has(prefix) {
            service.title = format!("Go with {name}");
            service.evidence.push(Evidence::of(folder.path(module), format!("requires {prefix}")));
        }
    }
    let line = |key: &str| {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(' ').map(|value| value.trim().to_owned()))
    };
    let mut wishes: Vec<Wish> = common::pinned(folder, &[".go-version"], &["go", "golang"]).into_iter().collect();
    wishes.extend(line("toolchain").map(|version| {
        let version = version.trim_start_matches("go").to_owned();
        Wish::Range(format!(">={version}"), Evidence::of(folder.path(module), format!("toolchain go{version}")))
    }));
    wishes.extend(line("go").map(|version| {
        Wish::Range(format!(">={version}"), Evidence::of(folder.path(module), format!("needs go {version} or newer")))
    }));
    common::version(&mut service, folder, "go", wishes, Digits::Minor, today);
    main_package(&mut service, folder);
    let scan = common::scan(folder, &[".go"]);
    let web = scan.port.is_some() || service.title != "Go" || serves(folder);
    common::serve(&mut service, folder, &scan, web.then_some(8080));
    common::databases(&mut service, &dependencies);
    target(&mut service, folder, &text, web);
    service.fact("sum", folder.has("go.sum"));
    service.fact("work", module == "go.work");
    service.fact("vendor", folder.has("vendor/modules.txt"));
    service.fact("cgo", has("github.com/mattn/go-sqlite3") || has("github.com/confluentinc/confluent-kafka-go"));
    let assets = common::assets(folder, &["templates", "static", "public", "migrations", "web/dist"]);
    service.fact("assets", assets);
    Some(service)
}

fn requirements(folder: &Folder<'_>, text: &str) -> BTreeMap<String, String> {
    let words = text.lines().map(|line| line.trim().trim_start_matches("require ").trim());
    let paths = words.filter_map(|line| line.split_whitespace().next());
    let paths = paths.filter(|path| path.contains('.') && path.contains('/'));
    paths.map(|path| (without_major(path), folder.path("go.mod"))).collect()
}

/// `github.com/jackc/pgx/v5` is `github.com/jackc/pgx`.
fn without_major(path: &str) -> String {
    match path.rsplit_once("/v") {
        Some((before, digits)) if digits.chars().all(|c| c.is_ascii_digit()) => before.to_owned(),
        _ => path.to_owned(),
    }
}

fn serves(folder: &Folder<'_>) -> bool {
    let sources = folder.all().filter(|file| file.ends_with(".go") && !file.ends_with("_test.go")).take(60);
    sources.into_iter().any(|file| folder.text(file).is_some_and(|text| text.contains("http.ListenAndServe")))
}

/// The package to build: this folder, the first of `cmd/`, or another with `package main`.
fn main_package(service: &mut Service, folder: &Folder<'_>) {
    let is_main =
        |file: &str| folder.text(file).is_some_and(|text| text.lines().any(|line| line.trim() == "package main"));
    let sources = || folder.all().filter(|file| file.ends_with(".go") && !file.ends_with("_test.go"));
    let mut packages: Vec<(String, String)> = Vec::new();
    for file in sources().take(2000) {
        let dir = file.rsplit_once('/').map_or(String::from("."), |(dir, _)| format!("./{dir}"));
        if packages.iter().all(|(known, _)| *known != dir) && is_main(file) {
            packages.push((dir, folder.path(file)));
        }
    }
    packages.sort_by_key(|(dir, _)| (dir != ".", !dir.starts_with("./cmd/"), dir.matches('/').count(), dir.clone()));
    service.runnable = !packages.is_empty();
    let others = packages.len().saturating_sub(1);
    let (package, evidence) = match packages.into_iter().next() {
        Some((package, file)) => (package, Evidence::of(file, "is package main")),
        None => (".".to_owned(), Evidence::usual("no package main was seen")),
    };
    if others > 0 {
        folder.notes.add(format!("{others} more Go packages are programs; choose with `--set main=./cmd/…`"));
    }
    service.settings.found_of(Key::Main, Kind::Line, package, evidence);
}

fn target(service: &mut Service, folder: &Folder<'_>, module: &str, web: bool) {
    let hint =
        |file: &'static str, word: &str| folder.text(file).is_some_and(|text| text.contains(word)).then_some(file);
    let tiny = hint("Makefile", "tinygo").or_else(|| hint("README.md", "tinygo build"));
    let wasip1 = hint("Makefile", "wasip1");
    let wit = folder.has_dir("wit") || module.contains("wasi.dev") || module.contains("go.bytecodealliance.org");
    let (value, evidence) = match (tiny, wasip1) {
        (Some(file), _) => ("wasm", Evidence::of(folder.path(file), "builds with TinyGo")),
        (_, Some(file)) => ("wasm", Evidence::of(folder.path(file), "builds for wasip1")),
        _ if wit => ("wasm", Evidence::of(folder.path("wit"), "describes a component")),
        _ => ("linux", Evidence::usual("nothing asks for WebAssembly")),
    };
    service.fact("tinygo", tiny.is_some() || wit);
    service.fact("component", wit);
    // A WASI preview 1 program has no sockets to listen on.
    service.fact("wasm_serves", web && wit);
    service.settings.found(Key::Target, value, evidence);
}
