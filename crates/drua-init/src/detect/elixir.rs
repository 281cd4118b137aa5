use jiff::civil::Date;

use super::common::{self, Dependencies, Digits, Wish};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let text = folder.text("mix.exs")?;
    let mut service = Service::new(Stack::Elixir, folder.dir, "Elixir");
    service.evidence.push(Evidence::of(folder.path("mix.exs"), "is a Mix project"));
    let names = text.split("{:").skip(1).filter_map(|rest| rest.split([',', '}', ' ']).next());
    let dependencies: Dependencies = names.map(|name| (name.to_owned(), folder.path("mix.exs"))).collect();
    let phoenix = dependencies.contains_key("phoenix");
    if phoenix {
        service.title = "Elixir with Phoenix".to_owned();
        service.evidence.push(Evidence::of(folder.path("mix.exs"), "depends on phoenix"));
    }
    let mut wishes: Vec<Wish> = common::pinned(folder, &[".elixir-version"], &["elixir"]).into_iter().collect();
    let range = text.split("elixir:").nth(1).and_then(|rest| rest.split('"').nth(1));
    wishes.extend(range.map(|range| {
        Wish::Range(range.to_owned(), Evidence::of(folder.path("mix.exs"), format!("asks for elixir {range}")))
    }));
    common::version(&mut service, folder, "elixir", wishes, Digits::Minor, today);
    let application =
        text.split("app: :").nth(1).and_then(|rest| rest.split([',', '\n', ' ', ']']).next()).unwrap_or("app");
    service.settings.found_of(
        Key::Main,
        Kind::Words,
        application,
        Evidence::of(folder.path("mix.exs"), "names the application"),
    );
    let release = service.settings.value(Key::Main).to_owned();
    service.settings.found(Key::Start, format!("/app/bin/{release} start"), Evidence::usual("how a release starts"));
    service.runnable = true;
    let scan = common::scan(folder, &[".ex", "runtime.exs", "config.exs"]);
    let web = phoenix || dependencies.contains_key("bandit") || dependencies.contains_key("plug_cowboy");
    common::serve(&mut service, folder, &scan, web.then_some(4000));
    common::databases(&mut service, &dependencies);
    service.fact("phoenix", phoenix);
    service.fact("lock", folder.has("mix.lock"));
    service.fact("config", folder.has_dir("config"));
    service.fact("priv", folder.has_dir("priv"));
    service.fact("assets", folder.has_dir("assets") && text.contains("assets.deploy"));
    Some(service)
}
