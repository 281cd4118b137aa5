use jiff::civil::Date;

use super::common::{self, Dependencies, Digits, Wish};
use crate::manifest::{keys, text};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

/// Extensions that PHP's official image has compiled in.
const BUILT_IN: [&str; 22] = [
    "core",
    "ctype",
    "curl",
    "date",
    "dom",
    "fileinfo",
    "filter",
    "hash",
    "iconv",
    "json",
    "libxml",
    "mbstring",
    "openssl",
    "pcre",
    "pdo",
    "phar",
    "posix",
    "session",
    "simplexml",
    "tokenizer",
    "xml",
    "zlib",
];

/// Extensions that `docker-php-ext-install` compiles, with what that needs of Debian to build and to run.
const COMPILED: [(&str, &str, &str); 12] = [
    ("pdo_mysql", "", ""),
    ("mysqli", "", ""),
    ("pdo_pgsql", "libpq-dev", "libpq5"),
    ("pgsql", "libpq-dev", "libpq5"),
    ("intl", "libicu-dev", "libicu76"),
    ("gd", "libpng-dev libjpeg62-turbo-dev libfreetype-dev", "libpng16-16t64 libjpeg62-turbo libfreetype6"),
    ("zip", "libzip-dev", "libzip5"),
    ("bcmath", "", ""),
    ("exif", "", ""),
    ("pcntl", "", ""),
    ("sockets", "", ""),
    ("soap", "libxml2-dev", ""),
];

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let marker = folder.first_of(&["composer.json", "index.php", "public/index.php", "artisan"])?;
    let composer = folder.json("composer.json").unwrap_or_default();
    let mut service = Service::new(Stack::Php, folder.dir, "PHP");
    service.evidence.push(Evidence::of(folder.path(marker), "is of a PHP project"));
    service.runnable = folder.has("index.php") || folder.has("public/index.php");
    let required: Dependencies =
        keys(&composer, "require").map(|name| (name.clone(), folder.path("composer.json"))).collect();
    let laravel = folder.has("artisan");
    for (uses, name, file) in [
        (laravel, "Laravel", "artisan"),
        (required.contains_key("symfony/framework-bundle"), "Symfony", "composer.json"),
        (required.contains_key("slim/slim"), "Slim", "composer.json"),
        (folder.has("wp-config.php") || folder.has("wp-load.php"), "WordPress", "wp-load.php"),
    ] {
        if uses {
            service.title = format!("PHP with {name}");
            service.evidence.push(Evidence::of(folder.path(file), format!("is of {name}")));
        }
    }
    let mut wishes: Vec<Wish> = common::pinned(folder, &[".php-version"], &["php"]).into_iter().collect();
    wishes.extend(text(&composer, &["require", "php"]).map(|range| {
        Wish::Range(range.to_owned(), Evidence::of(folder.path("composer.json"), format!("requires php {range}")))
    }));
    common::version(&mut service, folder, "php", wishes, Digits::Minor, today);
    let fpm = folder
        .all()
        .find(|file| file.ends_with("nginx.conf") || file.ends_with("www.conf") || file.ends_with("php-fpm.conf"));
    let (server, evidence) = match fpm {
        Some(file) => ("fpm", Evidence::of(folder.path(file), "is for FPM behind nginx")),
        None => ("apache", Evidence::usual("one process serves everything")),
    };
    service.settings.found_of(Key::Manager, Kind::Choice(&["apache", "fpm"]), server, evidence);
    let root = if folder.has("public/index.php") { "public" } else { "." };
    service.settings.found_of(
        Key::Main,
        Kind::Words,
        root,
        Evidence::of(folder.path(if root == "." { marker } else { "public/index.php" }), "is what visitors reach"),
    );
    service.settings.found(Key::Port, "8080", Evidence::usual("a port that needs no rights"));
    let mut scan = common::scan(folder, &["routes/web.php", "routes/api.php", "index.php", "bootstrap/app.php"]);
    if laravel && scan.health.is_none() && folder.text("bootstrap/app.php").is_some_and(|text| text.contains("'/up'")) {
        scan.health = Some(("/up".to_owned(), folder.path("bootstrap/app.php")));
    }
    let (health, evidence) = match &scan.health {
        Some((path, file)) => (path.clone(), Evidence::of(file, format!("answers {path}"))),
        None => (String::new(), Evidence::usual("no path for it was seen: the port is tried")),
    };
    service.settings.found(Key::Health, health, evidence);
    extensions(&mut service, folder, &required, laravel);
    common::databases(&mut service, &required);
    service.fact("composer", folder.has("composer.json"));
    service.fact("lock", folder.has("composer.lock"));
    service.fact("laravel", laravel);
    service.fact(
        "package",
        folder.has("package.json")
            && folder.json("package.json").is_some_and(|package| text(&package, &["scripts", "build"]).is_some()),
    );
    service.fact("package_lock", folder.has("package-lock.json"));
    service.about.description = text(&composer, &["description"]).unwrap_or_default().to_owned();
    service.about.license = text(&composer, &["license"]).unwrap_or_default().to_owned();
    Some(service)
}

fn extensions(service: &mut Service, folder: &Folder<'_>, required: &Dependencies, laravel: bool) {
    let mut names: Vec<String> =
        required.keys().filter_map(|name| name.strip_prefix("ext-").map(str::to_owned)).collect();
    if laravel && !names.iter().any(|name| name.starts_with("pdo_")) {
        names.push("pdo_mysql".to_owned());
    }
    names.retain(|name| !BUILT_IN.contains(&name.as_str()));
    let known = |name: &String| COMPILED.iter().find(|(known, _, _)| known == name);
    let unknown: Vec<&String> = names.iter().filter(|name| known(name).is_none()).collect();
    if !unknown.is_empty() {
        let list = unknown.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        folder.notes.add(format!(
            "composer.json requires PHP extensions that the Dockerfile does not install: {list} (see `pecl install`)"
        ));
    }
    let (mut build, mut run) = (Vec::new(), Vec::new());
    for (_, development, library) in names.iter().filter_map(known) {
        build.extend(development.split_whitespace());
        run.extend(library.split_whitespace());
    }
    for list in [&mut build, &mut run] {
        list.sort_unstable();
        list.dedup();
    }
    let compiled: Vec<&str> = names.iter().filter_map(known).map(|(name, _, _)| *name).collect();
    let evidence = match compiled.first() {
        Some(name) => Evidence::of(folder.path("composer.json"), format!("requires ext-{name}")),
        None => Evidence::usual("no extension needs a library"),
    };
    service.fact("extensions", compiled);
    service.fact("build_packages", build);
    service.settings.found(Key::Packages, run.join(" "), evidence);
}
