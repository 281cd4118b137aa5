use drua_types::{Classify, Digest, ErrorKind, Hint, ImageRef, InvalidImageRef, Platform};

use crate::storage::StorageError;
use crate::tree::TreeError;
use crate::wire::Descriptor;
use crate::{Image, Lease, Store};

/// An image could not be found by what the user calls it. Texts are Docker's: its clients match them.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// No image has this name or id.
    #[error("No such image: {name}")]
    NoSuchImage {
        /// What was asked for, with `:latest` where a tag was left out.
        name: String,
    },
    /// Several images' ids start so.
    #[error("ambiguous reference: several image ids start with `{prefix}`")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
    },
    /// The text can name no image.
    #[error(transparent)]
    Invalid(#[from] InvalidImageRef),
    /// The image is there, but not for this platform.
    #[error("image with reference {name} was found but does not provide the specified platform ({platform})")]
    Platform {
        /// What was asked for.
        name: String,
        /// The platform that was asked for.
        platform: Platform,
        /// What there is.
        available: Vec<Platform>,
    },
    /// The image's content cannot be read.
    #[error("failed to read image `{name}`")]
    Content {
        /// What was asked for.
        name: String,
        /// Why not.
        #[source]
        source: TreeError,
    },
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classify for LookupError {
    fn kind(&self) -> ErrorKind {
        match self {
            // Docker answers 404 to an ambiguous id too.
            Self::NoSuchImage { .. } | Self::Ambiguous { .. } | Self::Platform { .. } => ErrorKind::NotFound,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Content { .. } => ErrorKind::Internal,
            Self::Storage(error) => error.kind(),
        }
    }
}

impl Hint for LookupError {
    fn hints(&self) -> Vec<String> {
        match self {
            Self::Platform { available, .. } if !available.is_empty() => {
                let list: Vec<String> = available.iter().map(ToString::to_string).collect();
                vec![format!("the image is there for {}", list.join(", "))]
            }
            Self::Ambiguous { .. } => vec!["give more digits of the id".to_owned()],
            Self::Storage(error) => error.hints(),
            _ => Vec::new(),
        }
    }
}

/// How a name was understood.
#[derive(Debug)]
pub(crate) enum NamedBy {
    /// By this recorded name.
    Name(ImageRef),
    /// By id or a prefix of it.
    Id,
}

/// An image that was found.
#[derive(Debug)]
pub(crate) struct FoundImage {
    pub(crate) descriptor: Descriptor,
    pub(crate) by: NamedBy,
}

impl Store {
    /// Finds an image by reference, by id (with or without `sha256:`), or by an unambiguous prefix of its id that has at
    /// least four digits, in this order.
    ///
    /// Without a platform: the host's, or else WebAssembly, or else what is there. `wasi/wasm` finds all its spellings.
    ///
    /// # Errors
    /// [`LookupError::NoSuchImage`], [`LookupError::Ambiguous`], [`LookupError::Platform`], all of kind
    /// [`ErrorKind::NotFound`]; [`LookupError::Invalid`] for what is no reference.
    pub fn get(&self, name: &str, platform: Option<&Platform>) -> Result<Image, LookupError> {
        let found = self.find(name)?;
        let names = self.db.names_of(&found.descriptor.digest)?;
        let content = |source| LookupError::Content { name: name.to_owned(), source };
        if let Some(image) = self.describe(&found.descriptor, names, platform).map_err(content)? {
            return Ok(image);
        }
        match platform {
            Some(platform) => {
                let nodes = self.tree(&found.descriptor, None).map_err(content)?.nodes;
                let available = nodes.into_iter().map(|node| node.config.platform).collect();
                Err(LookupError::Platform { name: display_name(name), platform: platform.clone(), available })
            }
            None => Err(StorageError::Missing { digest: found.descriptor.digest }.into()),
        }
    }

    /// [`Store::get`] for whoever is about to use the image: as long as the lease lives, neither it nor its layers can be
    /// removed, by hand, by a prune or by a sweep. To be kept until a container shows that the image is used.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn acquire(&self, name: &str, platform: Option<&Platform>) -> Result<(Image, Lease), LookupError> {
        let image = self.get(name, platform)?;
        let mut lease = self.lease();
        lease.hold_image(&image.id);
        let documents = [&image.id, &image.manifest_digest, &image.config_digest];
        documents.into_iter().chain(image.chain_ids()).for_each(|digest| lease.hold(digest));
        image.layers.iter().for_each(|layer| lease.hold(&layer.digest));
        match self.db.image(&image.id)? {
            Some(_) => Ok((image, lease)),
            // Removed before it was held.
            None => Err(LookupError::NoSuchImage { name: display_name(name) }),
        }
    }

    /// An empty lease, to [hold](Lease::hold) content with.
    pub fn lease(&self) -> Lease {
        Lease::new(&self.holds)
    }

    pub(crate) fn find(&self, name: &str) -> Result<FoundImage, LookupError> {
        let by_id = |id: &Digest| -> Result<Option<FoundImage>, LookupError> {
            Ok(self.db.image(id)?.map(|descriptor| FoundImage { descriptor, by: NamedBy::Id }))
        };
        let no_such_image = || LookupError::NoSuchImage { name: display_name(name) };
        if let Ok(id) = name.parse::<Digest>() {
            return by_id(&id)?.ok_or_else(no_such_image);
        }
        let reference = name.parse::<ImageRef>();
        if let Ok(reference) = &reference
            && let Some(found) = self.find_by_reference(reference)?
        {
            return Ok(found);
        }
        let digits = name.strip_prefix("sha256:").unwrap_or(name);
        if is_id_prefix(digits) {
            match self.db.images_by_prefix(digits)?.as_slice() {
                [] => {}
                [id] => return by_id(id)?.ok_or_else(no_such_image),
                _ => return Err(LookupError::Ambiguous { prefix: name.to_owned() }),
            }
        }
        // What looks like an id is no malformed name.
        if is_id_prefix(digits) {
            Err(no_such_image())
        } else {
            Err(reference.err().map_or_else(no_such_image, Into::into))
        }
    }

    fn find_by_reference(&self, reference: &ImageRef) -> Result<Option<FoundImage>, LookupError> {
        let found = |id: &Digest, name: &ImageRef| -> Result<Option<FoundImage>, LookupError> {
            Ok(self.db.image(id)?.map(|descriptor| FoundImage { descriptor, by: NamedBy::Name(name.clone()) }))
        };
        let Some(digest) = reference.digest() else {
            return match self.db.id_of(reference)? {
                Some(id) => found(&id, reference),
                None => Ok(None),
            };
        };
        // With a digest the tag does not count, but the image must be known by the repository.
        let names = self.db.names_of(digest)?;
        let repository = (reference.domain(), reference.path());
        if let Some(name) = names.iter().find(|name| (name.domain(), name.path()) == repository) {
            return found(digest, name);
        }
        // What was compressed for a registry is known there by a digest that is no image's here.
        let pushed: ImageRef = format!("{}/{}@{digest}", reference.domain(), reference.path()).parse()?;
        match self.db.id_of(&pushed)? {
            Some(id) => found(&id, &pushed),
            None => Ok(None),
        }
    }
}

fn is_id_prefix(digits: &str) -> bool {
    (4..=64).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The name as Docker repeats it: familiar, with its tag.
fn display_name(name: &str) -> String {
    match name.parse::<ImageRef>() {
        Ok(reference) => reference.familiar(),
        Err(_) => name.chars().take(300).collect(),
    }
}
