//! The directory with the segments.

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use drua_scout::advisory::{Database, Import, Importer, ReadAt, Segment, SegmentBuilder, SegmentInfo};
use drua_types::env::DRUA_SCOUT_DB;
use rustix::fs::{FlockOperation, flock};

use crate::failure::Failure;

const EXTENSION: &str = "adv";

/// Where the advisories are.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    dir: PathBuf,
}

/// A segment in a file.
struct FileSegment {
    file: std::fs::File,
    size: u64,
}

impl ReadAt for FileSegment {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

impl Store {
    /// Where the environment says.
    pub(crate) fn open() -> Result<Self, Failure> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let dir = set(DRUA_SCOUT_DB)
            .or_else(|| set("XDG_DATA_HOME").map(|data| data.join("drua/scout")))
            .or_else(|| set("HOME").map(|home| home.join(".local/share/drua/scout")));
        match dir {
            Some(dir) => Ok(Self { dir }),
            None => Err(Failure::message("there is no place for advisories: neither HOME nor XDG_DATA_HOME is set")
                .hint(format!("set {DRUA_SCOUT_DB} to a directory"))),
        }
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every segment, by name.
    pub(crate) fn segments(&self) -> Result<Vec<(PathBuf, Segment)>, Failure> {
        if !self.dir.is_dir() {
            return Ok(Vec::new());
        }
        let mut paths: Vec<PathBuf> =
            fs_err::read_dir(&self.dir)?.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == EXTENSION));
        paths.sort();
        paths.into_iter().map(|path| Ok((path.clone(), open_segment(&path)?))).collect()
    }

    /// All of them together.
    pub(crate) fn database(&self) -> Result<Database, Failure> {
        Ok(Database::new(self.segments()?.into_iter().map(|(_, segment)| segment).collect()))
    }

    /// One of them, if it is there.
    pub(crate) fn segment(&self, source: &str) -> Result<Option<Segment>, Failure> {
        let path = self.path(source);
        if path.is_file() { open_segment(&path).map(Some) } else { Ok(None) }
    }

    fn path(&self, source: &str) -> PathBuf {
        self.dir.join(format!("{source}.{EXTENSION}"))
    }

    /// Puts a source's segment in place of its old one, at once or not at all.
    pub(crate) fn put(&self, builder: SegmentBuilder, info: SegmentInfo) -> Result<SegmentInfo, Failure> {
        self.replace(&info.source.clone(), |file| Ok(builder.write(info, file)?))
    }

    /// Puts a segment that somebody else wrote in place, after every block of it was checked.
    pub(crate) fn adopt(&self, source: &str, bytes: Vec<u8>) -> Result<SegmentInfo, Failure> {
        let segment = Segment::open(Box::new(bytes.clone())).map_err(Failure::new)?;
        segment.verify().map_err(Failure::new)?;
        let info = segment.info().clone();
        self.replace(source, |file| {
            file.write_all(&bytes)?;
            Ok(info)
        })
    }

    fn replace(
        &self,
        source: &str,
        write: impl FnOnce(&mut std::io::BufWriter<&std::fs::File>) -> anyhow::Result<SegmentInfo>,
    ) -> Result<SegmentInfo, Failure> {
        check_name(source)?;
        fs_err::create_dir_all(&self.dir)?;
        let lock = fs_err::File::create(self.dir.join(".lock"))?;
        flock(lock.file(), FlockOperation::LockExclusive).context("cannot lock the advisory database")?;
        let temporary = tempfile::Builder::new().prefix(".").suffix(".tmp").tempfile_in(&self.dir)?;
        let mut writer = std::io::BufWriter::new(temporary.as_file());
        let info = write(&mut writer)?;
        writer.flush()?;
        drop(writer);
        temporary.as_file().sync_all()?;
        temporary
            .persist(self.path(source))
            .with_context(|| format!("cannot put the advisories of `{source}` in place"))?;
        Ok(info)
    }

    /// Removes a source's segment.
    pub(crate) fn remove(&self, source: &str) -> Result<bool, Failure> {
        check_name(source)?;
        match fs_err::remove_file(self.path(source)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// Names become files: no separators, nothing hidden.
pub(crate) fn check_name(source: &str) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if source.is_empty() || source.len() > 100 || source.starts_with('.') || !source.chars().all(plain) {
        let shown: String = source.chars().take(60).collect();
        return Err(Failure::message(format!("`{}` is no name of a source", shown.escape_debug()))
            .hint("use letters, digits, `-`, `_` and `.`"));
    }
    Ok(())
}

fn open_segment(path: &Path) -> Result<Segment, Failure> {
    let file = fs_err::File::open(path)?;
    let size = file.metadata()?.len();
    let (file, _) = file.into_parts();
    Segment::open(Box::new(FileSegment { file, size })).map_err(|error| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        Failure::new(anyhow::Error::new(error).context(format!("cannot open the advisories of `{name}`")))
            .hint(format!("`drua scout db update {name}` or `db import` makes them anew; `db rm {name}` removes them"))
    })
}

/// The date, `2026-11-23`, in UTC.
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// The first date that no feed can bear, with a day for clocks that go wrong.
pub(crate) fn tomorrow() -> String {
    let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    later.strftime("%Y-%m-%d").to_string()
}

/// What a segment is about, after an import.
pub(crate) fn info(source: &str, import: &Import) -> SegmentInfo {
    SegmentInfo {
        source: source.to_owned(),
        formats: import.formats.clone(),
        data_date: import.data_date.clone(),
        imported: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        problems: import.problem_count,
        ..SegmentInfo::default()
    }
}

/// An importer that knows which dates are lies.
pub(crate) fn importer() -> Importer {
    Importer::new(&tomorrow())
}
