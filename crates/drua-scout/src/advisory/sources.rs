//! The feeds that drua knows by name. Nothing is downloaded unless somebody asks.

/// A feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Its name in `drua scout db update NAME`.
    pub name: &'static str,
    /// Where it is published.
    pub url: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Under which terms it comes.
    pub license: &'static str,
}

macro_rules! osv {
    ($name:literal, $ecosystem:literal, $about:literal) => {
        Source {
            name: concat!("osv-", $name),
            url: concat!("https://osv-vulnerabilities.storage.googleapis.com/", $ecosystem, "/all.zip"),
            about: $about,
            license: "by record: CC-BY 4.0, CC0, MIT and others; see osv.dev",
        }
    };
}

/// Every feed with a name, in the order of `db status`.
pub const SOURCES: &[Source] = &[
    osv!("crates", "crates.io", "Rust crates (RustSec, GitHub)"),
    osv!("go", "Go", "Go modules and the standard library"),
    osv!("npm", "npm", "JavaScript packages (GitHub, malicious packages)"),
    osv!("pypi", "PyPI", "Python packages (PyPA, GitHub)"),
    osv!("maven", "Maven", "Java packages"),
    osv!("nuget", "NuGet", ".NET packages"),
    osv!("rubygems", "RubyGems", "Ruby gems"),
    osv!("packagist", "Packagist", "PHP packages"),
    osv!("hex", "Hex", "Erlang and Elixir packages"),
    osv!("pub", "Pub", "Dart packages"),
    osv!("swift", "SwiftURL", "Swift packages"),
    osv!("conan", "ConanCenter", "C and C++ packages"),
    osv!("github-actions", "GitHub%20Actions", "GitHub actions"),
    osv!("bitnami", "Bitnami", "server programs, whoever built them"),
    osv!("alpine", "Alpine", "Alpine Linux, by OSV"),
    osv!("almalinux", "AlmaLinux", "AlmaLinux errata"),
    osv!("rocky", "Rocky%20Linux", "Rocky Linux errata"),
    osv!("redhat", "Red%20Hat", "Red Hat Enterprise Linux"),
    osv!("suse", "SUSE", "SUSE Linux Enterprise"),
    osv!("opensuse", "openSUSE", "openSUSE Leap and Tumbleweed"),
    osv!("ubuntu", "Ubuntu", "Ubuntu, Pro included"),
    Source {
        name: "debian",
        url: "https://security-tracker.debian.org/tracker/data/json",
        about: "Debian's security tracker: every release, fixed or not",
        license: "MIT",
    },
    Source {
        name: "alpine-3.22",
        url: "https://secdb.alpinelinux.org/v3.22/main.json",
        about: "Alpine 3.22's own database (main)",
        license: "none stated",
    },
    Source {
        name: "wolfi",
        url: "https://packages.wolfi.dev/os/security.json",
        about: "Wolfi's own database",
        license: "Chainguard's; by reference only, never shipped with drua",
    },
    Source {
        name: "chainguard",
        url: "https://packages.cgr.dev/chainguard/security.json",
        about: "Chainguard's own database",
        license: "Chainguard's; by reference only, never shipped with drua",
    },
    Source {
        name: "kev",
        url: "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
        about: "vulnerabilities that are known to be exploited (CISA)",
        license: "CC0",
    },
    Source {
        name: "epss",
        url: "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz",
        about: "how likely a vulnerability is used within 30 days (FIRST)",
        license: "free to use, with attribution",
    },
    Source {
        name: "endoflife",
        url: "https://endoflife.date/api/v1/products/full",
        about: "until when products get fixes",
        license: "MIT",
    },
];

impl Source {
    /// The feed of a name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SOURCES.iter().find(|source| source.name == name)
    }

    /// For OSV's exports: the list of what changed when, for an update that loads only that, and where a record lies.
    pub fn increments(&self) -> Option<(String, String)> {
        let base = self.url.strip_suffix("/all.zip").filter(|_| self.name.starts_with("osv-"))?;
        Some((format!("{base}/modified_id.csv"), base.to_owned()))
    }
}
