//! Whether everything in the store is what it says: `drua system check [--repair]`.
//!
//! ```text
//! blob        its bytes have its digest                          damaged → removed
//! image       all its blobs are there                            incomplete → removed, unless a container uses it
//! layer       is what its blobs unpack to, file by file          damaged → unpacked again, unless in use now
//! leftovers   blobs and layers that no image needs, other files  swept
//! ```
//!
//! Without [`Repair::Yes`] nothing is changed. Other operations may go on meanwhile: what they hold is left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use drua_types::{Digest, ImageRef, error_chain};

use crate::compare::first_difference;
use crate::content::BlobSource as _;
use crate::db::Record;
use crate::decode::Meter;
use crate::layers::Batch;
use crate::remove::ImageUse;
use crate::storage::StorageError;
use crate::tree::{self, Node};
use crate::unpack::Below;
use crate::{Lease, Store};

/// Whether to mend what is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repair {
    /// Only say it.
    No,
    /// Mend what can be mended.
    Yes,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Blobs that were verified.
    pub blobs: u64,
    /// Unpacked layers that were compared with their blobs.
    pub layers: u64,
    /// Bytes of both.
    pub bytes: u64,
    /// What is wrong, or was.
    pub problems: Vec<Problem>,
}

/// Something that is not as it should be. `Display` says it in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: a digest or a path.
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// What was done about it; `None` when nothing was.
    pub repaired: Option<&'static str>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)?;
        self.repaired.map_or(Ok(()), |done| write!(f, " ({done})"))
    }
}

/// A check under way.
struct Check<'a> {
    store: &'a Store,
    repair: Repair,
    in_use: &'a dyn Fn(&Digest) -> Option<ImageUse>,
    report: CheckReport,
    bad_blobs: BTreeSet<Digest>,
    /// Protects what is looked at from being removed under our hands.
    lease: Lease,
}

impl Store {
    /// Verifies everything; see the module's documentation. Takes as long as reading and unpacking all of it does.
    ///
    /// # Errors
    /// When the disk or the database fails in a way that ends the check; what is merely damaged is reported.
    pub fn check(
        &self,
        repair: Repair,
        in_use: &dyn Fn(&Digest) -> Option<ImageUse>,
    ) -> Result<CheckReport, StorageError> {
        let lease = self.lease();
        let report = CheckReport::default();
        let mut check = Check { store: self, repair, in_use, report, bad_blobs: BTreeSet::new(), lease };
        check.strangers()?;
        check.blobs()?;
        check.images()?;
        let Check { report, lease, .. } = check;
        drop(lease);
        self.check_leftovers(repair, in_use, report)
    }

    /// What no image needs.
    fn check_leftovers(
        &self,
        repair: Repair,
        in_use: &dyn Fn(&Digest) -> Option<ImageUse>,
        mut report: CheckReport,
    ) -> Result<CheckReport, StorageError> {
        let (mut blobs, mut layers) = (Vec::new(), Vec::new());
        {
            let held = self.holds.freeze();
            let (wanted, chain_ids) = (self.db.blobs()?, self.db.chain_ids()?);
            let stray = |digest: &Digest, wanted: &BTreeSet<Digest>| !wanted.contains(digest) && !held.is_held(digest);
            blobs.extend(self.content.list()?.into_iter().map(|(digest, _)| digest).filter(|d| stray(d, &wanted)));
            let empty = crate::store::empty_layer();
            layers.extend(self.layers.list()?.into_iter().filter(|d| *d != empty && stray(d, &chain_ids)));
        }
        let done = (repair == Repair::Yes).then_some("removed");
        let mut add = |subject: String, text: &str| {
            report.problems.push(Problem { subject, text: text.to_owned(), repaired: done });
        };
        blobs.iter().for_each(|digest| add(digest.to_string(), "content that no image needs"));
        layers.iter().for_each(|chain_id| add(format!("layer {chain_id}"), "a layer that no image needs"));
        if repair == Repair::Yes && !(blobs.is_empty() && layers.is_empty()) {
            self.sweep(in_use)?;
        }
        if repair == Repair::Yes {
            self.write_index()?;
        }
        Ok(report)
    }
}

impl Check<'_> {
    fn problem(&mut self, subject: impl fmt::Display, text: impl Into<String>, repaired: Option<&'static str>) {
        self.report.problems.push(Problem { subject: subject.to_string(), text: text.into(), repaired });
    }

    /// Files that have no business where they are. They are only named: nobody knows whose they are.
    fn strangers(&mut self) -> Result<(), StorageError> {
        let mut found: Vec<PathBuf> = self.store.content.strangers()?;
        found.extend(self.store.layers.strangers()?);
        found.into_iter().for_each(|path| self.problem(path.display(), "it does not belong here", None));
        Ok(())
    }

    fn blobs(&mut self) -> Result<(), StorageError> {
        for (digest, bytes) in self.store.content.list()? {
            self.lease.hold(&digest);
            let Ok(file) = self.store.content.open(&digest) else { continue };
            let mut meter = Meter::new(file, u64::MAX);
            let wrong = match meter.drain() {
                Err(error) => Some(format!("it cannot be read: {error}")),
                Ok(()) => match meter.digest() {
                    actual if actual == digest => None,
                    actual => Some(format!("damaged: it has digest {actual}")),
                },
            };
            self.report.blobs += 1;
            self.report.bytes += bytes;
            if let Some(text) = wrong {
                let mend = self.repair == Repair::Yes;
                if mend {
                    self.store.content.delete(&digest)?;
                }
                self.problem(&digest, text, mend.then_some("removed"));
                self.bad_blobs.insert(digest);
            }
        }
        Ok(())
    }

    fn images(&mut self) -> Result<(), StorageError> {
        let mut needed: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for (image, blob) in self.store.db.image_blobs()? {
            needed.entry(image).or_default().push(blob);
        }
        let names = self.store.db.names()?;
        let mut seen = BTreeSet::new();
        for top in self.store.db.images()? {
            let lacking = needed.get(&top.digest).into_iter().flatten();
            let mut lacking =
                lacking.filter(|blob| self.bad_blobs.contains(blob) || self.store.content.size(blob).is_none());
            let known = names.get(&top.digest).map(Vec::as_slice).unwrap_or_default();
            if let Some(blob) = lacking.next() {
                let text = format!("its content {blob} is missing or damaged");
                self.incomplete(&top.digest, known, text)?;
                continue;
            }
            match tree::read(&self.store.content, &top, None, &self.store.limits) {
                Ok(tree) => {
                    let missing = tree.blobs.iter().filter(|blob| !needed[&top.digest].contains(blob)).count();
                    if missing > 0 {
                        self.unrecorded(&top, tree.blobs.clone(), crate::load::chain_ids(&tree.nodes), missing)?;
                    }
                    for node in &tree.nodes {
                        self.layers(&top.digest, node, &mut seen)?;
                    }
                }
                Err(error) => self.incomplete(&top.digest, known, error_chain(&error))?,
            }
        }
        Ok(())
    }

    /// An image that cannot be used any more.
    fn incomplete(&mut self, id: &Digest, names: &[ImageRef], text: String) -> Result<(), StorageError> {
        let used = (self.in_use)(id).is_some();
        let mend = self.repair == Repair::Yes && !used;
        if mend {
            self.store.db.remove_image(id)?;
        }
        let list: Vec<String> = names.iter().map(ImageRef::familiar).collect();
        let advice = match list.as_slice() {
            [] => String::new(),
            names => format!("; `drua pull {}` or load it again", names[0]),
        };
        let list = if list.is_empty() { "<none>".to_owned() } else { list.join(", ") };
        self.problem(format_args!("image {list} ({})", id.short()), text + &advice, mend.then_some("removed"));
        Ok(())
    }

    fn unrecorded(
        &mut self,
        top: &crate::wire::Descriptor,
        blobs: BTreeSet<Digest>,
        chain_ids: BTreeSet<Digest>,
        missing: usize,
    ) -> Result<(), StorageError> {
        let mend = self.repair == Repair::Yes;
        if mend {
            let record = Record { descriptor: top.clone(), names: Vec::new(), blobs, chain_ids };
            self.store.db.record(&[record])?;
        }
        let text = format!("{missing} of its blobs are not recorded as its own");
        self.problem(format_args!("image {}", top.digest.short()), text, mend.then_some("recorded"));
        Ok(())
    }

    /// Unpacks each layer beside the one that is there and compares them.
    fn layers(&mut self, image: &Digest, node: &Node, seen: &mut BTreeSet<Digest>) -> Result<(), StorageError> {
        let mut below: Vec<PathBuf> = Vec::new();
        for layer in &node.layers {
            let Some(chain_id) = &layer.chain_id else { continue };
            self.lease.hold(chain_id);
            // What is not unpacked will be when a container is created; one that is there already needs it now.
            let there = self.store.layers.has(chain_id);
            if (there || (self.in_use)(image).is_some()) && seen.insert(chain_id.clone()) {
                let batch = Batch::new(&self.store.layers, self.store.limits);
                match batch.add(&self.store.content, layer, Below::Here(&below), &mut |_| {}) {
                    Ok(()) if there => self.compare(image, chain_id, &batch)?,
                    Ok(()) => {
                        let mend = self.repair == Repair::Yes;
                        if mend {
                            batch.publish()?;
                        }
                        let text = "it is missing, and a container needs it";
                        self.problem(format_args!("layer {chain_id}"), text, mend.then_some("unpacked again"));
                    }
                    Err(error) => {
                        self.problem(format_args!("layer {chain_id}"), error_chain(&error), None);
                    }
                }
                self.report.layers += 1;
                self.report.bytes += self.store.layers.size(chain_id).unwrap_or(0);
            }
            below.insert(0, self.store.layers.path(chain_id));
        }
        Ok(())
    }

    fn compare(&mut self, image: &Digest, chain_id: &Digest, batch: &Batch) -> Result<(), StorageError> {
        let here = self.store.layers.path(chain_id);
        let text = match first_difference(&here, &batch.staged_path(chain_id)) {
            Ok(None) if self.store.layers.size(chain_id).is_some() => return Ok(()),
            Ok(None) => "its layer.json is missing or malformed".to_owned(),
            Ok(Some(path)) => format!("`{}` is not what the image has there", path.display()),
            Err(error) => format!("it cannot be read: {error}"),
        };
        // Another image's container may have it mounted: any running container counts.
        let users: Vec<Digest> = self
            .store
            .db
            .image_layers()?
            .into_iter()
            .filter(|(_, layer)| layer == chain_id)
            .map(|(image, _)| image)
            .collect();
        let mounted = users.iter().chain([image]).any(|image| (self.in_use)(image).is_some_and(|user| user.running));
        let mend = self.repair == Repair::Yes && !mounted;
        if mend {
            batch.replace(chain_id)?;
        }
        let advice = if mounted { "; stop the containers that use it and repair it then" } else { "" };
        self.problem(format_args!("layer {chain_id}"), text + advice, mend.then_some("unpacked again"));
        Ok(())
    }
}
