use super::common;
use crate::releases::releases;
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>) -> Option<Service> {
    let manifest = folder.first_of(&["CMakeLists.txt", "meson.build"]).or_else(|| {
        let sources = folder.all().any(|file| [".c", ".cpp", ".cc"].iter().any(|ending| file.ends_with(ending)));
        sources.then(|| folder.first_of(&["Makefile", "makefile", "GNUmakefile"])).flatten()
    })?;
    let text = folder.text(manifest).unwrap_or_default();
    let plus = folder.all().any(|file| [".cpp", ".cc", ".cxx"].iter().any(|ending| file.ends_with(ending)));
    let (tool, title) = match manifest {
        "CMakeLists.txt" => ("cmake", "CMake"),
        "meson.build" => ("meson", "Meson"),
        _ => ("make", "make"),
    };
    let mut service = Service::new(Stack::C, folder.dir, format!("{} with {title}", if plus { "C++" } else { "C" }));
    service.evidence.push(Evidence::of(folder.path(manifest), format!("is {title}'s")));
    let gcc = releases().language("gcc");
    service.settings.found(Key::Version, gcc.default, Evidence::usual("the current GCC"));
    service.settings.found_of(
        Key::Manager,
        Kind::Choice(&["cmake", "meson", "make"]),
        tool,
        Evidence::of(folder.path(manifest), format!("is {title}'s")),
    );
    let (name, evidence) = match program(&text, tool) {
        Some(name) => (name, Evidence::of(folder.path(manifest), "names the program")),
        None => ("app".to_owned(), Evidence::usual("no program was seen")),
    };
    service.runnable = !evidence.file.is_empty();
    let path = if tool == "make" { name.clone() } else { format!("build/{name}") };
    service.settings.found_of(Key::Main, Kind::Words, path, evidence);
    let build = match tool {
        "cmake" => "cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release && cmake --build build",
        "meson" => "meson setup build --buildtype=release && meson compile -C build",
        _ => "make",
    };
    service.settings.found(Key::Build, build, Evidence::usual(format!("how {title} builds")));
    let wasm = text.contains("wasm32-wasi") || text.contains("wasi-sdk") || text.contains("WASI_SDK");
    let evidence = if wasm {
        Evidence::of(folder.path(manifest), "builds for WASI")
    } else {
        Evidence::usual("nothing asks for WebAssembly")
    };
    service.settings.found(Key::Target, if wasm { "wasm" } else { "linux" }, evidence);
    let scan = common::scan(folder, &[".c", ".cpp", ".cc", ".h"]);
    let listens = scan.port.is_some();
    common::serve(&mut service, folder, &scan, None);
    service.fact("wasm_serves", false);
    service.fact("plus", plus);
    service.settings.found(Key::Packages, "", Evidence::usual("nothing is known about shared libraries"));
    service.fact("listens", listens);
    Some(service)
}

/// `add_executable(name …)`, `executable('name', …)`, or the first target of a Makefile that is a file.
fn program(text: &str, tool: &str) -> Option<String> {
    let word = |rest: &str| {
        let name: String =
            rest.trim_start().chars().take_while(|c| c.is_ascii_alphanumeric() || "_-./".contains(*c)).collect();
        (!name.is_empty()).then_some(name)
    };
    match tool {
        "cmake" => {
            let name = text.split("add_executable(").nth(1)?.trim_start();
            if name.starts_with("${PROJECT_NAME}") {
                return word(text.split("project(").nth(1)?);
            }
            word(name)
        }
        "meson" => word(text.split("executable(").nth(1)?.trim_start().trim_start_matches('\'')),
        _ => {
            let output = text.lines().find_map(|line| line.split(" -o ").nth(1)).and_then(word);
            let output = output.filter(|name| !name.ends_with(".o"));
            let variable = || {
                ["TARGET", "PROG", "BIN", "NAME"].iter().find_map(|name| {
                    crate::manifest::pairs(&text.replace(":=", "=").replace("?=", "=")).get(*name).cloned()
                })
            };
            let target = || {
                let lines = text.lines().filter(|line| !line.starts_with(['\t', ' ', '.', '#']) && !line.contains('='));
                let names = lines.filter_map(|line| line.split_once(':').map(|(name, _)| name.trim()));
                names
                    .filter(|name| {
                        !["all", "clean", "install", "test"].contains(name) && !name.contains(['%', '$', ' '])
                    })
                    .find(|name| !name.ends_with(".o"))
                    .map(str::to_owned)
            };
            output.or_else(variable).or_else(target)
        }
    }
}
