//! From files to services: which stacks there are, why, and what is known about each.

mod c;
mod common;
mod deno;
mod dotnet;
mod elixir;
mod go;
mod java;
mod node;
mod other;
mod php;
mod python;
mod ruby;
mod rust;
mod site;
mod wasm;

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key};
use crate::tree::{Folder, Memory, Notes, Tree};

/// How deep below the project's folder services are looked for.
pub const MAX_DEPTH: usize = 3;
/// Folders with a manifest that are looked into.
const MAX_FOLDERS: usize = 100;

/// Names of files that make a folder worth a look.
const MARKERS: [&str; 39] = [
    "go.mod",
    "go.work",
    "package.json",
    "server.js",
    "requirements.txt",
    "pyproject.toml",
    "Pipfile",
    "setup.py",
    "manage.py",
    "main.py",
    "app.py",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "settings.gradle",
    "settings.gradle.kts",
    "composer.json",
    "index.php",
    "artisan",
    "Gemfile",
    "gems.rb",
    "config.ru",
    "deno.json",
    "deno.jsonc",
    "mix.exs",
    "CMakeLists.txt",
    "meson.build",
    "Makefile",
    "makefile",
    "GNUmakefile",
    "index.html",
    "hugo.toml",
    "hugo.yaml",
    "mkdocs.yml",
    "spin.toml",
    "slightfile.toml",
    "start.sh",
    "config.toml",
];

/// What was found in a project.
#[derive(Debug, Clone)]
pub struct Survey {
    /// Folders that could become services, the project's own first.
    pub places: Vec<Place>,
    /// What the user should know: manifests that cannot be read, versions that have ended, choices that were made.
    pub notes: Vec<String>,
}

/// A folder that could become a service.
#[derive(Debug, Clone)]
pub struct Place {
    /// The folder, relative to the project's; empty for that itself.
    pub dir: String,
    /// What it could be, the likeliest first; never empty.
    pub candidates: Vec<Service>,
    /// Whether it is taken unless the user says otherwise.
    pub chosen: bool,
}

/// Looks at a project.
///
/// `today` decides which versions have ended.
pub fn survey(tree: &dyn Tree, today: Date) -> Survey {
    let notes = Notes::default();
    let root_candidates = candidates(&Folder::new(tree, "", &notes), today);
    let root_runs = root_candidates.iter().any(|service| service.runnable);
    let root_stack = root_candidates.first().map(|service| service.stack);
    let mut places = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for dir in folders(tree) {
        if taken.iter().any(|above| dir.starts_with(&format!("{above}/"))) {
            continue;
        }
        let found = candidates(&Folder::new(tree, &dir, &notes), today);
        let runs = found.iter().any(|service| service.runnable);
        // Packages of a workspace belong to the program at its top.
        let part_of_root = root_runs && found.first().map(|service| service.stack) == root_stack;
        if runs && !part_of_root {
            taken.push(dir.clone());
            places.push(Place { dir, candidates: found, chosen: !root_runs });
        }
    }
    if root_runs || places.is_empty() {
        let mut candidates = root_candidates;
        let folder = Folder::new(tree, "", &notes);
        if candidates.is_empty() || folder.has("start.sh") {
            candidates.push(other::detect(&folder));
        }
        places.insert(0, Place { dir: String::new(), candidates, chosen: true });
    }
    name(&mut places);
    Survey { places, notes: notes.into_inner() }
}

/// The service that a folder is when the user says its stack, whatever is in it.
pub fn survey_as(tree: &dyn Tree, dir: &str, stack: Stack, today: Date) -> Service {
    let notes = Notes::default();
    let folder = Folder::new(tree, dir, &notes);
    let found = one(stack, &folder, today);
    let mut service = found.unwrap_or_else(|| {
        let example = Memory::new(example(stack).iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
        let service = one(stack, &Folder::new(&example, "", &notes), today);
        let mut service = service.unwrap_or_else(|| other::detect(&folder));
        service.dir = dir.to_owned();
        service.evidence = vec![Evidence::usual("you said so")];
        service
    });
    if service.name().is_empty() {
        let name = proposed_name(&service, dir);
        service.settings.found(Key::Name, name, Evidence::usual("what it is"));
    }
    service
}

/// Every stack that a folder could be, in the order of [`Stack::ALL`], those that run first.
fn candidates(folder: &Folder<'_>, today: Date) -> Vec<Service> {
    let stacks = Stack::ALL.into_iter().filter(|stack| *stack != Stack::Other);
    let mut found: Vec<Service> = stacks.filter_map(|stack| one(stack, folder, today)).collect();
    found.sort_by_key(|service| !service.runnable);
    found
}

fn one(stack: Stack, folder: &Folder<'_>, today: Date) -> Option<Service> {
    match stack {
        Stack::Go => go::detect(folder, today),
        Stack::Node => node::detect(folder, today),
        Stack::Python => python::detect(folder, today),
        Stack::Rust => rust::detect(folder, today),
        Stack::Java => java::detect(folder, today),
        Stack::DotNet => dotnet::detect(folder, today),
        Stack::Php => php::detect(folder, today),
        Stack::Ruby => ruby::detect(folder, today),
        Stack::Deno => deno::detect(folder, today),
        Stack::Bun => node::detect_bun(folder, today),
        Stack::Elixir => elixir::detect(folder, today),
        Stack::C => c::detect(folder),
        Stack::Static => site::detect(folder),
        Stack::Wasm => wasm::detect(folder),
        Stack::Other => Some(other::detect(folder)),
    }
}

/// Folders below the project's own that have a manifest, those further up first.
fn folders(tree: &dyn Tree) -> Vec<String> {
    let mut dirs = BTreeSet::new();
    for file in tree.files() {
        let Some((dir, name)) = file.rsplit_once('/') else { continue };
        let depth = dir.matches('/').count() + 1;
        let marked =
            MARKERS.contains(&name) || name.ends_with("proj") || name.ends_with(".sln") || name.ends_with(".wasm");
        if depth <= MAX_DEPTH && marked {
            dirs.insert((depth, dir.to_owned()));
        }
    }
    let aside = |dir: &str| {
        let set = [
            "test", "tests", "example", "examples", "fixtures", "docs", "doc", "scripts", "tools", "benches",
            "testdata", "public", "static",
        ];
        dir.split('/').any(|part| set.contains(&part))
    };
    dirs.into_iter().map(|(_, dir)| dir).filter(|dir| !aside(dir)).take(MAX_FOLDERS).collect()
}

/// Gives every service a name of its own.
fn name(places: &mut [Place]) {
    let mut used = BTreeSet::new();
    for place in places {
        for service in &mut place.candidates {
            let evidence = if place.dir.is_empty() {
                Evidence::usual("what it is")
            } else {
                Evidence::of(&place.dir, "the folder's name")
            };
            service.settings.found(Key::Name, proposed_name(service, &place.dir), evidence);
        }
        let proposed = place.candidates[0].name().to_owned();
        let mut number = 1;
        while !used.insert(place.candidates[0].name().to_owned()) {
            number += 1;
            for service in &mut place.candidates {
                service.settings.found(
                    Key::Name,
                    format!("{proposed}-{number}"),
                    Evidence::of(&place.dir, "the folder's name, once more"),
                );
            }
        }
    }
}

fn proposed_name(service: &Service, dir: &str) -> String {
    let last = dir.rsplit('/').next().unwrap_or_default().to_lowercase();
    let name: String =
        last.chars().map(|c| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' }).collect();
    let name = name.trim_matches(['-', '_']).to_owned();
    match name.is_empty() {
        false => name,
        true if service.settings.value(Key::Port).is_empty() => "app".to_owned(),
        true => "web".to_owned(),
    }
}

/// The smallest project of a stack: what it looks like where nothing is there yet.
fn example(stack: Stack) -> &'static [(&'static str, &'static str)] {
    match stack {
        Stack::Go => &[
            ("go.mod", "module app\n"),
            ("main.go", "package main\n\nfunc main() { http.ListenAndServe(\":8080\", nil) }\n"),
        ],
        Stack::Node => &[
            ("package.json", "{\"scripts\": {\"start\": \"node index.js\"}}"),
            ("index.js", "http.createServer().listen(3000)"),
        ],
        Stack::Python => &[("requirements.txt", ""), ("app.py", "")],
        Stack::Rust => &[("Cargo.toml", "[package]\nname = \"app\"\n"), ("src/main.rs", "")],
        Stack::Java => &[("pom.xml", "<project></project>"), ("src/main/java/App.java", "")],
        Stack::DotNet => &[("app.csproj", "<Project Sdk=\"Microsoft.NET.Sdk.Web\"></Project>")],
        Stack::Php => &[("index.php", "")],
        Stack::Ruby => &[("Gemfile", ""), ("app.rb", "")],
        Stack::Deno => &[("deno.json", "{}"), ("main.ts", "")],
        Stack::Bun => &[("package.json", "{}"), ("bun.lock", ""), ("index.ts", "Bun.serve({ port: 3000 })")],
        Stack::Elixir => &[("mix.exs", "app: :app,")],
        Stack::C => &[("Makefile", "app: main.c\n\tcc -o app main.c\n"), ("main.c", "")],
        Stack::Static => &[("index.html", "")],
        Stack::Wasm => &[("app.wasm", "")],
        Stack::Other => &[],
    }
}
