use jiff::civil::Date;
use toml::Table;

use super::common::{self, Dependencies, Digits, Wish};
use crate::manifest::toml_text;
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    if !folder.has("Cargo.toml") {
        return None;
    }
    let manifest = folder.toml("Cargo.toml").unwrap_or_default();
    let mut service = Service::new(Stack::Rust, folder.dir, "Rust");
    let workspace = manifest.contains_key("workspace");
    let what = if workspace { "is a Cargo workspace" } else { "is a Cargo package" };
    service.evidence.push(Evidence::of(folder.path("Cargo.toml"), what));
    let members = members(folder, &manifest);
    let dependencies = dependencies(folder, &members);
    for (name, title) in [
        ("axum", "axum"),
        ("actix-web", "Actix Web"),
        ("rocket", "Rocket"),
        ("warp", "warp"),
        ("poem", "poem"),
        ("salvo", "Salvo"),
    ] {
        if let Some(file) = dependencies.get(name) {
            service.title = format!("Rust with {title}");
            service.evidence.push(Evidence::of(file, format!("depends on {name}")));
        }
    }
    version(&mut service, folder, &members, today);
    let component = binary(&mut service, folder, &members);
    let scan = common::scan(folder, &[".rs"]);
    let web = service.title != "Rust"
        || scan.port.is_some()
        || ["hyper", "tiny_http", "tonic"].iter().any(|name| dependencies.contains_key(*name));
    let usual = web.then_some(if dependencies.contains_key("rocket") { 8000 } else { 8080 });
    target(&mut service, folder, &dependencies, component);
    if service.is_wasm() && component {
        service.settings.found(Key::Port, "8080", Evidence::usual("drua serves a wasi:http component on 8080"));
    } else {
        common::serve(&mut service, folder, &scan, usual);
    }
    common::databases(&mut service, &dependencies);
    system_libraries(&mut service, folder, &dependencies);
    service.fact("lock", folder.has("Cargo.lock"));
    service.fact("assets", common::assets(folder, &["migrations", "templates", "static", "assets", "public"]));
    if let Some((_, table)) = members.first() {
        let text = |key: &str| toml_text(table, &["package", key]).unwrap_or_default().to_owned();
        service.about.description = text("description");
        service.about.license = text("license");
        service.about.source = text("repository");
    }
    Some(service)
}

/// The packages: path of the manifest's folder, and the manifest.
fn members(folder: &Folder<'_>, manifest: &Table) -> Vec<(String, Table)> {
    let mut members = Vec::new();
    if manifest.contains_key("package") {
        members.push((String::new(), manifest.clone()));
    }
    let patterns =
        manifest.get("workspace").and_then(|workspace| workspace.get("members")).and_then(toml::Value::as_array);
    let patterns: Vec<&str> = patterns.into_iter().flatten().filter_map(toml::Value::as_str).collect();
    for file in folder.all().filter(|file| file.ends_with("/Cargo.toml")).take(500) {
        let dir = file.trim_end_matches("/Cargo.toml");
        let wanted = patterns.iter().any(|pattern| match pattern.strip_suffix("/*") {
            Some(parent) => dir.rsplit_once('/').is_some_and(|(above, _)| above == parent),
            None => dir == pattern.trim_start_matches("./"),
        });
        if wanted && let Some(table) = folder.toml(file) {
            members.push((dir.to_owned(), table));
        }
    }
    members
}

fn dependencies(folder: &Folder<'_>, members: &[(String, Table)]) -> Dependencies {
    let mut found = Dependencies::new();
    let manifests = members.iter().map(|(dir, table)| {
        let file = if dir.is_empty() { "Cargo.toml".to_owned() } else { format!("{dir}/Cargo.toml") };
        (folder.path(&file), table)
    });
    for (file, table) in manifests {
        for (name, value) in table.get("dependencies").and_then(toml::Value::as_table).into_iter().flatten() {
            found.insert(name.clone(), file.clone());
            // sqlx and diesel name their databases as features.
            let features = value.get("features").and_then(toml::Value::as_array).into_iter().flatten();
            for feature in features.filter_map(toml::Value::as_str) {
                if ["sqlx", "diesel", "sea-orm"].contains(&name.as_str()) {
                    let database = feature.trim_start_matches("sqlx-");
                    found.insert(database.to_owned(), file.clone());
                }
            }
        }
    }
    found
}

fn version(service: &mut Service, folder: &Folder<'_>, members: &[(String, Table)], today: Date) {
    let mut wishes = Vec::new();
    let channel = folder
        .toml("rust-toolchain.toml")
        .and_then(|table| toml_text(&table, &["toolchain", "channel"]).map(str::to_owned));
    let channel = channel.or_else(|| folder.text("rust-toolchain").map(|text| text.trim().to_owned()));
    if let Some(channel) = channel.filter(|channel| channel.starts_with(|c: char| c.is_ascii_digit())) {
        let file = folder.first_of(&["rust-toolchain.toml", "rust-toolchain"]).unwrap_or_default();
        wishes.push(Wish::Exactly(channel.clone(), Evidence::of(folder.path(file), format!("pins {channel}"))));
    }
    let least = members.iter().find_map(|(_, table)| toml_text(table, &["package", "rust-version"]));
    wishes.extend(least.map(|least| {
        Wish::Range(
            format!(">={least}"),
            Evidence::of(folder.path("Cargo.toml"), format!("needs Rust {least} or newer")),
        )
    }));
    common::version(service, folder, "rust", wishes, Digits::Minor, today);
}

/// Settles which binary is built; whether it is a library for a component instead.
fn binary(service: &mut Service, folder: &Folder<'_>, members: &[(String, Table)]) -> bool {
    let mut binaries: Vec<(String, String, String)> = Vec::new();
    let mut library = None;
    for (dir, table) in members {
        let package = toml_text(table, &["package", "name"]).unwrap_or_default().to_owned();
        let at = |name: &str| if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
        let declared = table.get("bin").and_then(toml::Value::as_array).into_iter().flatten();
        for name in declared.filter_map(|bin| bin.get("name")?.as_str()) {
            binaries.push((name.to_owned(), package.clone(), at("Cargo.toml")));
        }
        if folder.has(&at("src/main.rs")) && binaries.iter().all(|(name, _, _)| *name != package) {
            binaries.push((package.clone(), package.clone(), at("src/main.rs")));
        }
        let extra = folder.all().filter_map(|file| file.strip_prefix(&at("src/bin/"))?.strip_suffix(".rs"));
        binaries.extend(
            extra.filter(|name| !name.contains('/')).map(|name| (name.to_owned(), package.clone(), at("src/bin"))),
        );
        let kinds = table.get("lib").and_then(|lib| lib.get("crate-type")).and_then(toml::Value::as_array);
        if kinds.into_iter().flatten().any(|kind| kind.as_str() == Some("cdylib")) {
            library = Some((package.clone(), at("Cargo.toml")));
        }
        if let Some(run) = toml_text(table, &["package", "default-run"])
            && let Some(position) = binaries.iter().position(|(name, _, _)| name == run)
        {
            binaries.swap(0, position);
        }
    }
    if let (true, Some((package, file))) = (binaries.is_empty(), library) {
        let artifact = package.replace('-', "_");
        service.settings.found_of(Key::Main, Kind::Words, artifact, Evidence::of(folder.path(&file), "is a cdylib"));
        service.fact("package", package);
        service.runnable = true;
        return true;
    }
    service.runnable = !binaries.is_empty();
    if binaries.len() > 1 {
        let names: Vec<&str> = binaries.iter().map(|(name, _, _)| name.as_str()).collect();
        folder.notes.add(format!("several binaries: {}; choose with `--set main=NAME`", names.join(", ")));
    }
    let (name, package, file) = binaries.into_iter().next().unwrap_or_default();
    let evidence = if name.is_empty() {
        Evidence::usual("no binary was seen")
    } else {
        Evidence::of(folder.path(&file), "is the program")
    };
    service.settings.found_of(Key::Main, Kind::Words, name, evidence);
    service.fact("package", package);
    false
}

fn target(service: &mut Service, folder: &Folder<'_>, dependencies: &Dependencies, component: bool) {
    let configured =
        folder.toml(".cargo/config.toml").and_then(|table| toml_text(&table, &["build", "target"]).map(str::to_owned));
    let toolchain = folder.text("rust-toolchain.toml").filter(|text| text.contains("wasm32-wasi"));
    let guest =
        ["wasi", "wit-bindgen", "wstd", "spin-sdk", "waki"].iter().find_map(|name| dependencies.get_key_value(*name));
    let (value, evidence) = match (configured, toolchain, guest) {
        (Some(target), _, _) if target.starts_with("wasm32-wasi") => {
            ("wasm", Evidence::of(folder.path(".cargo/config.toml"), format!("builds for {target}")))
        }
        (_, Some(_), _) => ("wasm", Evidence::of(folder.path("rust-toolchain.toml"), "names a wasm32-wasi target")),
        (_, _, Some((name, file))) => ("wasm", Evidence::of(file, format!("depends on {name}"))),
        _ => ("linux", Evidence::usual("nothing asks for WebAssembly")),
    };
    let wasip1 = !component && guest.is_none();
    service.fact("wasm_target", if wasip1 { "wasm32-wasip1" } else { "wasm32-wasip2" });
    service.fact("component", component);
    service.fact("wasm_serves", component);
    service.settings.found(Key::Target, value, evidence);
}

/// Libraries of Debian that crates link with.
fn system_libraries(service: &mut Service, folder: &Folder<'_>, dependencies: &Dependencies) {
    let lock = folder.text("Cargo.lock").unwrap_or_default();
    let locked = |name: &str| lock.contains(&format!("name = \"{name}\"")) || dependencies.contains_key(name);
    let mut build = Vec::new();
    let mut run = Vec::new();
    for (name, development, library) in [
        ("openssl-sys", "libssl-dev", "libssl3t64"),
        ("pq-sys", "libpq-dev", "libpq5"),
        ("mysqlclient-sys", "libmariadb-dev", "libmariadb3"),
    ] {
        if locked(name) && !lock.contains("name = \"openssl-src\"") {
            build.push(development);
            run.push((library, name));
        }
    }
    if !build.is_empty() {
        build.push("pkg-config");
    }
    let needs_clang = locked("bindgen") || locked("clang-sys");
    build.extend(["clang", "libclang-dev"].iter().filter(|_| needs_clang));
    if locked("prost-build") || locked("tonic-build") {
        build.push("protobuf-compiler");
    }
    service.fact("build_packages", build);
    let names: Vec<&str> = run.iter().map(|(library, _)| *library).collect();
    let evidence = match run.first() {
        Some((_, name)) => Evidence::of(folder.path("Cargo.lock"), format!("links with what {name} needs")),
        None => Evidence::usual("nothing links with a system library"),
    };
    service.settings.found(Key::Packages, names.join(" "), evidence);
}
