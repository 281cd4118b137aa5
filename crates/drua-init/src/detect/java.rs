use jiff::civil::Date;

use super::common::{self, Dependencies, Digits, Wish};
use crate::manifest::{xml, xml_text};
use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key, Kind};
use crate::tree::Folder;

pub(super) fn detect(folder: &Folder<'_>, today: Date) -> Option<Service> {
    let manifest =
        folder.first_of(&["pom.xml", "build.gradle.kts", "build.gradle", "settings.gradle.kts", "settings.gradle"])?;
    let maven = manifest == "pom.xml";
    let text = folder.text(manifest).unwrap_or_default();
    let catalog = folder.text("gradle/libs.versions.toml").unwrap_or_default();
    let kotlin = text.contains("kotlin") || manifest.ends_with(".kts") && folder.has_dir("src/main/kotlin");
    let mut service = Service::new(Stack::Java, folder.dir, if kotlin { "Kotlin" } else { "Java" });
    service.evidence.push(Evidence::of(folder.path(manifest), if maven { "is Maven's" } else { "is Gradle's" }));
    let elements = if maven { xml(&text) } else { Vec::new() };
    let dependencies = dependencies(folder, manifest, &text, &catalog, &elements);
    let spring = text.contains("spring-boot") || catalog.contains("spring-boot");
    let frameworks = [
        (spring, "Spring Boot"),
        (text.contains("quarkus"), "Quarkus"),
        (text.contains("micronaut"), "Micronaut"),
        (text.contains("io.ktor"), "Ktor"),
    ];
    let framework = frameworks.into_iter().find(|(uses, _)| *uses).map(|(_, name)| name);
    if let Some(name) = framework {
        service.title = format!("{} with {name}", service.title);
        service.evidence.push(Evidence::of(folder.path(manifest), format!("uses {name}")));
    }
    versions(&mut service, folder, manifest, &text, &elements, today);
    let wrapper = if maven {
        folder.has("mvnw") && folder.has(".mvn/wrapper/maven-wrapper.properties")
    } else {
        folder.has("gradlew")
    };
    let manager = if maven { "maven" } else { "gradle" };
    service.settings.found_of(
        Key::Manager,
        Kind::Choice(&["maven", "gradle"]),
        manager,
        Evidence::of(folder.path(manifest), format!("is {manager}'s")),
    );
    let build = match (maven, wrapper) {
        (true, true) => "./mvnw --batch-mode --no-transfer-progress -DskipTests package",
        (true, false) => "mvn --batch-mode --no-transfer-progress -DskipTests package",
        (false, true) => "./gradlew --no-daemon build -x test",
        (false, false) => "gradle --no-daemon build -x test",
    };
    service.settings.found(Key::Build, build, Evidence::usual("tests run before images are built"));
    service.settings.found(
        Key::Output,
        if maven { "target" } else { "build/libs" },
        Evidence::usual(format!("where {manager} puts jars")),
    );
    service.settings.found(
        Key::Start,
        "java -XX:MaxRAMPercentage=75 -jar app.jar",
        Evidence::usual("heap follows the container's memory limit"),
    );
    service.runnable = framework.is_some() || folder.has_dir("src/main");
    let configuration = folder.all().find(|file| file.ends_with("src/main/resources/application.properties"));
    let mut scan =
        common::scan(folder, &[".java", ".kt", "application.properties", "application.yml", "application.yaml"]);
    if dependencies.contains_key("spring-boot-starter-actuator") && scan.health.is_none() {
        scan.health = Some(("/actuator/health".to_owned(), folder.path(manifest)));
    }
    if let Some(port) = configuration.and_then(|file| Some((common::port_in(&folder.text(file)?)?, folder.path(file))))
    {
        scan.port = Some(port);
    }
    common::serve(&mut service, folder, &scan, (framework.is_some() || scan.port.is_some()).then_some(8080));
    common::databases(&mut service, &dependencies);
    service.fact("maven", maven);
    service.fact("wrapper", wrapper);
    service.fact("layers", spring);
    service.fact("quarkus", framework == Some("Quarkus"));
    service.about.description = xml_text(&elements, "project/description").unwrap_or_default().to_owned();
    Some(service)
}

fn dependencies(
    folder: &Folder<'_>,
    manifest: &str,
    text: &str,
    catalog: &str,
    elements: &[(String, String)],
) -> Dependencies {
    let file = folder.path(manifest);
    let artifacts = elements.iter().filter(|(path, _)| path.ends_with("/dependency/artifactId"));
    let mut found: Dependencies = artifacts.map(|(_, name)| (name.clone(), file.clone())).collect();
    // Gradle: "group:name:version" in quotes.
    for word in text.split(['"', '\'']).chain(catalog.split(['"', '\''])) {
        let parts: Vec<&str> = word.split(':').collect();
        if (2..=3).contains(&parts.len())
            && parts.iter().all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
        {
            found.insert(parts[1].to_owned(), file.clone());
        }
    }
    found
}

fn versions(
    service: &mut Service,
    folder: &Folder<'_>,
    manifest: &str,
    text: &str,
    elements: &[(String, String)],
    today: Date,
) {
    let mut wishes: Vec<Wish> =
        common::pinned(folder, &[".java-version", "system.properties"], &["java"]).into_iter().collect();
    let property = ["java.version", "maven.compiler.release", "maven.compiler.target", "maven.compiler.source"]
        .iter()
        .find_map(|name| {
            xml_text(elements, &format!("project/properties/{name}"))
                .map(|value| ((*name).to_owned(), value.to_owned()))
        });
    let gradle = || {
        let after = |word: &str| {
            let rest = text.split(word).nth(1)?;
            let digits: String =
                rest.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            (!digits.is_empty()).then(|| (word.trim_end_matches('(').to_owned(), digits))
        };
        ["JavaLanguageVersion.of(", "jvmToolchain(", "JavaVersion.VERSION_", "sourceCompatibility"]
            .iter()
            .find_map(|word| after(word))
    };
    if let Some((name, version)) = property.or_else(gradle) {
        let version = version.trim_start_matches("1.").to_owned();
        wishes
            .push(Wish::Exactly(version.clone(), Evidence::of(folder.path(manifest), format!("{name} is {version}"))));
    }
    common::version(service, folder, "java", wishes, Digits::Major, today);
}
