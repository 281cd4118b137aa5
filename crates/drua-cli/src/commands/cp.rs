//! `drua cp`: a tar stream in either direction, with Docker's rules about what the copy is called.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use drua_api::client::PathStat;
use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};
use crate::ui::ByteProgress;

/// Copy files between a container and the local file system
#[derive(Debug, clap::Args)]
#[command(after_help = "A source of `-` is a tar archive from standard input, a target of `-` one to standard output.

Examples:
  drua cp web:/var/log/app.log .
  drua cp site/. web:/srv")]
pub(crate) struct Cp {
    /// Give the files the container's user (or, from a container, keep their ids)
    #[arg(short, long)]
    archive: bool,
    /// Follow a symbolic link as the source
    #[arg(short = 'L', long)]
    follow_link: bool,
    /// Say nothing about progress
    #[arg(short, long)]
    quiet: bool,
    /// container:path, a local path, or -
    source: String,
    /// container:path, a local path, or -
    target: String,
}

/// One end of a copy.
#[derive(Debug)]
enum End<'a> {
    Container(&'a str, &'a str),
    Local(&'a str),
}

impl<'a> End<'a> {
    /// A path with a slash before its first colon is local, as is one that begins with a dot.
    fn of(text: &'a str) -> Self {
        match text.split_once(':') {
            Some((name, path)) if !name.is_empty() && !name.contains('/') && !name.starts_with('.') => {
                Self::Container(name, path)
            }
            _ => Self::Local(text),
        }
    }
}

impl Cp {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        match (End::of(&self.source), End::of(&self.target)) {
            (End::Container(name, path), End::Local(target)) => self.copy_out(ctx, name, path, target).await?,
            (End::Local(source), End::Container(name, path)) => self.copy_in(ctx, source, name, path).await?,
            (End::Container(..), End::Container(..)) => {
                return Err(Failure::message("copying between containers is not supported"));
            }
            (End::Local(_), End::Local(_)) => {
                return Err(Failure::message("must specify at least one container source")
                    .hint("name a path in a container as `container:path`"));
            }
        }
        Ok(exit::OK)
    }

    async fn copy_out(&self, ctx: &Context, name: &str, path: &str, target: &str) -> Result<(), Failure> {
        let client = ctx.client().await?;
        let mut path = path.to_owned();
        if self.follow_link {
            let stat = client.container_stat(name, &path).await?;
            if !stat.link_target.is_empty() {
                path.clone_from(&stat.link_target);
            }
        }
        let (stat, mut archive) = client.container_archive(name, &path).await?;
        if target == "-" {
            if std::io::stdout().is_terminal() {
                return Err(
                    Failure::message("cowardly refusing to write an archive to a terminal").hint("redirect the output")
                );
            }
            while let Some(piece) = archive.next().await {
                ctx.ui.data(&piece?)?;
            }
            return Ok(());
        }
        let place = Place::of(Path::new(target), &stat, &path)?;
        let mut tar = unpack(&place, self.archive)?;
        let mut input = tar.stdin.take().context("tar has no input")?;
        while let Some(piece) = archive.next().await {
            // tar says itself what is wrong when it stops reading.
            if input.write_all(&piece?).is_err() {
                break;
            }
        }
        drop(input);
        finish(tar)
    }

    async fn copy_in(&self, ctx: &Context, source: &str, name: &str, path: &str) -> Result<(), Failure> {
        let client = ctx.client().await?;
        if source == "-" {
            let body = super::load::body(std::io::stdin(), ByteProgress::new(&ctx.ui, "copying", None));
            return Ok(client.container_extract(name, path, self.archive, body).await?);
        }
        let mut local = PathBuf::from(source);
        if self.follow_link {
            local = fs_err::canonicalize(&local)?;
        }
        let metadata = fs_err::symlink_metadata(&local)?;
        let mut stat = client.container_stat(name, path).await.ok();
        let mut path = path.to_owned();
        if let Some(link) = stat.as_ref().filter(|stat| !stat.link_target.is_empty()) {
            path.clone_from(&link.link_target);
            stat = client.container_stat(name, &path).await.ok();
        }
        let contents = source.ends_with("/.") || source == ".";
        let is_dir = stat.as_ref().is_some_and(PathStat::is_dir);
        if metadata.is_dir() && stat.is_some() && !is_dir {
            return Err(Failure::message("cannot copy a directory onto a file"));
        }
        if stat.is_none() && path.ends_with('/') && !metadata.is_dir() {
            return Err(Failure::message(format!("no such directory: {name}:{path}")));
        }
        // Into an existing directory under its own name, else under the last name of the target.
        let own = local.components().next_back();
        let own = match own {
            Some(Component::Normal(name)) => name.to_string_lossy().into_owned(),
            _ => fs_err::canonicalize(&local)?.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        };
        let (into, called) = match (is_dir, contents && metadata.is_dir()) {
            (true, true) => (path.clone(), ".".to_owned()),
            (true, false) => (path.clone(), own),
            (false, _) => split(&path)?,
        };
        let mut tar = pack(&local, &called, metadata.is_dir())?;
        let output = tar.stdout.take().context("tar has no output")?;
        let body = super::load::body(output, ByteProgress::new(&ctx.ui, "copying", None));
        let sent = client.container_extract(name, &into, self.archive, body).await;
        if sent.is_err() {
            // It would wait for ever for somebody to read.
            let _ = tar.kill();
            let _ = tar.wait();
            return Ok(sent?);
        }
        finish(tar)
    }
}

/// Directory and last name of a path in a container.
fn split(path: &str) -> anyhow::Result<(String, String)> {
    let trimmed = path.trim_end_matches('/');
    match trimmed.rsplit_once('/') {
        Some((dir, name)) if !name.is_empty() => {
            Ok((if dir.is_empty() { "/".to_owned() } else { dir.to_owned() }, name.to_owned()))
        }
        None if !trimmed.is_empty() => Ok(("/".to_owned(), trimmed.to_owned())),
        _ => bail!("`{path}` has no name to copy to"),
    }
}

/// Where a copy goes on this machine, and what its root is called there.
struct Place {
    dir: PathBuf,
    /// The name in the archive, and the one here.
    rename: Option<(String, String)>,
}

impl Place {
    fn of(target: &Path, stat: &PathStat, path: &str) -> anyhow::Result<Self> {
        let existing = fs_err::metadata(target).ok();
        let contents = path.ends_with("/.") && stat.is_dir();
        if existing.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            return Ok(Self { dir: target.to_owned(), rename: None });
        }
        if existing.is_some() && stat.is_dir() {
            bail!("cannot copy a directory onto the file `{}`", target.display());
        }
        if contents {
            fs_err::create_dir(target)?;
            return Ok(Self { dir: target.to_owned(), rename: None });
        }
        if existing.is_none() && target.as_os_str().as_encoded_bytes().ends_with(b"/") && !stat.is_dir() {
            bail!("the directory `{}` does not exist", target.display());
        }
        let name = target.file_name().context("the target has no name")?.to_string_lossy().into_owned();
        let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !dir.is_dir() {
            bail!("the directory `{}` does not exist", dir.display());
        }
        Ok(Self { dir: dir.to_owned(), rename: Some((stat.name.clone(), name)) })
    }
}

/// `s,^old,new,` for tar's `--transform`, with every special character made ordinary.
fn transform(old: &str, new: &str) -> String {
    let escape = |text: &str| {
        text.chars().fold(String::new(), |mut escaped, c| {
            if !c.is_alphanumeric() {
                escaped.push('\\');
            }
            escaped.push(c);
            escaped
        })
    };
    // Only at the beginning, and only the whole first name; not in what symbolic links point to.
    let old = if old == "/" { String::new() } else { escape(old) };
    format!("flags=rh;s,^{old}\\(/\\|$\\),{}\\1,", escape(new))
}

fn unpack(place: &Place, keep_owner: bool) -> anyhow::Result<std::process::Child> {
    let mut tar = Command::new("tar");
    tar.args(["-x", "-p", "-f", "-", "-C"]).arg(&place.dir);
    // The files of a container are its author's: names like `../x` stay out, which is tar's default.
    tar.arg(if keep_owner { "--same-owner" } else { "--no-same-owner" });
    if let Some((old, new)) = place.rename.as_ref().filter(|(old, new)| old != new) {
        tar.arg(format!("--transform={}", transform(old, new)));
    }
    tar.stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run `tar`")
}

fn pack(local: &Path, called: &str, is_dir: bool) -> anyhow::Result<std::process::Child> {
    let mut tar = Command::new("tar");
    tar.args(["-c", "--format=posix", "-f", "-", "-C"]);
    let own = if is_dir {
        tar.arg(local);
        ".".to_owned()
    } else {
        let dir = local.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        tar.arg(dir);
        local.file_name().context("the source has no name")?.to_string_lossy().into_owned()
    };
    if own != called {
        let old = if own == "." { "." } else { own.as_str() };
        tar.arg(format!("--transform={}", transform(old, called)));
    }
    tar.arg("--").arg(if own.starts_with('-') { format!("./{own}") } else { own });
    tar.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run `tar`")
}

fn finish(mut tar: std::process::Child) -> Result<(), Failure> {
    let mut complaint = String::new();
    if let Some(stderr) = tar.stderr.take() {
        // Without its words, the status has to do.
        let _ = stderr.take(64 << 10).read_to_string(&mut complaint);
    }
    let status = tar.wait()?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::message(format!("tar failed ({status}): {}", complaint.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        for (text, container) in
            [("c:/x", true), ("/a:b", false), ("./c:x", false), ("-", false), ("x", false), (":x", false)]
        {
            assert_eq!(matches!(End::of(text), End::Container(..)), container, "{text}");
        }
    }

    #[test]
    fn targets_are_split() {
        assert_eq!(split("/a/b/").expect("valid"), ("/a".to_owned(), "b".to_owned()));
        assert_eq!(split("b").expect("valid"), ("/".to_owned(), "b".to_owned()));
        assert!(split("/").is_err());
    }
}
