//! All segments together.

use std::collections::{BTreeMap, BTreeSet};

use super::importer::Format;
use super::record::{Advisory, Affected, Epss, Exploited};
use super::segment::{Segment, SegmentError};
use super::{Cycle, TagGroup};

/// A lookup failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot look up `{key}` in the advisories of `{segment}`")]
pub struct DatabaseError {
    /// Name of the segment.
    pub segment: String,
    /// What was looked up.
    pub key: String,
    /// Why.
    #[source]
    pub source: SegmentError,
}

/// The segments of a database, and what can be asked of all of them.
#[derive(Debug, Default)]
pub struct Database {
    segments: Vec<Segment>,
}

/// What a segment says about a package.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Which segment, by its place.
    pub segment: usize,
    /// The versions.
    pub affected: Affected,
    /// The advisory.
    pub advisory: Advisory,
}

/// When a source's data were last changed, by its own word, and when they were imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct SourceDate {
    /// Name of the source.
    pub source: String,
    /// Date of the data; empty when they bear none.
    pub data: String,
    /// Date of the import.
    pub imported: String,
    /// Records.
    pub records: u64,
}

impl Database {
    /// A database of these segments. Where several have something to say, all are heard.
    pub fn new(mut segments: Vec<Segment>) -> Self {
        segments.sort_by(|a, b| a.info().source.cmp(&b.info().source));
        Self { segments }
    }

    /// Its segments, by name.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether there is nothing to look up.
    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// Each source with its dates, for reports.
    pub fn dates(&self) -> Vec<SourceDate> {
        let date = |segment: &Segment| {
            let info = segment.info();
            SourceDate {
                source: info.source.clone(),
                data: info.data_date.clone(),
                imported: info.imported.clone(),
                records: info.records,
            }
        };
        self.segments.iter().map(date).collect()
    }

    /// Whether any segment speaks about an ecosystem, release included.
    pub fn covers(&self, ecosystem: &str) -> bool {
        self.segments.iter().any(|segment| segment.info().ecosystems.contains_key(ecosystem))
    }

    /// The releases of a distribution that are covered, for hints.
    pub fn releases(&self, name: &str) -> BTreeSet<String> {
        let all = self.segments.iter().flat_map(|segment| segment.info().ecosystems.keys());
        all.filter(|ecosystem| ecosystem.split(':').next() == Some(name)).cloned().collect()
    }

    /// Whether a segment holds data of a shape: whether EPSS can be asked, for example.
    pub fn has(&self, format: Format) -> bool {
        self.segments.iter().any(|segment| segment.has(format))
    }

    /// Everything that is said about a package under its normalised name.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn affected(&self, ecosystem: &str, name: &str) -> Result<Vec<Hit>, DatabaseError> {
        let mut hits = Vec::new();
        for (index, segment) in self.segments.iter().enumerate() {
            if !segment.info().ecosystems.contains_key(ecosystem) {
                continue;
            }
            let fail = |source| failed(segment, &format!("{ecosystem} {name}"), source);
            for affected in segment.affected(ecosystem, name).map_err(fail)? {
                let advisory = segment.advisory(&affected.id).map_err(fail)?.unwrap_or_default();
                hits.push(Hit { segment: index, affected, advisory });
            }
        }
        Ok(hits)
    }

    /// Advisories under an id or an alias, with the name of the source of each.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn advisories(&self, id: &str) -> Result<Vec<(&str, Advisory)>, DatabaseError> {
        let mut found = BTreeMap::new();
        for segment in &self.segments {
            let fail = |source| failed(segment, id, source);
            let source = segment.info().source.as_str();
            let mut ids = segment.aliases(id).map_err(fail)?;
            ids.push(id.to_owned());
            for id in ids {
                if let Some(advisory) = segment.advisory(&id).map_err(fail)? {
                    found.insert((source, id), advisory);
                }
            }
        }
        Ok(found.into_iter().map(|((source, _), advisory)| (source, advisory)).collect())
    }

    /// Whether a vulnerability is known to be exploited.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn exploited(&self, id: &str) -> Result<Option<Exploited>, DatabaseError> {
        self.first(id, |segment| segment.exploited(id))
    }

    /// How likely somebody tries.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn epss(&self, id: &str) -> Result<Option<Epss>, DatabaseError> {
        self.first(id, |segment| segment.epss(id))
    }

    /// A product's release cycles, the newest first.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn cycles(&self, product: &str) -> Result<Vec<Cycle>, DatabaseError> {
        let found = self.first(product, |segment| segment.cycles(product).map(non_empty))?;
        Ok(found.unwrap_or_default())
    }

    /// An official image's tags.
    ///
    /// # Errors
    /// A segment is damaged.
    pub fn images(&self, repository: &str) -> Result<Vec<TagGroup>, DatabaseError> {
        let found = self.first(repository, |segment| segment.images(repository).map(non_empty))?;
        Ok(found.unwrap_or_default())
    }

    fn first<T>(
        &self,
        key: &str,
        ask: impl Fn(&Segment) -> Result<Option<T>, SegmentError>,
    ) -> Result<Option<T>, DatabaseError> {
        for segment in &self.segments {
            if let Some(found) = ask(segment).map_err(|source| failed(segment, key, source))? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn non_empty<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

fn failed(segment: &Segment, key: &str, source: SegmentError) -> DatabaseError {
    DatabaseError { segment: segment.info().source.clone(), key: key.to_owned(), source }
}
