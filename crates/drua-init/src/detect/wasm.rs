use crate::manifest::toml_text;
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

/// Manifests of other WebAssembly platforms, and modules that are there already.
pub(super) fn detect(folder: &Folder<'_>) -> Option<Service> {
    let spin = folder.has("spin.toml");
    let slight = folder.has("slightfile.toml");
    let modules = folder.ending(".wasm");
    if !spin && !slight && modules.is_empty() {
        return None;
    }
    let mut service = Service::new(Stack::Wasm, folder.dir, "WebAssembly module");
    let mut module = modules.first().map(|name| (*name).to_owned());
    if spin {
        service.title = "Spin application".to_owned();
        service.evidence.push(Evidence::of(folder.path("spin.toml"), "is Spin's"));
        let manifest = folder.toml("spin.toml").unwrap_or_default();
        let components = manifest.get("component").and_then(toml::Value::as_table).cloned().unwrap_or_default();
        let first = components.iter().find_map(|(_, component)| {
            let component = component.as_table()?;
            let source = toml_text(component, &["source"])?.to_owned();
            Some((source, toml_text(component, &["build", "command"]).map(str::to_owned)))
        });
        if components.len() > 1 {
            folder
                .notes
                .add(format!("spin.toml has {} components; an image has one: the first is taken", components.len()));
        }
        if let Some((source, command)) = first {
            if let Some(command) = command {
                folder.notes.add(format!("build the module first, as spin.toml says: {command}"));
            }
            module = Some(source);
        }
    } else if slight {
        service.title = "SpiderLightning application".to_owned();
        service.evidence.push(Evidence::of(folder.path("slightfile.toml"), "is slight's"));
        folder.notes.add("drua does not offer slight's interfaces: an image is written, for runtimes that do");
    } else {
        service
            .evidence
            .push(Evidence::of(folder.path(module.as_deref().unwrap_or_default()), "is a WebAssembly module"));
    }
    service.runnable = module.is_some();
    let module = module.unwrap_or_else(|| "app.wasm".to_owned());
    service.settings.found_of(Key::Main, Kind::Words, module, Evidence::usual("the module that runs"));
    service.settings.found_of(Key::Target, Kind::Choice(&["wasm"]), "wasm", Evidence::usual("it is WebAssembly"));
    let (port, evidence) = match spin {
        true => ("8080", Evidence::of(folder.path("spin.toml"), "drua serves a wasi:http component on 8080")),
        false => ("", Evidence::usual("a command serves nothing; a component does on 8080")),
    };
    service.settings.found(Key::Port, port, evidence);
    service.fact("wasm_serves", spin);
    Some(service)
}
