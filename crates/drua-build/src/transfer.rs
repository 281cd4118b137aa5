//! COPY and ADD: what is copied, its key, and the layer.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use drua_dockerfile::{Ignore, Instruction, Source, Transfer};
use drua_types::Digest;
use serde_json::json;

use crate::chmod::{Chmod, optional};
use crate::copy::{CopyOptions, Target, base_name};
use crate::error::{BuildError, Result};
use crate::solve::{BuildFailure, LayerRef, Origin, Solving, Stage};
use crate::stage::StageBuild;
use crate::tree::{Selected, Tree};
use crate::untar::{Untar, decompress, recognize, untar};

/// Bytes that ADD takes from a URL.
const MAX_DOWNLOAD: u64 = 8 << 30;

/// Something to put into the root filesystem.
enum Item<'t> {
    Files { tree: &'t Tree, selected: Selected, unpack: bool },
    Bytes { name: String, bytes: Vec<u8>, mode: u32, time: i64 },
}

/// A source with its variables expanded.
enum Given {
    Path(String),
    /// A heredoc.
    Text {
        name: String,
        text: String,
    },
}

/// Trees that live as long as a transfer.
enum Held<'t> {
    Borrowed(&'t Tree),
    Owned(Box<Tree>, #[expect(dead_code, reason = "keeps the stage's snapshots")] Arc<Stage>),
}

impl Held<'_> {
    fn tree(&self) -> &Tree {
        match self {
            Self::Borrowed(tree) => tree,
            Self::Owned(tree, _) => tree,
        }
    }
}

impl StageBuild<'_, '_> {
    pub(crate) fn transfer(
        &mut self,
        transfer: &Transfer,
        instruction: &Instruction,
    ) -> std::result::Result<(), Box<BuildFailure>> {
        let is_add = instruction.canonical() == "ADD";
        let sources = self.sources(transfer, instruction)?;
        let paths = sources.iter().any(|source| matches!(source, Given::Path(path) if !(is_add && is_url(path))));
        let from = transfer.from.as_ref().map(|word| self.expand(&word.text)).transpose()?;
        let solving = self.solving;
        let held = match paths {
            true => Some(match solving.origin(self.index, from.as_deref())? {
                Origin::Files(tree) => Held::Borrowed(tree),
                Origin::Stage(stage) => Held::Owned(Box::new(solving.solver.tree_of(&stage.chain)?), stage),
            }),
            false => None,
        };
        let from_context = from.is_none();
        Ok(self.transfer_items(
            transfer,
            instruction,
            &sources,
            held.as_ref().map(Held::tree),
            is_add && from_context,
        )?)
    }

    /// Paths and heredocs with their variables expanded.
    fn sources(&self, transfer: &Transfer, instruction: &Instruction) -> Result<Vec<Given>> {
        let mut sources = Vec::new();
        for source in &transfer.sources {
            sources.push(match source {
                Source::Path(word) => Given::Path(self.expand(&word.text)?),
                Source::Heredoc(number) => {
                    let heredoc = &instruction.heredocs[*number];
                    let mut text = heredoc.stripped();
                    if heredoc.expand {
                        let expander = drua_dockerfile::Expander { skip_quotes: true, ..self.expander };
                        text = expander.expand(&text, &|name| self.lookup(name))?.text;
                    }
                    Given::Text { name: heredoc.name.clone(), text }
                }
            });
        }
        Ok(sources)
    }

    fn transfer_items(
        &mut self,
        transfer: &Transfer,
        instruction: &Instruction,
        sources: &[Given],
        tree: Option<&Tree>,
        add: bool,
    ) -> Result<()> {
        let solver = self.solving.solver;
        let expand = |text: &str| self.expand(text);
        let exclude = transfer.exclude.iter().map(|word| self.expand(&word.text)).collect::<Result<Vec<_>>>()?;
        let exclude = Ignore::new(&exclude)?;
        let chmod = optional(transfer.chmod.as_ref(), &expand)?;
        let chown = optional(transfer.chown.as_ref(), &expand)?.filter(|text| !text.is_empty());
        let checksum = optional(transfer.checksum.as_ref(), &expand)?;
        let written = self.expand(&transfer.destination.text)?;
        let destination = self.absolute(&written);
        let mut items = Vec::new();
        let mut digests = Vec::new();
        for source in sources {
            match (source, tree) {
                (Given::Text { name, text }, _) => {
                    digests.push(format!("{name}\0{}", Digest::of(text.as_bytes())));
                    let (bytes, time) = (text.clone().into_bytes(), solver.request.source_date_epoch.unwrap_or(0));
                    items.push(Item::Bytes { name: name.clone(), bytes, mode: 0o644, time });
                }
                (Given::Path(url), _) if add && is_url(url) => {
                    let (bytes, digest) = self.download(url, checksum.as_deref())?;
                    let name = base_name(url);
                    if name.is_empty() && !destination.ends_with('/') || !name.is_empty() {
                        digests.push(format!("{name}\0{digest}"));
                    } else {
                        return Err(BuildError::Fetch { url: url.clone(), reason: "it names no file".to_owned() });
                    }
                    let time = solver.request.source_date_epoch.unwrap_or(0);
                    items.push(Item::Bytes { name, bytes, mode: 0o600, time });
                }
                (Given::Path(path), Some(tree)) => {
                    if add && checksum.is_some() {
                        return Err(BuildError::Value(
                            "checksum can't be specified for non-HTTP(S) sources".to_owned(),
                        ));
                    }
                    for selected in tree.select(path, &exclude, transfer.parents)? {
                        let digest = solver.hashes.source(tree, &selected)?;
                        let name = if selected.is_dir() && !selected.with_parents {
                            ""
                        } else {
                            &*selected.name.to_string_lossy()
                        };
                        digests.push(format!("{name}\0{digest}"));
                        let unpack =
                            add && transfer.unpack != Some(false) && !selected.is_dir() && is_archive(tree, &selected)?;
                        items.push(Item::Files { tree, selected, unpack });
                    }
                }
                (Given::Path(path), None) => return Err(BuildError::NotFound { path: path.clone(), ignored: false }),
            }
        }
        let operation = json!({
            "op": if add { "add" } else { "copy" }, "to": destination, "chmod": chmod, "chown": chown,
            "sources": digests, "link": transfer.link, "unpack": transfer.unpack, "parents": transfer.parents,
            "owners": tree.is_some_and(|tree| tree.owners),
            "platform": transfer.link.then(|| self.planned.platform.os().to_owned()),
        });
        // With --link nothing below counts.
        let numeric = chown.as_deref().is_none_or(is_numeric);
        let independent = transfer.link && numeric;
        let key = match independent {
            true => Digest::of(format!("link\0{operation}").as_bytes()),
            false => self.next_key(&operation),
        };
        let text = crate::stage::one_line(instruction);
        let several = items.len() > 1 || destination.ends_with('/');
        let record = self.step(&key, &text, |build| {
            let _slot = solver.slots.take();
            let draft = solver.cache.begin()?;
            let owner = chown.as_deref().map(|chown| build.owner(chown)).transpose()?;
            let chmod = chmod.as_deref().map(Chmod::parse).transpose()?;
            let options = CopyOptions { owner, chmod };
            {
                let root = build.writable(&draft, independent)?;
                let target = Target::new(&root, &destination, &options);
                if destination.ends_with('/') {
                    target.directory(&crate::tree::inside(&destination))?;
                }
                for item in &items {
                    solver.check_canceled()?;
                    put(&target, &root, item, &destination, several, owner)?;
                }
            }
            if !independent {
                build.drop_unchanged(&draft.upper())?;
            }
            solver.cache.keep(&key, &text, draft, &solver.uses)
        })?;
        let after = self.next_key(&json!({"op": "after", "key": key}));
        let created = record.created;
        self.advance(if independent { after } else { key }, record);
        let created_by = format!("{text} # buildkit");
        self.state.note(created_by, Some(created));
        Ok(())
    }

    /// `--chown` against the stage's own users.
    fn owner(&self, chown: &str) -> Result<(u32, u32)> {
        let (user, group) = chown.split_once(':').map_or((chown, None), |(user, group)| (user, Some(group)));
        let number = |text: &str| text.parse::<u32>().ok();
        let mut tree = None;
        let mut read = |path: &str| -> Result<String> {
            if tree.is_none() {
                tree = Some(self.solving.solver.tree_of(&self.chain)?);
            }
            let Some(tree) = &tree else { return Ok(String::new()) };
            let mut text = String::new();
            // Without the file there is no such name, and that is what the error says.
            if let Ok(file) = tree.file(Path::new(path)) {
                let _ = file.take(4 << 20).read_to_string(&mut text);
            }
            Ok(text)
        };
        let entry = |text: &str, name: &str, column: usize| {
            let line = text.lines().find(|line| line.split(':').next() == Some(name))?.to_owned();
            line.split(':').nth(column)?.parse::<u32>().ok()
        };
        let uid = match number(user) {
            Some(uid) => uid,
            None => entry(&read("etc/passwd")?, user, 2)
                .ok_or_else(|| BuildError::Value(format!("invalid user index: unable to find user {user}")))?,
        };
        // A user alone is its own group, by number.
        let gid = match group {
            None | Some("") => uid,
            Some(group) => match number(group) {
                Some(gid) => gid,
                None => entry(&read("etc/group")?, group, 2)
                    .ok_or_else(|| BuildError::Value(format!("invalid group index: unable to find group {group}")))?,
            },
        };
        Ok((uid, gid))
    }

    fn download(&self, url: &str, checksum: Option<&str>) -> Result<(Vec<u8>, Digest)> {
        let bytes = crate::fetch::get(url, MAX_DOWNLOAD)?;
        let digest = Digest::of(&bytes);
        match checksum {
            Some(expected) if expected != digest.as_str() => {
                Err(BuildError::Checksum { what: url.to_owned(), actual: digest, expected: expected.to_owned() })
            }
            _ => Ok((bytes, digest)),
        }
    }
}

fn put(
    target: &Target<'_>,
    root: &drua_sys::root_fs::Root,
    item: &Item<'_>,
    destination: &str,
    several: bool,
    owner: Option<(u32, u32)>,
) -> Result<()> {
    match item {
        Item::Bytes { name, bytes, mode, time } => target.write(name, bytes, several, *mode, *time),
        Item::Files { tree, selected, unpack: true } => {
            let at = crate::tree::inside(destination);
            target.directory(&at)?;
            let path = &selected.files[0].path;
            let file = tree.file(path).map_err(BuildError::io("open", path))?;
            let (stream, _) = decompress(file).map_err(BuildError::io("decompress", path))?;
            untar(stream, root, &at, Untar { owners: true, owner })
        }
        Item::Files { tree, selected, unpack: false } => target.copy(tree, selected, several),
    }
}

fn is_url(source: &str) -> bool {
    source.starts_with("http://") || source.starts_with("https://")
}

fn is_numeric(chown: &str) -> bool {
    chown.split(':').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether ADD unpacks a file: a tar, compressed or not.
fn is_archive(tree: &Tree, selected: &Selected) -> Result<bool> {
    let path = &selected.files[0].path;
    let read = || -> std::io::Result<bool> {
        let mut head = Vec::new();
        tree.file(path)?.take(512).read_to_end(&mut head)?;
        match recognize(&head) {
            None => Ok(false),
            Some(crate::untar::Format::Tar) => Ok(true),
            Some(_) => {
                // Compressed: a tar inside?
                let mut inner = Vec::new();
                let (stream, _) = decompress(tree.file(path)?)?;
                // Damaged data is copied as it is.
                let _ = stream.take(512).read_to_end(&mut inner);
                Ok(recognize(&inner) == Some(crate::untar::Format::Tar))
            }
        }
    };
    match read() {
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => Ok(false),
        result => result.map_err(BuildError::io("read", path)),
    }
}

/// A stage that begins with the files of a directory.
pub(crate) fn whole_context(solving: &Solving<'_>, mut stage: Stage, name: &str) -> Result<Stage> {
    let solver = solving.solver;
    let tree = solver.contexts.get(name).ok_or_else(|| BuildError::NoStage(name.to_owned()))?;
    let selected = tree.select("/", &Ignore::default(), false)?;
    let digest = match selected.first() {
        Some(selected) => solver.hashes.source(tree, selected)?,
        None => Digest::of(b""),
    };
    let key = Digest::of(format!("context\0{digest}").as_bytes());
    let _claim = solver.cache.claim(&key, solver.cancel)?;
    let record = match solver.cache.find(&key, &solver.uses) {
        Some(record) => record,
        None => {
            let draft = solver.cache.begin()?;
            let dir = crate::fsutil::open_dir(&draft.upper()).map_err(BuildError::io("open", &draft.upper()))?;
            let root = drua_sys::root_fs::Root::from_fd(dir);
            let options = CopyOptions::default();
            for selected in &selected {
                Target::new(&root, "/", &options).copy(tree, selected, true)?;
            }
            solver.cache.keep(&key, &format!("FROM {name}"), draft, &solver.uses)?
        }
    };
    let created = record.created;
    stage.key = key;
    stage.chain.layers.extend(record.snapshot.map(|id| LayerRef::Snapshot { id }));
    stage.state.note(format!("FROM {name}"), Some(created));
    Ok(stage)
}
