//! `--output`: what becomes of an image that was built.

use std::io::Write as _;
use std::path::PathBuf;

use drua_api::Client;

use crate::context::Context;
use crate::failure::Failure;

/// Where the result goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    /// The daemon's store.
    Image,
    /// Nowhere: only the cache is filled.
    CacheOnly,
    /// An archive that `docker load` reads; `None` is standard output.
    Archive { dest: Option<PathBuf>, keep: bool },
    /// The files as a tar; `None` is standard output.
    Tar { dest: Option<PathBuf>, keep: bool },
    /// The files in a directory.
    Local { dest: PathBuf, keep: bool },
}

impl Destination {
    pub(super) fn parse(text: Option<&str>, names: &[String]) -> Result<Self, Failure> {
        let Some(text) = text else { return Ok(Self::Image) };
        let keep = !names.is_empty();
        if text == "-" {
            return Ok(Self::Tar { dest: None, keep });
        }
        if !text.contains('=') {
            return Ok(Self::Local { dest: PathBuf::from(text), keep });
        }
        let fields: Vec<(&str, &str)> =
            text.split(',').map(|field| field.split_once('=').unwrap_or((field, ""))).collect();
        let field = |key: &str| fields.iter().find(|(known, _)| *known == key).map(|(_, value)| *value);
        if let Some((key, _)) = fields.iter().find(|(key, _)| !matches!(*key, "type" | "dest" | "name" | "push")) {
            return Err(Failure::message(format!("unknown option `{key}` in `--output {text}`")));
        }
        if field("push").is_some_and(|push| push != "false") || field("type") == Some("registry") {
            return Err(Failure::message("the builder does not push").hint("build first, then `drua push NAME`"));
        }
        let dest = field("dest").filter(|dest| *dest != "-").map(PathBuf::from);
        Ok(match field("type").unwrap_or("image") {
            "image" => Self::Image,
            "cacheonly" => Self::CacheOnly,
            "oci" | "docker" if field("type") == Some("docker") && dest.is_none() => Self::Image,
            "oci" | "docker" => Self::Archive { dest, keep },
            "tar" => Self::Tar { dest, keep },
            "local" => {
                Self::Local { dest: dest.ok_or_else(|| Failure::message("type=local needs dest=DIRECTORY"))?, keep }
            }
            other => {
                return Err(Failure::message(format!("unknown output type `{other}`"))
                    .hint("the types are image, oci, docker, tar, local and cacheonly"));
            }
        })
    }

    /// Brings the image there.
    pub(super) async fn deliver(
        &self,
        client: &Client,
        ctx: &Context,
        id: &str,
        platform: Option<&str>,
    ) -> Result<(), Failure> {
        let keep = match self {
            Self::Image | Self::CacheOnly => return Ok(()),
            Self::Archive { dest, keep } => {
                let mut archive = client.image_save(&[id.to_owned()], None).await?;
                let mut out = Out::open(dest.as_ref(), ctx)?;
                while let Some(piece) = archive.next().await {
                    out.write(&piece?)?;
                }
                *keep
            }
            Self::Tar { dest, keep } => {
                let mut out = Out::open(dest.as_ref(), ctx)?;
                self.files(client, id, platform, &mut |piece| out.write(piece)).await?;
                *keep
            }
            Self::Local { dest, keep } => {
                let mut file = tempfile::tempfile()?;
                self.files(client, id, platform, &mut |piece| Ok(file.write_all(piece)?)).await?;
                std::io::Seek::rewind(&mut file)?;
                fs_err::create_dir_all(dest)?;
                let mut archive = tar::Archive::new(file);
                archive.set_preserve_permissions(true);
                archive.unpack(dest)?;
                *keep
            }
        };
        if !keep {
            // It had no name, so nobody else can have wanted it.
            client.image_remove(id, false, true).await?;
        }
        Ok(())
    }

    /// The files of an image, through a container that never runs.
    async fn files(
        &self,
        client: &Client,
        id: &str,
        platform: Option<&str>,
        write: &mut dyn FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let platform = platform.and_then(|platforms| platforms.split(',').next());
        let body = drua_api::models::ContainerCreateBody {
            image: Some(id.to_owned()),
            cmd: Some(vec!["-".to_owned()]),
            ..Default::default()
        };
        let container = client.container_create(None, platform, &body).await?.id;
        let result = async {
            let mut files = client.container_export(&container).await?;
            while let Some(piece) = files.next().await {
                write(&piece?)?;
            }
            Ok(())
        }
        .await;
        let options = drua_api::client::RemoveContainer { force: true, volumes: true, ..Default::default() };
        client.container_remove(&container, options).await?;
        result
    }
}

/// A file or standard output.
enum Out {
    File(fs_err::File),
    Stdout(crate::ui::Printer),
}

impl Out {
    fn open(path: Option<&PathBuf>, ctx: &Context) -> Result<Self, Failure> {
        match path {
            Some(path) => Ok(Self::File(fs_err::File::create(path)?)),
            None if std::io::IsTerminal::is_terminal(&std::io::stdout()) => {
                Err(Failure::message("refusing to write an archive to a terminal").hint("add dest=FILE, or redirect"))
            }
            None => Ok(Self::Stdout(ctx.ui)),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match self {
            Self::File(file) => Ok(file.write_all(bytes)?),
            Self::Stdout(ui) => Ok(ui.data(bytes)?),
        }
    }
}
