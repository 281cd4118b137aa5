use jiff::civil::Date;
use serde_json::Value;

use super::common::{self, Dependencies, Digits, Wish};
use crate::manifest::{keys, text};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

/// What a framework makes, and how that is served.
struct Framework {
    package: &'static str,
    title: &'static str,
    /// Where the build puts it.
    output: &'static str,
    /// The command that serves it; empty where it is files for a web server.
    start: &'static str,
    port: u16,
}

const fn site(package: &'static str, title: &'static str, output: &'static str) -> Framework {
    Framework { package, title, output, start: "", port: 8080 }
}

const fn server(package: &'static str, title: &'static str, output: &'static str, start: &'static str) -> Framework {
    Framework { package, title, output, start, port: 3000 }
}

/// The first that is a dependency counts, so those that build on others come before them.
const FRAMEWORKS: [Framework; 19] = [
    server("next", "Next.js", ".next", "next start"),
    server("nuxt", "Nuxt", ".output", "node .output/server/index.mjs"),
    server("@react-router/serve", "React Router", "build", "react-router-serve ./build/server/index.js"),
    server("@remix-run/serve", "Remix", "build public", "remix-serve ./build/server/index.js"),
    server("@sveltejs/adapter-node", "SvelteKit", "build", "node build"),
    server("@astrojs/node", "Astro", "dist", "node ./dist/server/entry.mjs"),
    server("@nestjs/core", "NestJS", "dist", "node dist/main.js"),
    site("@sveltejs/adapter-static", "SvelteKit", "build"),
    site("astro", "Astro", "dist"),
    site("gatsby", "Gatsby", "public"),
    site("@docusaurus/core", "Docusaurus", "build"),
    site("@11ty/eleventy", "Eleventy", "_site"),
    site("vitepress", "VitePress", "docs/.vitepress/dist"),
    site("react-scripts", "Create React App", "build"),
    site("@angular/core", "Angular", "dist"),
    site("@vue/cli-service", "Vue CLI", "dist"),
    site("parcel", "Parcel", "dist"),
    site("ember-source", "Ember", "dist"),
    site("vite", "Vite", "dist"),
];

/// Libraries that serve HTTP.
const SERVERS: [(&str, &str); 6] = [
    ("express", "Express"),
    ("fastify", "Fastify"),
    ("koa", "Koa"),
    ("hono", "Hono"),
    ("@hapi/hapi", "hapi"),
    ("restify", "restify"),
];

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let named = ["server.js", "index.js", "app.js", "server.mjs", "index.mjs"];
    if !folder.has("package.json") {
        let file = folder.first_of(&named[..1])?;
        let mut service = Service::new(Stack::Node, folder.dir, "Node.js");
        service.evidence.push(Evidence::of(folder.path(file), "is where programs for Node.js begin"));
        finish(&mut service, folder, &Value::Null, today);
        return Some(service);
    }
    let package = folder.json("package.json").unwrap_or(Value::Null);
    let mut service = Service::new(Stack::Node, folder.dir, "Node.js");
    service.evidence.push(Evidence::of(folder.path("package.json"), "is of a Node.js package"));
    finish(&mut service, folder, &package, today);
    Some(service)
}

/// Bun has the same manifest and its own lock file.
pub(super) fn detect_bun(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let lock = folder.first_of(&["bun.lock", "bun.lockb", "bunfig.toml"])?;
    if !folder.has("package.json") || folder.first_of(&["package-lock.json", "yarn.lock", "pnpm-lock.yaml"]).is_some() {
        return None;
    }
    let package = folder.json("package.json").unwrap_or(Value::Null);
    let mut service = Service::new(Stack::Bun, folder.dir, "Bun");
    service.evidence.push(Evidence::of(folder.path(lock), "is Bun's"));
    finish(&mut service, folder, &package, today);
    Some(service)
}

fn finish(service: &mut Service, folder: &Folder<'_>, package: &Value, today: Date) {
    let bun = service.stack == Stack::Bun;
    let mut dependencies = Dependencies::new();
    for section in ["dependencies", "devDependencies"] {
        dependencies.extend(keys(package, section).map(|name| (name.clone(), folder.path("package.json"))));
    }
    versions(service, folder, package, bun, today);
    manager(service, folder, package);
    let framework = FRAMEWORKS.iter().find(|framework| dependencies.contains_key(framework.package));
    let because = |name: &str| Evidence::of(folder.path("package.json"), format!("names {name}"));
    let is_static = framework.is_some_and(|framework| is_site(folder, framework, package));
    match framework {
        Some(framework) => title(service, framework.title, because(framework.package)),
        None => {
            if let Some((name, text)) = SERVERS.iter().find(|(name, _)| dependencies.contains_key(*name)) {
                title(service, text, because(name));
            }
        }
    }
    build(service, folder, package, framework);
    let scan = common::scan(folder, &[".js", ".ts", ".mjs", ".cjs", ".mts"]);
    if is_static {
        service.runnable = true;
        service.settings.found(Key::Port, "8080", Evidence::usual("a port that needs no rights"));
    } else if dependencies.contains_key("@bytecodealliance/componentize-js") {
        component(service, folder);
    } else {
        start(service, folder, package, framework, bun);
        let web = framework.is_some() || service.title.contains(" with ") || scan.port.is_some() || listens(folder);
        common::serve(service, folder, &scan, web.then_some(framework.map_or(3000, |framework| framework.port)));
    }
    common::databases(
        service,
        &keys(package, "dependencies").map(|name| (name.clone(), folder.path("package.json"))).collect(),
    );
    service.fact("static", is_static);
    let next_config = folder.first_of(&["next.config.js", "next.config.mjs", "next.config.ts"]);
    let next_config = next_config.and_then(|name| folder.text(name)).unwrap_or_default();
    service.fact("standalone", next_config.contains("standalone"));
    service.fact("next", dependencies.contains_key("next") && !is_static);
    service.fact("public", folder.has_dir("public"));
    service.fact("install_scripts", install_scripts(package));
    service.fact("workspaces", !package["workspaces"].is_null() || folder.has("pnpm-workspace.yaml"));
    service.fact("bun_lock", folder.first_of(&["bun.lock", "bun.lockb"]).unwrap_or_default());
    service.fact("npmrc", folder.has(".npmrc"));
    service.fact("package", folder.has("package.json"));
    service.about.description = text(package, &["description"]).unwrap_or_default().to_owned();
    service.about.license = text(package, &["license"]).unwrap_or_default().to_owned();
    let source = text(package, &["repository", "url"]).or_else(|| text(package, &["repository"])).unwrap_or_default();
    service.about.source = source.trim_start_matches("git+").trim_end_matches(".git").to_owned();
}

fn title(service: &mut Service, framework: &str, evidence: Evidence) {
    service.title = format!("{} with {framework}", service.stack.title());
    service.evidence.push(evidence);
}

fn versions(service: &mut Service, folder: &Folder<'_>, package: &Value, bun: bool, today: Date) {
    let (name, files, tools): (_, &[&str], &[&str]) = match bun {
        true => ("bun", &[".bun-version"], &["bun"]),
        false => ("node", &[".nvmrc", ".node-version"], &["node", "nodejs"]),
    };
    let mut wishes: Vec<Wish> = common::pinned(folder, files, tools).into_iter().collect();
    wishes.extend(text(package, &["engines", name]).map(|range| {
        Wish::Range(range.to_owned(), Evidence::of(folder.path("package.json"), format!("engines ask for {range}")))
    }));
    common::version(service, folder, name, wishes, if bun { Digits::Minor } else { Digits::Major }, today);
}

/// The package manager and its version, by the lock file and what package.json says.
fn manager(service: &mut Service, folder: &Folder<'_>, package: &Value) {
    if service.stack == Stack::Bun {
        service.fact("has_dependencies", true);
        return;
    }
    let declared = text(package, &["packageManager"]).and_then(|text| text.split_once('@'));
    let exact = declared.map(|(_, version)| version.split('+').next().unwrap_or(version).to_owned());
    let root = folder.root();
    let lock = |name: &'static str| {
        if folder.has(name) { Some(folder.path(name)) } else { root.has(name).then(|| name.to_owned()) }
    };
    let found = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("package-lock.json", "npm"),
        ("npm-shrinkwrap.json", "npm"),
    ];
    let locked = found.into_iter().find_map(|(file, manager)| Some((manager, lock(file)?)));
    let known = |name: &str| ["npm", "pnpm", "yarn"].into_iter().find(|manager| *manager == name);
    let (manager, evidence) = match (declared.and_then(|(name, _)| known(name)), &locked) {
        (Some(name), _) => (name, Evidence::of(folder.path("package.json"), format!("packageManager is {name}"))),
        (None, Some((name, file))) => (*name, Evidence::of(file, format!("is {name}'s lock file"))),
        (None, None) => ("npm", Evidence::usual("no lock file says otherwise")),
    };
    let has_dependencies =
        ["dependencies", "devDependencies"].iter().any(|section| keys(package, section).next().is_some());
    if locked.is_none() && has_dependencies {
        folder.notes.add(
            "no lock file: every build may install other versions; commit the one that your package manager writes",
        );
    }
    service.fact("lock", locked.as_ref().is_some_and(|(name, _)| *name == manager));
    service.fact(
        "lock_file",
        match manager {
            "pnpm" => "pnpm-lock.yaml",
            "yarn" => "yarn.lock",
            _ if folder.has("npm-shrinkwrap.json") => "npm-shrinkwrap.json",
            _ => "package-lock.json",
        },
    );
    let berry = manager == "yarn"
        && (folder.has(".yarnrc.yml") || exact.as_deref().is_some_and(|version| !version.starts_with('1')));
    service.fact("berry", berry);
    service.fact("has_dependencies", has_dependencies);
    service.fact("manager_version", exact.unwrap_or_default());
    service.settings.found_of(Key::Manager, Kind::Choice(&["npm", "pnpm", "yarn"]), manager, evidence);
}

/// Whether a framework's build is files for a web server.
fn is_site(folder: &Folder<'_>, framework: &Framework, package: &Value) -> bool {
    let config = |names: &[&str], word: &str| {
        folder.first_of(names).and_then(|name| folder.text(name)).is_some_and(|text| text.contains(word))
    };
    match framework.package {
        "next" => {
            config(&["next.config.js", "next.config.mjs", "next.config.ts"], "'export'")
                || config(&["next.config.js", "next.config.mjs", "next.config.ts"], "\"export\"")
        }
        "nuxt" => text(package, &["scripts", "build"]).is_some_and(|script| script.contains("generate")),
        // A server that happens to use Vite for its pages has a command of its own.
        "vite" => !text(package, &["scripts", "start"]).is_some_and(|script| script.contains("node ")),
        _ => framework.start.is_empty(),
    }
}

fn build(service: &mut Service, folder: &Folder<'_>, package: &Value, framework: Option<&Framework>) {
    let runner =
        if service.stack == Stack::Bun { "bun".to_owned() } else { service.settings.value(Key::Manager).to_owned() };
    match text(package, &["scripts", "build"]) {
        Some(script) => {
            let evidence = Evidence::of(folder.path("package.json"), format!("script `build` is `{script}`"));
            service.settings.found(Key::Build, format!("{runner} run build"), evidence);
        }
        None => service.settings.found(Key::Build, "", Evidence::usual("package.json has no script `build`")),
    }
    if service.settings.value(Key::Build).is_empty() && framework.is_none() {
        return;
    }
    let compiler = folder
        .json("tsconfig.json")
        .and_then(|config| text(&config, &["compilerOptions", "outDir"]).map(str::to_owned));
    let exported =
        framework.is_some_and(|framework| framework.package == "next" && is_site(folder, framework, package));
    let angular = || {
        let name = keys(&folder.json("angular.json")?, "projects").next()?.clone();
        Some(format!("dist/{name}/browser"))
    };
    let (output, evidence) = match (framework, compiler) {
        (Some(_), _) if exported => ("out".to_owned(), Evidence::usual("where Next.js exports to")),
        (Some(framework), _) if framework.package == "@angular/core" => {
            (angular().unwrap_or_else(|| "dist".to_owned()), Evidence::usual("where Angular builds to"))
        }
        (Some(framework), _) => {
            (framework.output.to_owned(), Evidence::usual(format!("where {} builds to", framework.title)))
        }
        (None, Some(dir)) => {
            let dir = dir.trim_start_matches("./").trim_end_matches('/').to_owned();
            (dir, Evidence::of(folder.path("tsconfig.json"), "compiles to there"))
        }
        (None, None) => ("dist".to_owned(), Evidence::usual("where most builds go")),
    };
    service.settings.found(Key::Output, output, evidence);
}

fn start(service: &mut Service, folder: &Folder<'_>, package: &Value, framework: Option<&Framework>, bun: bool) {
    let runtime = if bun { "bun" } else { "node" };
    let script = text(package, &["scripts", "start:prod"]).map(|script| ("start:prod", script));
    let script = script.or_else(|| text(package, &["scripts", "start"]).map(|script| ("start", script)));
    let develops = |script: &str| {
        ["nodemon", "--watch", "ts-node-dev", "next dev", "tsx watch"].iter().any(|word| script.contains(word))
    };
    let script = script.filter(|(_, script)| !develops(script));
    let main =
        text(package, &["main"]).filter(|main| folder.has(main.trim_start_matches("./")) || main.starts_with("dist"));
    let named =
        ["server.js", "index.js", "app.js", "main.js", "server.mjs", "index.mjs", "src/index.js", "src/server.js"];
    let typed = ["index.ts", "server.ts", "src/index.ts", "src/server.ts"];
    service.runnable = true;
    let (command, evidence) = match (framework.filter(|framework| !framework.start.is_empty()), script, main) {
        (Some(framework), _, _) if framework.package == "next" && standalone(folder) => {
            ("node server.js".to_owned(), Evidence::usual("what Next.js makes with output: standalone"))
        }
        (_, Some((name, script)), _) => (
            script.to_owned(),
            Evidence::of(folder.path("package.json"), format!("script `{name}`, without npm between it and signals")),
        ),
        (Some(framework), None, _) => {
            (framework.start.to_owned(), Evidence::usual(format!("how {} starts", framework.title)))
        }
        (None, None, Some(main)) => {
            (format!("{runtime} {main}"), Evidence::of(folder.path("package.json"), format!("main is {main}")))
        }
        (None, None, None) => match folder.first_of(&named).or_else(|| folder.first_of(&typed)) {
            Some(file) => (format!("{runtime} {file}"), Evidence::of(folder.path(file), "is where programs begin")),
            None => {
                service.runnable = false;
                (format!("{runtime} index.js"), Evidence::usual("no program was seen"))
            }
        },
    };
    service.settings.found(Key::Start, command, evidence);
}

fn standalone(folder: &Folder<'_>) -> bool {
    let names = ["next.config.js", "next.config.mjs", "next.config.ts"];
    folder.first_of(&names).and_then(|name| folder.text(name)).is_some_and(|text| text.contains("standalone"))
}

fn listens(folder: &Folder<'_>) -> bool {
    let sources =
        folder.all().filter(|file| [".js", ".ts", ".mjs"].iter().any(|ending| file.ends_with(ending))).take(60);
    sources.into_iter().any(|file| {
        folder.text(file).is_some_and(|text| {
            text.contains("createServer(") || text.contains(".listen(") || text.contains("Bun.serve(")
        })
    })
}

fn install_scripts(package: &Value) -> bool {
    ["preinstall", "install", "postinstall", "prepare"].iter().any(|name| text(package, &["scripts", name]).is_some())
}

fn component(service: &mut Service, folder: &Folder<'_>) {
    service.title = "JavaScript component".to_owned();
    let evidence = Evidence::of(folder.path("package.json"), "names @bytecodealliance/componentize-js");
    service.settings.found_of(Key::Target, Kind::Choice(&["wasm"]), "wasm", evidence);
    let main = folder.first_of(&["app.js", "index.js", "src/index.js", "component.js"]).unwrap_or("app.js");
    service.settings.found_of(Key::Main, Kind::Words, main, Evidence::usual("the module that becomes the component"));
    service.settings.found(Key::Port, "8080", Evidence::usual("drua serves a wasi:http component on 8080"));
    service.fact("wasm_serves", true);
    service.runnable = true;
}
