use jiff::civil::Date;
use toml::Table;

use super::common::{self, Dependencies, Digits, Wish};
use crate::manifest::{requirement_name, toml_text};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

/// Files with which programs begin.
const MAINS: [&str; 9] =
    ["main.py", "app.py", "wsgi.py", "asgi.py", "server.py", "start.py", "bot.py", "run.py", "hello.py"];

/// What the manifests say.
struct Manifests {
    project: Table,
    dependencies: Dependencies,
    manager: (&'static str, Evidence),
}

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let markers = ["requirements.txt", "pyproject.toml", "Pipfile", "setup.py", "manage.py"];
    let marker = folder.first_of(&markers).or_else(|| folder.first_of(&MAINS))?;
    let manifests = read(folder);
    let mut service = Service::new(Stack::Python, folder.dir, "Python");
    service.evidence.push(Evidence::of(folder.path(marker), "is of a Python project"));
    versions(&mut service, folder, &manifests, today);
    let (manager, evidence) = manifests.manager.clone();
    let managers = Kind::Choice(&["pip", "uv", "poetry", "pipenv", "none"]);
    service.settings.found_of(Key::Manager, managers, manager, evidence);
    let default_port = start(&mut service, folder, &manifests);
    let scan = common::scan(folder, &[".py"]);
    if manifests.dependencies.contains_key("componentize-py") && folder.has_dir("wit") {
        component(&mut service, folder);
    } else {
        common::serve(&mut service, folder, &scan, default_port);
    }
    common::databases(&mut service, &manifests.dependencies);
    system_libraries(&mut service, &manifests.dependencies);
    service.fact(
        "requirements",
        folder
            .first_of(&["requirements.txt", "requirements/prod.txt", "requirements/production.txt"])
            .unwrap_or_default(),
    );
    service.fact("src", folder.has_dir("src"));
    for (name, file) in [
        ("uv_lock", "uv.lock"),
        ("poetry_lock", "poetry.lock"),
        ("pipfile_lock", "Pipfile.lock"),
        ("pyproject", "pyproject.toml"),
    ] {
        service.fact(name, folder.has(file));
    }
    let text = |key: &str| {
        let of = |table: &str| toml_text(&manifests.project, &[table, key]).map(str::to_owned);
        of("project")
            .or_else(|| toml_text(&manifests.project, &["tool", "poetry", key]).map(str::to_owned))
            .unwrap_or_default()
    };
    service.about.description = text("description");
    service.about.license = text("license");
    Some(service)
}

fn read(folder: &Folder<'_>) -> Manifests {
    let mut dependencies = Dependencies::new();
    let mut add = |line: &str, file: &str| {
        if let Some(name) = requirement_name(line) {
            dependencies.insert(name, folder.path(file));
        }
    };
    for file in ["requirements.txt", "requirements/prod.txt", "requirements/base.txt", "requirements/production.txt"] {
        folder.text(file).unwrap_or_default().lines().for_each(|line| add(line, file));
    }
    let project = folder.toml("pyproject.toml").unwrap_or_default();
    let listed = project.get("project").and_then(|project| project.get("dependencies")).and_then(toml::Value::as_array);
    listed.into_iter().flatten().filter_map(toml::Value::as_str).for_each(|line| add(line, "pyproject.toml"));
    let poetry = project.get("tool").and_then(|tool| tool.get("poetry")).and_then(|poetry| poetry.get("dependencies"));
    poetry
        .and_then(toml::Value::as_table)
        .into_iter()
        .flat_map(|table| table.keys())
        .for_each(|name| add(name, "pyproject.toml"));
    let pipfile = folder.toml("Pipfile").unwrap_or_default();
    let packages = pipfile.get("packages").and_then(toml::Value::as_table);
    packages.into_iter().flat_map(|table| table.keys()).for_each(|name| add(name, "Pipfile"));
    let file = |name: &str, what: &str| Evidence::of(folder.path(name), what);
    let has_tool = |name: &str| project.get("tool").is_some_and(|tool| tool.get(name).is_some());
    let manager = if folder.has("uv.lock") {
        ("uv", file("uv.lock", "is uv's lock file"))
    } else if folder.has("poetry.lock") {
        ("poetry", file("poetry.lock", "is Poetry's lock file"))
    } else if folder.has("Pipfile") {
        ("pipenv", file("Pipfile", "is Pipenv's"))
    } else if folder.has("requirements.txt") {
        ("pip", file("requirements.txt", "lists what pip installs"))
    } else if has_tool("poetry") {
        ("poetry", file("pyproject.toml", "has a section for Poetry"))
    } else if has_tool("uv") {
        ("uv", file("pyproject.toml", "has a section for uv"))
    } else if folder.has("pyproject.toml") || folder.has("setup.py") {
        let name = folder.first_of(&["pyproject.toml", "setup.py"]).unwrap_or_default();
        ("pip", file(name, "is what pip installs"))
    } else {
        ("none", Evidence::usual("nothing lists dependencies"))
    };
    Manifests { project, dependencies, manager }
}

fn versions(service: &mut Service, folder: &Folder<'_>, manifests: &Manifests, today: Date) {
    let mut wishes: Vec<Wish> =
        common::pinned(folder, &[".python-version", "runtime.txt"], &["python"]).into_iter().collect();
    let pipfile = folder.toml("Pipfile").unwrap_or_default();
    if let Some(version) = toml_text(&pipfile, &["requires", "python_version"]) {
        wishes.push(Wish::Exactly(
            version.to_owned(),
            Evidence::of(folder.path("Pipfile"), format!("requires {version}")),
        ));
    }
    let range = toml_text(&manifests.project, &["project", "requires-python"])
        .or_else(|| toml_text(&manifests.project, &["tool", "poetry", "dependencies", "python"]));
    wishes.extend(range.map(|range| {
        Wish::Range(range.to_owned(), Evidence::of(folder.path("pyproject.toml"), format!("asks for {range}")))
    }));
    common::version(service, folder, "python", wishes, Digits::Minor, today);
}

/// Settles how it starts; returns the port that its framework takes by itself.
fn start(service: &mut Service, folder: &Folder<'_>, manifests: &Manifests) -> Option<u16> {
    let uses = |name: &str| manifests.dependencies.get(name);
    let mut found = |title: &str, command: String, evidence: Evidence| {
        service.title = format!("Python with {title}");
        service.evidence.push(evidence.clone());
        service.settings.found(Key::Start, command, evidence);
        service.runnable = true;
    };
    if let Some(line) = procfile(folder) {
        service.settings.found(Key::Start, line, Evidence::of(folder.path("Procfile"), "says how it starts"));
        service.runnable = true;
        return Some(8000);
    }
    let gunicorn = uses("gunicorn").is_some();
    let because = |name: &str| Evidence::of(uses(name).cloned().unwrap_or_default(), format!("names {name}"));
    if folder.has("manage.py") && (uses("django").is_some() || manifests.dependencies.is_empty()) {
        let command = match django_application(folder) {
            Some(wsgi) if gunicorn => gunicorn_command(&format!("{wsgi}:application")),
            _ => "python manage.py runserver --noreload 0.0.0.0:8000".to_owned(),
        };
        found("Django", command, Evidence::of(folder.path("manage.py"), "is Django's"));
        return Some(8000);
    }
    for (name, title) in [("fastapi", "FastAPI"), ("litestar", "Litestar"), ("starlette", "Starlette")] {
        if uses(name).is_some()
            && let Some((module, variable)) = application(folder, title)
        {
            let command = match uses("uvicorn") {
                None if uses("hypercorn").is_some() => format!("hypercorn {module}:{variable} --bind 0.0.0.0:8000"),
                None if manifests.dependencies.contains_key("fastapi")
                    && uses("uvicorn").is_none()
                    && uses("fastapi-cli").is_some() =>
                {
                    format!("fastapi run {} --host 0.0.0.0 --port 8000", module.replace('.', "/") + ".py")
                }
                _ => format!("uvicorn {module}:{variable} --host 0.0.0.0 --port 8000"),
            };
            found(title, command, because(name));
            return Some(8000);
        }
    }
    if uses("flask").is_some() {
        let (module, variable) = application(folder, "Flask").unwrap_or_else(|| ("app".to_owned(), "app".to_owned()));
        let command = if gunicorn {
            gunicorn_command(&format!("{module}:{variable}"))
        } else if uses("waitress").is_some() {
            format!("waitress-serve --listen=0.0.0.0:8000 {module}:{variable}")
        } else {
            folder.notes.add("Flask's own server is for development: add gunicorn to the dependencies");
            format!("flask --app {module}:{variable} run --host 0.0.0.0 --port 8000")
        };
        found("Flask", command, because("flask"));
        return Some(8000);
    }
    if uses("streamlit").is_some() {
        let file = folder.first_of(&["streamlit_app.py", "app.py", "main.py"]).unwrap_or("app.py");
        found(
            "Streamlit",
            format!("streamlit run {file} --server.address=0.0.0.0 --server.port=8501"),
            because("streamlit"),
        );
        return Some(8501);
    }
    let main = folder.first_of(&MAINS);
    match main {
        Some(main) => {
            service.runnable = true;
            service.settings.found(
                Key::Start,
                format!("python {main}"),
                Evidence::of(folder.path(main), "is where programs begin"),
            );
        }
        None => match package(folder) {
            Some(package) => {
                service.runnable = true;
                let evidence = Evidence::of(folder.path(&package.1), "makes the package a program");
                service.settings.found(Key::Start, format!("python -m {}", package.0), evidence);
            }
            None => service.settings.found(Key::Start, "python main.py", Evidence::usual("no program was seen")),
        },
    }
    None
}

/// Heroku's file, which many projects have.
pub(super) fn procfile(folder: &Folder<'_>) -> Option<String> {
    let text = folder.text("Procfile")?;
    let line = text.lines().find_map(|line| line.strip_prefix("web:"))?;
    Some(line.trim().replace("${PORT}", "8000").replace("$PORT", "8000"))
}

/// gunicorn's heartbeat files belong into memory: a container's file system may be slow or read-only.
fn gunicorn_command(application: &str) -> String {
    format!("gunicorn --bind 0.0.0.0:8000 --worker-tmp-dir /dev/shm {application}")
}

fn django_application(folder: &Folder<'_>) -> Option<String> {
    let file = folder.all().filter(|file| file.ends_with("/wsgi.py")).min_by_key(|file| file.matches('/').count())?;
    Some(file.trim_end_matches(".py").replace('/', "."))
}

/// The module and the variable of a WSGI or ASGI application: `app = Flask(…)`.
fn application(folder: &Folder<'_>, class: &str) -> Option<(String, String)> {
    let mut files: Vec<&str> = folder.all().filter(|file| file.ends_with(".py") && !file.contains("test")).collect();
    files.sort_by_key(|file| {
        (file.matches('/').count(), MAINS.iter().position(|main| file.ends_with(main)).unwrap_or(99))
    });
    files.into_iter().take(200).find_map(|file| {
        let text = folder.text(file)?;
        let module = file.trim_end_matches(".py").trim_start_matches("src/").replace('/', ".");
        let module = module.trim_end_matches(".__init__").to_owned();
        let made = text.lines().find_map(|line| {
            let (name, value) = line.split_once('=')?;
            let name = name.split(':').next()?.trim();
            let plain = !line.starts_with([' ', '\t']) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            (plain && value.trim_start().starts_with(&format!("{class}("))).then(|| name.to_owned())
        });
        let factory = || text.contains("def create_app(").then(|| "create_app()".to_owned());
        Some((module, made.or_else(factory)?))
    })
}

fn package(folder: &Folder<'_>) -> Option<(String, String)> {
    let file =
        folder.all().filter(|file| file.ends_with("/__main__.py")).min_by_key(|file| file.matches('/').count())?;
    let name = file.trim_end_matches("/__main__.py").trim_start_matches("src/").replace('/', ".");
    Some((name, file.to_owned()))
}

fn component(service: &mut Service, folder: &Folder<'_>) {
    service.settings.found_of(
        Key::Target,
        Kind::Choice(&["wasm"]),
        "wasm",
        Evidence::of(folder.path("wit"), "describes a component"),
    );
    let world =
        folder.all().filter(|file| file.starts_with("wit/") && file.ends_with(".wit") && !file.starts_with("wit/deps"));
    let name = world.into_iter().find_map(|file| {
        let text = folder.text(file)?;
        text.lines().find_map(|line| Some(line.trim().strip_prefix("world ")?.trim_end_matches('{').trim().to_owned()))
    });
    let module = folder.first_of(&MAINS).unwrap_or("app.py").trim_end_matches(".py");
    service.settings.found_of(Key::Main, Kind::Words, module, Evidence::usual("the module that becomes the component"));
    service.settings.remove(Key::Start);
    service.fact("world", name.unwrap_or_else(|| "app".to_owned()));
    service.title = "Python component".to_owned();
    service.fact("wasm_serves", true);
    service.settings.found(Key::Port, "8080", Evidence::usual("drua serves a wasi:http component on 8080"));
}

/// Debian's libraries under packages that come without wheels, or with wheels that load them.
fn system_libraries(service: &mut Service, dependencies: &Dependencies) {
    let mut build: Vec<&str> = Vec::new();
    let mut run: Vec<&str> = Vec::new();
    let mut because = None;
    for (name, development, library) in [
        ("psycopg2", "libpq-dev", "libpq5"),
        ("mysqlclient", "default-libmysqlclient-dev", "libmariadb3"),
        ("opencv-python", "", "libgl1"),
        ("weasyprint", "", "libpango-1.0-0"),
        ("pyodbc", "unixodbc-dev", "unixodbc"),
        ("python-magic", "", "libmagic1t64"),
    ] {
        if let Some(file) = dependencies.get(name) {
            build.extend(Some(development).filter(|name| !name.is_empty()));
            run.push(library);
            because = Some(Evidence::of(file, format!("names {name}")));
        }
    }
    if !build.is_empty() {
        build.extend(["gcc", "libc6-dev", "pkg-config"]);
    }
    service.fact("build_packages", build);
    let evidence = because.unwrap_or_else(|| Evidence::usual("nothing needs a system library"));
    service.settings.found(Key::Packages, run.join(" "), evidence);
}
