use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>) -> Option<Service> {
    let hugo = folder.first_of(&["hugo.toml", "hugo.yaml", "hugo.json"]).or_else(|| {
        let config = folder.first_of(&["config.toml", "config.yaml"])?;
        (folder.has_dir("content") && (folder.has_dir("themes") || folder.has_dir("layouts"))).then_some(config)
    });
    let mkdocs = folder.first_of(&["mkdocs.yml", "mkdocs.yaml"]);
    let roots =
        ["index.html", "public/index.html", "dist/index.html", "site/index.html", "www/index.html", "html/index.html"];
    let (title, file, what, root) = match (hugo, mkdocs, folder.first_of(&roots)) {
        (Some(file), _, _) => ("Hugo site", file, "is Hugo's", "public"),
        (None, Some(file), _) => ("MkDocs site", file, "is MkDocs'", "site"),
        (None, None, Some(file)) => {
            ("Static site", file, "is what visitors see first", file.rsplit_once('/').map_or(".", |(dir, _)| dir))
        }
        (None, None, None) => return None,
    };
    let mut service = Service::new(Stack::Static, folder.dir, title);
    service.evidence.push(Evidence::of(folder.path(file), what));
    service.runnable = true;
    service.settings.found_of(
        Key::Main,
        Kind::Words,
        root,
        Evidence::of(folder.path(file), "says where the files are"),
    );
    let generator = if hugo.is_some() {
        "hugo"
    } else if mkdocs.is_some() {
        "mkdocs"
    } else {
        ""
    };
    match generator {
        "hugo" => service.settings.found(Key::Build, "hugo --minify --gc", Evidence::usual("how Hugo builds")),
        "mkdocs" => service.settings.found(Key::Build, "mkdocs build --strict", Evidence::usual("how MkDocs builds")),
        _ => {}
    }
    service.fact("generator", generator);
    service.fact("requirements", folder.has("requirements.txt"));
    service.settings.found(Key::Port, "8080", Evidence::usual("a port that needs no rights"));
    service.settings.found(Key::Health, "/", Evidence::usual("the first page"));
    Some(service)
}
