use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef};

use crate::lookup::{FoundImage, NamedBy};
use crate::storage::StorageError;
use crate::{LookupError, Store};

/// A container that uses an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUse {
    /// The container's id, full or short; texts show twelve characters of it.
    pub container_id: String,
    /// Whether it runs now. Of several users a running one should be named.
    pub running: bool,
}

/// Whether to remove what Docker would rather keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// Refuse.
    No,
    /// Remove, unless a running container uses it and its id was given.
    Yes,
}

/// What was removed, in Docker's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name is gone.
    Untagged(ImageRef),
    /// The image is gone.
    Deleted(Digest),
}

/// An image could not be removed. Texts are Docker's.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// There is no such image.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The only name of an image that a container uses.
    #[error(
        "conflict: unable to remove repository reference \"{name}\" (must force) - container {container} is using its referenced image {image}"
    )]
    NameInUse {
        /// The name as given.
        name: String,
        /// Short id of the container.
        container: String,
        /// Short id of the image.
        image: String,
    },
    /// A running container uses the image.
    #[error(
        "conflict: unable to delete {image} (cannot be forced) - image is being used by running container {container}"
    )]
    Running {
        /// Short id of the image.
        image: String,
        /// Short id of the container.
        container: String,
    },
    /// A stopped container uses the image.
    #[error(
        "conflict: unable to delete {image} (must be forced) - image is being used by stopped container {container}"
    )]
    Stopped {
        /// Short id of the image.
        image: String,
        /// Short id of the container.
        container: String,
    },
    /// Something that began a moment ago uses the image, and no container shows it yet.
    #[error(
        "conflict: unable to delete {image} (cannot be forced) - image is being used by a container that is being created"
    )]
    Busy {
        /// Short id of the image.
        image: String,
    },
    /// The id was given of an image that has names in several repositories.
    #[error("conflict: unable to delete {image} (must be forced) - image is referenced in multiple repositories")]
    ManyNames {
        /// Short id of the image.
        image: String,
        /// The names.
        names: Vec<ImageRef>,
    },
    /// A container was made of the platform that should go.
    #[error(
        "conflict: unable to delete {image} (cannot be forced) - the platform is being used by container {container}"
    )]
    PlatformInUse {
        /// Short digest of the platform's manifest.
        image: String,
        /// Short id of the container.
        container: String,
    },
    /// Nothing of the image would be left.
    #[error("conflict: unable to delete the platform - `{name}` is here for no other")]
    LastPlatform {
        /// The image as given.
        name: String,
    },
    /// The disk or the database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classify for RemoveError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Lookup(error) => error.kind(),
            Self::NameInUse { .. }
            | Self::Running { .. }
            | Self::Stopped { .. }
            | Self::Busy { .. }
            | Self::ManyNames { .. }
            | Self::PlatformInUse { .. }
            | Self::LastPlatform { .. } => ErrorKind::Conflict,
            Self::Storage(error) => error.kind(),
        }
    }
}

impl Hint for RemoveError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Lookup(error) => error.hints(),
            Self::Running { container, .. } => vec![format!("stop it first: `drua rm -f {container}`")],
            Self::Busy { .. } => vec!["try again in a moment".to_owned()],
            Self::NameInUse { container, .. } | Self::Stopped { container, .. } => {
                vec![format!("remove the container first: `drua rm {container}`"), "or use `--force`".to_owned()]
            }
            Self::ManyNames { names, .. } => {
                let list: Vec<String> = names.iter().map(ImageRef::familiar).collect();
                vec![format!("remove its names instead: `drua rmi {}`", list.join(" "))]
            }
            Self::PlatformInUse { container, .. } => vec![format!("remove the container first: `drua rm {container}`")],
            Self::LastPlatform { name } => vec![format!("remove the image: `drua rmi {name}`")],
            Self::Storage(error) => error.hints(),
        }
    }
}

/// What to do, decided before anything is changed.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    untag: Vec<ImageRef>,
    fate: Fate,
}

#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Keep,
    Delete,
    /// Forcibly deleted while a stopped container needs its layers: gone from sight, kept until the container is gone.
    Hide,
}

impl Store {
    /// Removes a name, and the image with its last name, by Docker's rules; then sweeps.
    ///
    /// A name that is one of several is only taken away. By id, all names go, if they are in one repository. What a
    /// container uses stays: names of an image in use need [`Force::Yes`], which leaves the image of a running container
    /// without a name. `in_use` is asked while nobody can begin to use an image: it must look at the present state.
    ///
    /// # Errors
    /// As [`Store::get`], and the conflicts.
    pub fn remove(
        &self,
        name: &str,
        force: Force,
        in_use: &dyn Fn(&Digest) -> Option<ImageUse>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let found = self.find(name)?;
        let id = found.descriptor.digest.clone();
        let plan = {
            // Whoever is about to use the image holds it until its container can be seen. While the holds are frozen it
            // is either held or seen, whenever it began.
            let held = self.holds.freeze();
            let names = self.db.names_of(&id)?;
            let plan = plan(name, &found, &names, force, in_use(&id).as_ref())?;
            if plan.fate != Fate::Keep && held.is_image_held(&id) {
                return Err(RemoveError::Busy { image: id.short().to_owned() });
            }
            match plan.fate {
                Fate::Keep => self.db.remove_names(&plan.untag)?,
                Fate::Delete => self.db.remove_image(&id)?,
                Fate::Hide => self.db.hide_image(&id)?,
            }
            plan
        };
        self.write_index()?;
        if plan.fate == Fate::Delete {
            self.sweep(in_use)?;
        }
        let deleted = (plan.fate != Fate::Keep).then_some(Removed::Deleted(id));
        Ok(plan.untag.into_iter().map(Removed::Untagged).chain(deleted).collect())
    }
}

impl Store {
    /// Removes an image that nothing uses, with all its names, as a prune does; empty when something does use it. The
    /// content goes with the next [`Store::sweep`].
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove_unused(
        &self,
        id: &Digest,
        in_use: &dyn Fn(&Digest) -> Option<ImageUse>,
    ) -> Result<Vec<Removed>, StorageError> {
        let names = {
            let held = self.holds.freeze();
            if held.is_image_held(id) || in_use(id).is_some() || self.db.image(id)?.is_none() {
                return Ok(Vec::new());
            }
            let names = self.db.names_of(id)?;
            self.db.remove_image(id)?;
            names
        };
        self.write_index()?;
        Ok(names.into_iter().map(Removed::Untagged).chain([Removed::Deleted(id.clone())]).collect())
    }
}

/// Docker's rules (moby, daemon/images/image_delete.go describes them), as a function of what is known.
fn plan(
    name: &str,
    found: &FoundImage,
    names: &[ImageRef],
    force: Force,
    user: Option<&ImageUse>,
) -> Result<Plan, RemoveError> {
    let image = found.descriptor.digest.short().to_owned();
    let short = |user: &ImageUse| short(&user.container_id);
    match &found.by {
        NamedBy::Name(reference) if !is_single(names) || (names.len() > 1 && reference.digest().is_some()) => {
            Ok(Plan { untag: with_digests(reference, names), fate: Fate::Keep })
        }
        NamedBy::Name(_) => {
            let fate = match (user, force) {
                (None, _) => Fate::Delete,
                (Some(user), Force::No) => {
                    return Err(RemoveError::NameInUse { name: name.to_owned(), container: short(user), image });
                }
                (Some(user), Force::Yes) if user.running => Fate::Keep,
                (Some(_), Force::Yes) => Fate::Hide,
            };
            // The digests by which the repository knows the image go with its last tag.
            Ok(Plan { untag: names.to_vec(), fate })
        }
        NamedBy::Id => {
            let fate = match (user, force) {
                (Some(user), _) if user.running => {
                    return Err(RemoveError::Running { image, container: short(user) });
                }
                (_, Force::No) if !is_single(names) => {
                    return Err(RemoveError::ManyNames { image, names: names.to_vec() });
                }
                (Some(user), Force::No) => return Err(RemoveError::Stopped { image, container: short(user) }),
                (Some(_), Force::Yes) => Fate::Hide,
                (None, _) => Fate::Delete,
            };
            Ok(Plan { untag: names.to_vec(), fate })
        }
    }
}

/// As much of a container's id as texts show.
pub(crate) fn short(container_id: &str) -> String {
    container_id.chars().take(12).collect()
}

/// A name, and when it is the last tag of its repository, the digests by which that knows the image.
fn with_digests(reference: &ImageRef, names: &[ImageRef]) -> Vec<ImageRef> {
    let beside =
        |name: &ImageRef| name != reference && (name.domain(), name.path()) == (reference.domain(), reference.path());
    let is_last = reference.digest().is_none() && !names.iter().any(|name| beside(name) && name.digest().is_none());
    let goes = |name: &&ImageRef| *name == reference || (is_last && beside(name));
    names.iter().filter(goes).cloned().collect()
}

/// Whether all names are one tag at most, and digests of the same repository.
fn is_single(names: &[ImageRef]) -> bool {
    let tags = names.iter().filter(|name| name.digest().is_none()).count();
    let same = |pair: &[ImageRef]| (pair[0].domain(), pair[0].path()) == (pair[1].domain(), pair[1].path());
    tags <= 1 && names.windows(2).all(same)
}
