//! Catalogers: one file's bytes in, packages and other findings out. Each knows its files by their paths.

mod alpm;
mod apk;
mod binary;
mod changelog;
mod copyright;
mod dart;
mod dotnet;
mod dpkg;
mod elf;
mod elixir;
mod golang;
mod java;
mod javascript;
mod lock_yaml;
mod native;
mod os_release;
mod php;
mod python;
mod python_lock;
mod rpm;
mod ruby;
mod rust;
mod wasm;
mod yaml;
mod zip;

pub(crate) use binary::program;
pub(crate) use java::archive;

use crate::facts::{Finding, FoundPackage};
use crate::interest::file_name;
use crate::limits::Limits;
use crate::model::{Evidence, Note, NoteKind, Package, PackageKind};
use crate::text::{clean, is_name};

/// Reads one kind of file.
pub(crate) type Cataloger = fn(&Input<'_>, &mut Found<'_>);

/// A file to look into.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Absolute path.
    pub(crate) path: &'a str,
    /// All of it.
    pub(crate) bytes: &'a [u8],
}

impl<'a> Input<'a> {
    /// Its text; what is not UTF-8 is replaced.
    pub(crate) fn text(&self) -> std::borrow::Cow<'a, str> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.bytes);
        String::from_utf8_lossy(bytes)
    }

    /// Its JSON, or a note that says why there is none.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, found: &mut Found<'_>) -> Option<T> {
        let bytes = self.bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.bytes);
        serde_json::from_slice(bytes).map_err(|error| found.unreadable(&error.to_string())).ok()
    }

    pub(crate) fn toml<T: serde::de::DeserializeOwned>(&self, found: &mut Found<'_>) -> Option<T> {
        toml::from_str(&self.text()).map_err(|error: toml::de::Error| found.unreadable(error.message())).ok()
    }

    pub(crate) fn file_name(&self) -> &'a str {
        file_name(self.path)
    }
}

/// What was found in one file.
pub(crate) struct Found<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) packages: Vec<FoundPackage>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) notes: Vec<Note>,
    /// Bytes that compressed parts of this file may still become.
    pub(crate) inflatable: u64,
    path: String,
    is_full: bool,
}

impl<'a> Found<'a> {
    pub(crate) fn new(path: &str, limits: &'a Limits) -> Self {
        Self {
            limits,
            packages: Vec::new(),
            findings: Vec::new(),
            notes: Vec::new(),
            inflatable: limits.inflated_bytes,
            path: path.to_owned(),
            is_full: false,
        }
    }

    /// Adds a package with no more than a name and a version, and returns it for more.
    pub(crate) fn add(
        &mut self,
        kind: PackageKind,
        name: &str,
        version: &str,
        how: (Evidence, &str),
    ) -> Option<&mut FoundPackage> {
        self.push(FoundPackage::new(Package::new(kind, name.trim(), version.trim(), how.0, how.1)))
    }

    /// Adds a package. One whose name is none is left out, and a note says so.
    pub(crate) fn push(&mut self, package: FoundPackage) -> Option<&mut FoundPackage> {
        let Package { name, version, .. } = &package.package;
        if !is_name(name) || !(version.is_empty() || is_name(version)) {
            if !name.is_empty() {
                self.incomplete(format!(
                    "an entry is no package: name `{}`, version `{}`",
                    clean(name, 80),
                    clean(version, 80)
                ));
            }
            return None;
        }
        if self.packages.len() >= self.limits.packages {
            if !self.is_full {
                self.is_full = true;
                self.incomplete(format!("only the first {} packages are listed", self.limits.packages));
            }
            return None;
        }
        self.packages.push(package);
        self.packages.last_mut()
    }

    /// The whole file cannot be read.
    pub(crate) fn unreadable(&mut self, reason: &str) {
        self.incomplete(format!("cannot be read: {}", clean(reason, 300)));
    }

    /// Something is missing from what is listed.
    pub(crate) fn incomplete(&mut self, text: String) {
        // Ten lines about one file say as much as a thousand.
        if self.notes.len() < 10 {
            self.notes.push(Note { kind: NoteKind::Incomplete, path: Some(self.path.clone()), text });
        }
    }

    /// Everything, in the order in which it was found.
    pub(crate) fn finish(mut self) -> (Vec<Finding>, Vec<Note>) {
        if !self.packages.is_empty() {
            self.findings.insert(0, Finding::Packages(self.packages));
        }
        (self.findings, self.notes)
    }
}

/// The cataloger of files with this path, if there is one.
pub(crate) fn for_path(path: &str) -> Option<Cataloger> {
    os(path).or_else(|| language(path, file_name(path)))
}

/// Databases of package managers and of the system.
fn os(path: &str) -> Option<Cataloger> {
    let (dir, name) = path.rsplit_once('/')?;
    let is_debian_doc = dir.starts_with("/usr/share/doc/");
    Some(match name {
        "os-release" if matches!(dir, "/etc" | "/usr/lib") => os_release::os_release,
        "initrd-release" if dir == "/etc" => os_release::os_release,
        "alpine-release" if dir == "/etc" => os_release::alpine_release,
        "installed" if dir.ends_with("/lib/apk/db") => apk::installed,
        "status" if dir.ends_with("/lib/dpkg") || dir.ends_with("/lib/opkg") => dpkg::status,
        _ if dir.ends_with("/lib/dpkg/status.d") => match name.ends_with(".md5sums") {
            true => dpkg::owned_by_checksums,
            false => dpkg::status,
        },
        _ if dir.ends_with("/lib/opkg/info") && name.ends_with(".control") => dpkg::status,
        _ if dir.ends_with("/lib/dpkg/info") && name.ends_with(".list") => dpkg::owned,
        "Packages" | "Packages.db" | "rpmdb.sqlite" if is_rpm_dir(dir) => rpm::database,
        "container-manifest-2" if dir.ends_with("/var/lib/rpmmanifest") => rpm::manifest,
        "desc" if dir.contains("/var/lib/pacman/local/") => alpm::desc,
        "files" if dir.contains("/var/lib/pacman/local/") => alpm::files,
        "copyright" if is_debian_doc => copyright::copyright,
        "changelog.Debian.gz" | "changelog.gz" | "changelog.Debian" if is_debian_doc => changelog::debian,
        _ if name.ends_with(".vex.json") || name.ends_with(".openvex.json") => changelog::vex,
        _ => return None,
    })
}

fn is_rpm_dir(dir: &str) -> bool {
    ["/var/lib/rpm", "/usr/share/rpm", "/usr/lib/sysimage/rpm"].iter().any(|known| dir.ends_with(known))
}

/// What languages' package managers leave behind.
fn language(path: &str, name: &str) -> Option<Cataloger> {
    let dir = &path[..path.len() - name.len()];
    Some(match name {
        "package.json" => javascript::package_json,
        "package-lock.json" | "npm-shrinkwrap.json" | ".package-lock.json" if !dir.ends_with("/node_modules/") => {
            javascript::package_lock
        }
        "yarn.lock" => javascript::yarn_lock,
        "bun.lock" => javascript::bun_lock,
        "deno.lock" => javascript::deno_lock,
        "pnpm-lock.yaml" => lock_yaml::pnpm,
        "METADATA" if dir.ends_with(".dist-info/") => python::metadata,
        "PKG-INFO" if dir.ends_with(".egg-info/") || dir.ends_with("/EGG-INFO/") => python::metadata,
        "poetry.lock" | "uv.lock" | "pdm.lock" => python_lock::toml_lock,
        "Pipfile.lock" => python_lock::pipfile,
        "Cargo.lock" => rust::cargo_lock,
        "go.mod" => golang::go_mod,
        "Gemfile.lock" | "gems.locked" => ruby::gemfile_lock,
        "installed.json" if dir.ends_with("/composer/") => php::installed,
        "composer.lock" => php::composer_lock,
        "packages.lock.json" => dotnet::packages_lock,
        "packages.config" => dotnet::packages_config,
        "conan.lock" => native::conan_lock,
        "conaninfo.txt" => native::conaninfo,
        "conanfile.txt" => native::conanfile,
        "mix.lock" => elixir::mix_lock,
        "rebar.lock" => elixir::rebar_lock,
        "pubspec.lock" => lock_yaml::pubspec,
        "pom.xml" => java::pom_xml,
        "gradle.lockfile" => java::gradle_lock,
        "release" if dir.contains("java") || dir.contains("jdk") || dir.contains("jvm") || dir.contains("jre") => {
            java::release
        }
        "Podfile.lock" => lock_yaml::podfile,
        "Package.resolved" => native::package_resolved,
        _ if name.ends_with(".deps.json") => dotnet::deps,
        _ if name.ends_with(".gemspec") && dir.contains("/specifications/") => ruby::gemspec,
        _ if name.ends_with(".egg-info") => python::metadata,
        _ if name.starts_with("pylock.") && name.ends_with(".toml") => python_lock::toml_lock,
        _ if name.ends_with(".txt") && name.contains("requirements") => python_lock::requirements,
        _ if name.ends_with(".app") && dir.ends_with("/ebin/") => elixir::app,
        _ if name.ends_with(".reg") && dir.contains("/php/.registry/") => php::pear,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
