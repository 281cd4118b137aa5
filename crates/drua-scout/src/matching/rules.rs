//! What is known about packages that no feed says.

use crate::advisory::{Affected, Advisory};
use crate::model::{Package, PackageKind};

/// Packages that only look like software of somebody: keys in RPM's database.
pub(super) fn is_no_software(package: &Package) -> bool {
    package.kind == PackageKind::Rpm && package.name == "gpg-pubkey"
}

/// Headers of a kernel that is not there: flaws of the kernel are the host's.
pub(super) fn is_kernel_headers(package: &Package) -> bool {
    let source = package.source_or_self().0;
    match package.kind {
        PackageKind::Deb => {
            (source == "linux" || source.starts_with("linux-"))
                && (package.name == "linux-libc-dev" || package.name.starts_with("linux-headers-"))
        }
        PackageKind::Rpm => matches!(package.name.as_str(), "kernel-headers" | "kernel-devel" | "kernel-uek-headers"),
        PackageKind::Apk => package.name == "linux-headers",
        _ => false,
    }
}

/// Go's main modules have no version unless somebody stamped one; what stands there then says nothing.
pub(super) fn has_no_real_version(package: &Package) -> bool {
    let version = package.version.as_str();
    match package.kind {
        PackageKind::Golang => {
            version.is_empty()
                || version == "(devel)"
                || version == "devel"
                || (package.details.contains_key("go.main") && version.starts_with("v0.0.0-"))
        }
        _ => version.is_empty(),
    }
}

/// Whether an RPM advisory is about the module stream that the package is from.
pub(super) fn same_stream(package: &Package, affected: &Affected, advisory: &Advisory, fixed: Option<&str>) -> bool {
    if package.kind != PackageKind::Rpm {
        return true;
    }
    let label = package.qualifiers.get("modularitylabel").or_else(|| package.qualifiers.get("rpmmod"));
    let stream = label.map(|label| label.splitn(3, ':').take(2).collect::<Vec<_>>().join(":"));
    if let Some(module) = &affected.module {
        return stream.as_deref() == Some(module);
    }
    // A fix inside a module is none for the same package outside of it, and the other way round.
    let modular = |version: &str| version.contains(".module");
    if fixed.is_some_and(|fixed| modular(fixed) != modular(&package.version)) {
        return false;
    }
    // AlmaLinux and Rocky name the stream in the title only: `Important: nodejs:18 security update`.
    let Some((name, _)) = stream.as_deref().and_then(|stream| stream.split_once(':')) else { return true };
    let titled = advisory.summary.split_whitespace().find_map(|word| {
        let (module, stream) = word.split_once(':')?;
        (module == name && !stream.is_empty()).then_some(word)
    });
    titled.is_none_or(|titled| stream.as_deref() == Some(titled))
}

/// Whether an advisory that names architectures names this one.
pub(super) fn same_arch(package: &Package, affected: &Affected) -> bool {
    affected.arches.is_empty()
        || package.arch.as_ref().is_none_or(|arch| arch == "noarch" || affected.arches.contains(arch))
}

/// Names under which Bitnami's database lists a program that drua calls otherwise.
pub(super) fn program_names(name: &str) -> Vec<String> {
    let other = match name {
        "httpd" => "apache",
        "postgres" => "postgresql",
        "go" => "golang",
        "openjdk" | "jdk" => "java",
        "nodejs" => "node",
        "wp-cli" => "wordpress",
        "cpython" => "python",
        "mongod" | "mongo" => "mongodb",
        "mysqld" => "mysql",
        "mariadbd" => "mariadb",
        "redis-server" => "redis",
        "php-cli" => "php",
        _ => name,
    };
    vec![other.to_owned()]
}
