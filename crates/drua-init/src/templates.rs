use std::collections::BTreeMap;

/// What the names of templates end with.
pub const TEMPLATE_ENDING: &str = ".j2";

/// The templates: those of this crate, and those of the user, which come first.
///
/// A template is looked for as `<stack>/<name>`, then as `<name>`; in both places the user's wins. A user's template
/// that none of ours has the name of makes one more file, unless its name begins with `_`.
#[derive(Debug, Clone, Default)]
pub struct Templates {
    user: BTreeMap<String, String>,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../templates/", $name)))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "_macros.j2",
    "_apt.j2",
    "README.Docker.md.j2",
    "compose.yaml.j2",
    "databases.j2",
    "dockerignore.j2",
    "bun/Dockerfile.j2",
    "bun/dockerignore.j2",
    "bun/watch.j2",
    "c/Dockerfile.j2",
    "c/dockerignore.j2",
    "deno/Dockerfile.j2",
    "deno/watch.j2",
    "dotnet/Dockerfile.j2",
    "dotnet/dockerignore.j2",
    "elixir/Dockerfile.j2",
    "elixir/dockerignore.j2",
    "go/Dockerfile.j2",
    "go/dockerignore.j2",
    "java/Dockerfile.j2",
    "java/dockerignore.j2",
    "node/Dockerfile.j2",
    "node/_install.j2",
    "node/dockerignore.j2",
    "node/watch.j2",
    "nginx.j2",
    "other/Dockerfile.j2",
    "php/Dockerfile.j2",
    "php/dockerignore.j2",
    "php/watch.j2",
    "python/Dockerfile.j2",
    "python/dockerignore.j2",
    "python/watch.j2",
    "ruby/Dockerfile.j2",
    "ruby/dockerignore.j2",
    "ruby/watch.j2",
    "rust/Dockerfile.j2",
    "rust/dockerignore.j2",
    "static/Dockerfile.j2",
    "static/watch.j2",
    "wasm/Dockerfile.j2",
    "watch.j2",
];

impl Templates {
    /// Templates of the user beside ours: name, with [`TEMPLATE_ENDING`] and `/` between folders, and text.
    pub fn with(user: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { user: user.into_iter().collect() }
    }

    /// Every template, the user's above ours.
    pub(crate) fn all(&self) -> BTreeMap<&str, &str> {
        let mut all: BTreeMap<&str, &str> = BUILT_IN.iter().copied().collect();
        all.extend(self.user.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        all
    }

    /// The name under which a template of a stack is found.
    pub(crate) fn find(&self, stack: &str, name: &str) -> Option<String> {
        let all = self.all();
        // A user's template for all stacks is above ours for one.
        let own = [format!("{stack}/{name}"), name.to_owned()];
        own.iter()
            .find(|name| self.user.contains_key(*name))
            .or_else(|| own.iter().find(|name| all.contains_key(name.as_str())))
            .cloned()
    }

    /// Files that only the user has templates for: their names without the ending.
    pub(crate) fn extra(&self, stacks: &[&str]) -> Vec<(String, String)> {
        let ours: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let extra = self.user.keys().filter_map(|name| {
            let plain = name.strip_suffix(TEMPLATE_ENDING)?;
            let (dir, file) = plain.rsplit_once('/').unwrap_or(("", plain));
            let of_stack = dir.is_empty() || stacks.contains(&dir.split('/').next().unwrap_or(dir));
            let known = ours.contains(&name.as_str()) || ["Dockerfile", "dockerignore", "watch"].contains(&file);
            (of_stack && !known && !file.starts_with('_')).then(|| {
                let target = stacks.iter().find_map(|stack| plain.strip_prefix(&format!("{stack}/"))).unwrap_or(plain);
                (name.clone(), target.to_owned())
            })
        });
        extra.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(dir: &std::path::Path, below: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{below}{}", path.file_name().unwrap().to_str().unwrap());
            if path.is_dir() { files(&path, &format!("{name}/"), found) } else { found.push(name) }
        }
    }

    #[test]
    fn every_template_file_is_built_in() {
        let mut found = Vec::new();
        files(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), "", &mut found);
        found.sort();
        let mut known: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        known.sort_unstable();
        assert_eq!(found, known);
    }

    #[test]
    fn a_users_template_comes_first() {
        let templates = Templates::with([
            ("Dockerfile.j2".to_owned(), "mine".to_owned()),
            ("ci.yaml.j2".to_owned(), String::new()),
        ]);
        assert_eq!(templates.find("go", "Dockerfile.j2").unwrap(), "Dockerfile.j2");
        assert_eq!(Templates::default().find("go", "Dockerfile.j2").unwrap(), "go/Dockerfile.j2");
        assert_eq!(Templates::default().find("go", "watch.j2").unwrap(), "watch.j2");
        assert_eq!(templates.extra(&["go"]), [("ci.yaml.j2".to_owned(), "ci.yaml".to_owned())]);
    }
}
