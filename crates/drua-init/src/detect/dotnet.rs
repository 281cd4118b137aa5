use jiff::civil::Date;

use super::common::{self, Dependencies, Digits, Wish};
use crate::manifest::{text, xml};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

const PROJECTS: [&str; 3] = [".csproj", ".fsproj", ".vbproj"];

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let here = PROJECTS.iter().any(|ending| !folder.ending(ending).is_empty());
    let solution = !folder.ending(".sln").is_empty() || !folder.ending(".slnx").is_empty();
    if !here && !solution {
        return None;
    }
    let mut projects: Vec<Project> = folder
        .all()
        .filter(|file| PROJECTS.iter().any(|ending| file.ends_with(ending)))
        .take(200)
        .filter_map(|file| Some(Project::read(file, &folder.text(file)?)))
        .collect();
    projects
        .sort_by_key(|project| (project.test, !project.web, !project.executable, project.file.matches('/').count()));
    let project = projects.first()?;
    let mut service = Service::new(Stack::DotNet, folder.dir, if project.web { "ASP.NET Core" } else { ".NET" });
    service.evidence.push(Evidence::of(
        folder.path(&project.file),
        if project.web { "uses Microsoft.NET.Sdk.Web" } else { "is a .NET project" },
    ));
    service.runnable = project.web || project.executable;
    let mut wishes = Vec::new();
    let framework = project.framework.as_deref().and_then(|framework| framework.strip_prefix("net"));
    wishes.extend(framework.map(|version| {
        Wish::Exactly(
            version.to_owned(),
            Evidence::of(folder.path(&project.file), format!("TargetFramework is net{version}")),
        )
    }));
    let sdk = folder.json("global.json").and_then(|config| text(&config, &["sdk", "version"]).map(str::to_owned));
    wishes.extend(sdk.map(|version| {
        Wish::Exactly(version.clone(), Evidence::of(folder.path("global.json"), format!("pins {version}")))
    }));
    common::version(&mut service, folder, "dotnet", wishes, Digits::Minor, today);
    service.settings.found_of(
        Key::Main,
        Kind::Line,
        project.file.clone(),
        Evidence::of(folder.path(&project.file), "is the project that runs"),
    );
    let name = project.file.rsplit('/').next().unwrap_or_default();
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let assembly = project.assembly.clone().unwrap_or_else(|| stem.to_owned());
    service.settings.found(
        Key::Start,
        format!("dotnet {assembly}.dll"),
        Evidence::of(folder.path(&project.file), "names the assembly"),
    );
    let mut scan = common::scan(folder, &[".cs", ".fs"]);
    scan.port = None;
    common::serve(&mut service, folder, &scan, project.web.then_some(8080));
    let dependencies: Dependencies = projects
        .iter()
        .flat_map(|project| project.packages.iter().map(|name| (name.to_ascii_lowercase(), folder.path(&project.file))))
        .collect();
    common::databases(&mut service, &dependencies);
    service.fact("web", project.web);
    Some(service)
}

#[derive(Debug)]
struct Project {
    file: String,
    web: bool,
    executable: bool,
    test: bool,
    framework: Option<String>,
    assembly: Option<String>,
    packages: Vec<String>,
}

impl Project {
    fn read(file: &str, source: &str) -> Self {
        let elements = xml(source);
        let find = |path: &str| elements.iter().find(|(at, _)| at == path).map(|(_, value)| value.clone());
        let packages: Vec<String> = elements
            .iter()
            .filter(|(at, _)| at.ends_with("PackageReference@Include"))
            .map(|(_, name)| name.clone())
            .collect();
        let sdk = find("Project@Sdk").unwrap_or_default();
        Self {
            file: file.to_owned(),
            web: sdk.ends_with(".Web"),
            executable: find("Project/PropertyGroup/OutputType").is_some_and(|kind| kind.eq_ignore_ascii_case("exe"))
                || sdk.ends_with(".Worker"),
            test: packages.iter().any(|name| name.starts_with("Microsoft.NET.Test") || name.starts_with("xunit")),
            framework: find("Project/PropertyGroup/TargetFramework"),
            assembly: find("Project/PropertyGroup/AssemblyName"),
            packages,
        }
    }
}
