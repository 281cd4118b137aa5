use jiff::civil::Date;

use super::common::{self, Dependencies, Digits, Wish};
use super::python::procfile;
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let manifest = folder.first_of(&["Gemfile", "gems.rb", "config.ru"])?;
    let text = folder.text(manifest).unwrap_or_default();
    let gems: Dependencies = text.lines().filter_map(gem).map(|name| (name, folder.path(manifest))).collect();
    let mut service = Service::new(Stack::Ruby, folder.dir, "Ruby");
    service.evidence.push(Evidence::of(folder.path(manifest), "is of a Ruby project"));
    let rails = folder.has("config/application.rb") && gems.contains_key("rails");
    if rails {
        service.title = "Ruby on Rails".to_owned();
        service.evidence.push(Evidence::of(folder.path("config/application.rb"), "is a Rails application"));
    } else if gems.contains_key("sinatra") {
        service.title = "Ruby with Sinatra".to_owned();
        service.evidence.push(Evidence::of(folder.path(manifest), "names sinatra"));
    }
    let mut wishes: Vec<Wish> = common::pinned(folder, &[".ruby-version"], &["ruby"]).into_iter().collect();
    wishes.extend(text.lines().find_map(|line| {
        let range = quoted(line.trim().strip_prefix("ruby ")?)?;
        let evidence = Evidence::of(folder.path(manifest), format!("asks for ruby {range}"));
        let exact = range.starts_with(|c: char| c.is_ascii_digit());
        Some(if exact { Wish::Exactly(range, evidence) } else { Wish::Range(range, evidence) })
    }));
    common::version(&mut service, folder, "ruby", wishes, Digits::Minor, today);
    let script = folder.first_of(&["app.rb", "main.rb", "server.rb"]);
    let rack = folder.has("config.ru");
    service.runnable = rails || rack || script.is_some();
    let (command, port, evidence) = if let Some(line) = procfile(folder).filter(|line| !line.contains("bin/dev")) {
        (line, 8000, Evidence::of(folder.path("Procfile"), "says how it starts"))
    } else if rails {
        ("bundle exec rails server --binding 0.0.0.0 --port 3000".to_owned(), 3000, Evidence::usual("how Rails starts"))
    } else if rack && gems.contains_key("puma") {
        (
            "bundle exec puma --bind tcp://0.0.0.0:9292".to_owned(),
            9292,
            Evidence::of(folder.path(manifest), "names puma"),
        )
    } else if rack {
        (
            "bundle exec rackup --host 0.0.0.0 --port 9292".to_owned(),
            9292,
            Evidence::of(folder.path("config.ru"), "is what rackup runs"),
        )
    } else {
        let script = script.unwrap_or("main.rb");
        (format!("bundle exec ruby {script}"), 4567, Evidence::of(folder.path(script), "is where programs begin"))
    };
    service.settings.found(Key::Start, command, evidence);
    let mut scan = common::scan(folder, &[".rb", ".ru"]);
    if rails
        && scan.health.is_none()
        && folder.text("config/routes.rb").is_some_and(|text| text.contains("rails/health#show"))
    {
        scan.health = Some(("/up".to_owned(), folder.path("config/routes.rb")));
    }
    let web = rails || rack || gems.contains_key("sinatra") || scan.port.is_some();
    common::serve(&mut service, folder, &scan, web.then_some(port));
    common::databases(&mut service, &gems);
    system_libraries(&mut service, folder, manifest, &gems);
    service.fact("gemfile", manifest);
    service.fact("has_gemfile", manifest != "config.ru");
    service.fact("lock", folder.has("Gemfile.lock") || folder.has("gems.locked"));
    service.fact("lock_file", if manifest == "gems.rb" { "gems.locked" } else { "Gemfile.lock" });
    service.fact("rails", rails);
    let assets = ["sprockets-rails", "propshaft", "sassc-rails", "tailwindcss-rails"];
    service.fact("assets", rails && assets.iter().any(|name| gems.contains_key(*name)));
    Some(service)
}

/// `gem "pg", "~> 1.5"` names pg.
fn gem(line: &str) -> Option<String> {
    quoted(line.trim().strip_prefix("gem ")?)
}

fn quoted(text: &str) -> Option<String> {
    let mut parts = text.trim_start_matches('(').trim().splitn(3, ['"', '\'']);
    let before = parts.next()?;
    before.trim().is_empty().then(|| parts.next().map(str::to_owned)).flatten()
}

fn system_libraries(service: &mut Service, folder: &Folder<'_>, manifest: &str, gems: &Dependencies) {
    // Gems with native parts are the rule, so compilers are there in the build stage.
    let mut build = vec!["build-essential", "libyaml-dev", "pkg-config"];
    let mut run = Vec::new();
    let mut because = None;
    for (gem, development, library) in [
        ("pg", "libpq-dev", "libpq5"),
        ("mysql2", "default-libmysqlclient-dev", "libmariadb3"),
        ("trilogy", "", ""),
        ("sqlite3", "libsqlite3-dev", "libsqlite3-0"),
        ("ruby-vips", "", "libvips42t64"),
        ("image_processing", "", "libvips42t64"),
    ] {
        if gems.contains_key(gem) && !library.is_empty() {
            build.extend(Some(development).filter(|name| !name.is_empty()));
            run.push(library);
            because = Some(Evidence::of(folder.path(manifest), format!("names {gem}")));
        }
    }
    run.dedup();
    service.fact("build_packages", build);
    let evidence = because.unwrap_or_else(|| Evidence::usual("no gem needs a system library"));
    service.settings.found(Key::Packages, run.join(" "), evidence);
}
