use jiff::civil::Date;

use super::common::{self, Dependencies, Digits};
use crate::manifest::text;
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let manifest = folder.first_of(&["deno.json", "deno.jsonc"])?;
    let mut service = Service::new(Stack::Deno, folder.dir, "Deno");
    service.evidence.push(Evidence::of(folder.path(manifest), "is Deno's"));
    let config = folder.json(manifest).unwrap_or_default();
    let wishes = common::pinned(folder, &[".deno-version", ".dvmrc"], &["deno"]).into_iter().collect();
    common::version(&mut service, folder, "deno", wishes, Digits::Whole, today);
    let mains = ["main.ts", "server.ts", "mod.ts", "index.ts", "main.js", "src/main.ts", "src/server.ts"];
    let main = folder.first_of(&mains);
    let task = text(&config, &["tasks", "start"]).filter(|task| task.starts_with("deno ") && !task.contains("--watch"));
    service.runnable = task.is_some() || main.is_some();
    let (command, evidence) = match (task, main) {
        (Some(task), _) => (task.to_owned(), Evidence::of(folder.path(manifest), "task `start`")),
        (None, Some(main)) => (
            format!("deno run --allow-net --allow-env --allow-read {main}"),
            Evidence::of(folder.path(main), "is where programs begin"),
        ),
        (None, None) => ("deno run --allow-net main.ts".to_owned(), Evidence::usual("no program was seen")),
    };
    let entry = command.split_whitespace().find(|word| word.ends_with(".ts") || word.ends_with(".js")).or(main);
    service.fact("entry", entry.unwrap_or("main.ts"));
    service.settings.found(Key::Start, command, evidence);
    let scan = common::scan(folder, &[".ts", ".js"]);
    common::serve(&mut service, folder, &scan, Some(8000));
    let imports = config.get("imports").and_then(|imports| imports.as_object()).into_iter().flatten();
    let name = |specifier: &str| {
        let plain = specifier.split_once(':').map_or(specifier, |(_, name)| name).trim_start_matches('/');
        let end = plain[1.min(plain.len())..].find('@').map_or(plain.len(), |at| at + 1);
        plain[..end].trim_start_matches("@db/").to_owned()
    };
    let dependencies: Dependencies =
        imports.filter_map(|(_, specifier)| Some((name(specifier.as_str()?), folder.path(manifest)))).collect();
    common::databases(&mut service, &dependencies);
    service.fact("lock", folder.has("deno.lock"));
    service.fact("manifest", manifest);
    Some(service)
}
