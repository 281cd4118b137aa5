//! Dart and Flutter: `pubspec.lock`.

use super::Found;
use super::yaml::Node;
use crate::model::{Evidence, PackageKind};

/// `packages: {http: {source: hosted, version: "1.1.0", dependency: "direct main"}}`.
pub(super) fn packages(document: &Node, found: &mut Found<'_>) {
    for (name, line, entry) in document.get("packages").into_iter().flat_map(Node::entries) {
        let text = |name: &str| entry.get(name).and_then(Node::text);
        // Flutter's own parts and local paths have no release of their own.
        if !matches!(text("source"), Some("hosted" | "git")) {
            continue;
        }
        let scope = text("dependency").filter(|scope| scope.contains("dev"));
        if let Some(added) =
            found.add(PackageKind::Pub, name, text("version").unwrap_or_default(), (Evidence::Declared, "pubspec-lock"))
        {
            added.line = Some(line);
            added.package.details.extend(scope.map(|_| ("scope".to_owned(), "dev".to_owned())));
        }
    }
}
