//! Programs from this machine's own Debian or Ubuntu packages, without installing them.
//!
//! Packages are downloaded and unpacked into a staging directory. An image gets a program from there with the shared
//! libraries that its loader asks for and nothing else. Needs no root and starts no service.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use drua_e2e::Rootfs;

use crate::steps;

/// Downloads `packages` and the libraries that they depend on, and unpacks them below `dir`.
pub(crate) fn stage(packages: &[&str], dir: &Path) -> Result<PathBuf> {
    let staging = dir.join("root");
    let stamp = dir.join("complete");
    if stamp.exists() {
        return Ok(staging);
    }
    if dir.exists() {
        fs_err::remove_dir_all(dir)?;
    }
    let archives = dir.join("packages");
    fs_err::create_dir_all(&archives)?;
    let names = closure(packages, dir)?;
    let mut args = vec!["download", "-qq"];
    args.extend(names.iter().map(String::as_str));
    steps::capture("apt-get", &args, &archives).context("is `apt-get update` overdue?")?;
    merge_usr(&staging)?;
    for archive in fs_err::read_dir(&archives)? {
        unpack(&archive?.path(), &staging)?;
    }
    fs_err::write(stamp, names.join("\n"))?;
    Ok(staging)
}

/// The packages and all libraries below them. Scripts, configuration helpers and the like are not needed to run a
/// program, so only packages named `lib…` are followed.
fn closure(packages: &[&str], dir: &Path) -> Result<Vec<String>> {
    let mut args = vec!["depends", "--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks"];
    args.extend(["--no-replaces", "--no-enhances"]);
    args.extend(packages);
    let listing = steps::capture("apt-cache", &args, dir).context("is `apt-get update` overdue?")?;
    let libraries = listing.lines().filter(|name| name.starts_with("lib") && !name.contains(':'));
    let mut names: BTreeSet<&str> = libraries.collect();
    names.extend(packages);
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// Makes `/bin`, `/lib` and the like links into `/usr`, as both distributions have them.
fn merge_usr(staging: &Path) -> Result<()> {
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs_err::create_dir_all(staging.join("usr").join(name))?;
        fs_err::os::unix::fs::symlink(format!("usr/{name}"), staging.join(name))?;
    }
    Ok(())
}

fn unpack(archive: &Path, staging: &Path) -> Result<()> {
    let mut reader = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(archive).stdout(Stdio::piped()).spawn()?;
    let pipe = reader.stdout.take().context("dpkg-deb has no stdout")?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--keep-directory-symlink", "-C"]).arg(staging).stdin(pipe);
    let unpacked = tar.status()?;
    ensure!(reader.wait()?.success() && unpacked.success(), "cannot unpack `{}`", archive.display());
    Ok(())
}

const USERS: &str = "root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/var/www:/usr/sbin/nologin\n";

/// An image's first layer: links of a merged `/usr`, and `/tmp`.
pub(crate) fn base() -> Rootfs {
    let links = ["bin", "sbin", "lib", "lib64"];
    let rootfs = links.iter().fold(Rootfs::new(), |rootfs, name| {
        rootfs.dir(&format!("usr/{name}"), 0o755).symlink(name, &format!("usr/{name}"))
    });
    rootfs.dir("tmp", 0o1777).file("etc/passwd", 0o644, USERS)
}

/// Adds a staged program, which is a file of its own, to an image.
pub(crate) fn add_static(rootfs: Rootfs, staging: &Path, program: &str) -> Result<Rootfs> {
    Ok(rootfs.file(program, 0o755, fs_err::read(staging.join(program))?))
}

/// Adds staged programs to an image, with the shared libraries that they are linked with.
pub(crate) fn add_dynamic(rootfs: Rootfs, staging: &Path, programs: &[&str]) -> Result<Rootfs> {
    let loader = Loader::find(staging)?;
    let mut rootfs = rootfs;
    let mut libraries = BTreeSet::new();
    for program in programs {
        libraries.extend(loader.libraries(program)?);
        rootfs = add_static(rootfs, staging, program)?;
    }
    for library in libraries {
        let bytes = fs_err::read(staging.join(&library))?;
        rootfs = rootfs.file(&library, 0o755, bytes);
    }
    let bytes = fs_err::read(&loader.path)?;
    Ok(rootfs.file(&loader.interpreter(), 0o755, bytes))
}

/// The staged packages' own dynamic loader, which runs on any host.
struct Loader<'a> {
    staging: &'a Path,
    path: PathBuf,
}

impl<'a> Loader<'a> {
    fn find(staging: &'a Path) -> Result<Self> {
        let library_dirs = fs_err::read_dir(staging.join("usr/lib"))?;
        let files = library_dirs
            .filter_map(|dir| std::fs::read_dir(dir.ok()?.path()).ok())
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()));
        let is_loader =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-linux"));
        let path = files.into_iter().find(is_loader).context("the packages bring no dynamic loader")?;
        Ok(Self { staging, path })
    }

    /// Where programs expect the loader, according to the ABI of this architecture.
    fn interpreter(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let dir = if cfg!(target_arch = "x86_64") { "lib64" } else { "lib" };
        format!("usr/{dir}/{name}")
    }

    /// The libraries of a program, as paths below the staging directory.
    fn libraries(&self, program: &str) -> Result<Vec<String>> {
        let search = self.path.parent().unwrap_or(self.staging).to_string_lossy().into_owned();
        let program = self.staging.join(program);
        let args = ["--library-path", &search, "--list", &program.to_string_lossy()];
        let listing = steps::capture(&self.path, &args, self.staging)?;
        let mut found = Vec::new();
        for line in listing.lines() {
            ensure!(!line.contains("not found"), "`{}` lacks a library: {}", program.display(), line.trim());
            let path = line.split("=> ").nth(1).and_then(|rest| rest.split(' ').next());
            let staged = path.and_then(|path| Path::new(path).strip_prefix(self.staging).ok());
            found.extend(staged.map(|path| path.to_string_lossy().into_owned()));
        }
        ensure!(!found.is_empty(), "`{}` names no shared library", program.display());
        Ok(found)
    }
}
