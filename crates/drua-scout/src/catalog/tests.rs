use super::*;

/// What a file says, as `kind name version` lines.
#[track_caller]
fn check(path: &str, bytes: impl AsRef<[u8]>, expected: &[&str]) -> Vec<Note> {
    let limits = Limits::default();
    let mut found = Found::new(path, &limits);
    let cataloger = for_path(path).expect("a path that is known");
    cataloger(&Input { path, bytes: bytes.as_ref() }, &mut found);
    let said: Vec<String> = found
        .packages
        .iter()
        .map(|found| format!("{} {} {}", found.package.kind, found.package.name, found.package.version))
        .collect();
    assert_eq!(said, expected, "{path}: {:?}", found.notes);
    found.finish().1
}

#[test]
fn dpkg() {
    let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nSource: bash (5.2)\nVersion: 5.2-2+b7\n\n\
                  Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: half\nStatus: install ok half-configured\nVersion: 1:2\n";
    check("/var/lib/dpkg/status", status, &["deb bash 5.2-2+b7", "deb half 1:2"]);
    check("/var/lib/dpkg/status.d/tzdata", "Package: tzdata\nVersion: 2024a-0\n", &["deb tzdata 2024a-0"]);
}

#[test]
fn apk() {
    let installed =
        "C:Q1x\nP:musl\nV:1.2.5-r0\nA:x86_64\nL:MIT\no:musl\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:zlib\nV:1.3.1-r1\n";
    check("/lib/apk/db/installed", installed, &["apk musl 1.2.5-r0", "apk zlib 1.3.1-r1"]);
    let notes = check("/lib/apk/db/installed", "V:1\n\nP:a\nV:2\n", &["apk a 2"]);
    assert_eq!(notes.len(), 1);
}

#[test]
fn alpm() {
    let desc = "%NAME%\nacl\n\n%VERSION%\n2.3.2-1\n\n%BASE%\nacl\n\n%ARCH%\nx86_64\n\n%LICENSE%\nLGPL\n";
    check("/var/lib/pacman/local/acl-2.3.2-1/desc", desc, &["alpm acl 2.3.2-1"]);
}

#[test]
fn javascript() {
    check(
        "/a/node_modules/@b/c/package.json",
        r#"{"name":"@b/c","version":"1.0.0","license":"MIT"}"#,
        &["npm @b/c 1.0.0"],
    );
    check("/a/package.json", r#"{"name":"{{x}}","version":"1.0.0"}"#, &[]);
    check("/a/package.json", "not json", &[]);
    let lock = r#"{"lockfileVersion":3,"packages":{"":{"name":"app"},"node_modules/a":{"version":"1.0.0"},
        "node_modules/a/node_modules/@b/c":{"version":"2.0.0"},"node_modules/w":{"link":true}}}"#;
    check("/a/package-lock.json", lock, &["npm a 1.0.0", "npm @b/c 2.0.0"]);
    let old =
        r#"{"lockfileVersion":1,"dependencies":{"a":{"version":"1.0.0","dependencies":{"b":{"version":"2.0.0"}}}}}"#;
    check("/a/package-lock.json", old, &["npm a 1.0.0", "npm b 2.0.0"]);
    let yarn = "# yarn lockfile v1\n\n\"@babel/core@^7.0.0\", \"@babel/core@^7.1.0\":\n  version \"7.23.0\"\n\nlodash@^4:\n  version \"4.17.21\"\n";
    check("/a/yarn.lock", yarn, &["npm @babel/core 7.23.0", "npm lodash 4.17.21"]);
    let berry = "__metadata:\n  version: 6\n\n\"lodash@npm:^4.17.21\":\n  version: 4.17.21\n\n\"app@workspace:.\":\n  version: 0.0.0-use.local\n";
    check("/a/yarn.lock", berry, &["npm lodash 4.17.21"]);
    let pnpm = "lockfileVersion: '9.0'\npackages:\n  '@babel/core@7.23.0':\n    resolution: {integrity: x}\n  lodash@4.17.21(peer@1.0.0):\n    resolution: {integrity: y}\n  /old/1.2.3_x@1.0.0:\n    dev: true\n";
    check("/a/pnpm-lock.yaml", pnpm, &["npm @babel/core 7.23.0", "npm lodash 4.17.21", "npm old 1.2.3"]);
    check(
        "/a/bun.lock",
        "{\"packages\": {\"lodash\": [\"lodash@4.17.21\", \"\", {}, \"sha\",],},}",
        &["npm lodash 4.17.21"],
    );
    check(
        "/a/deno.lock",
        r#"{"version":"4","npm":{"chalk@5.3.0":{},"@a/b@1.0.0_c@2.0.0":{}}}"#,
        &["npm @a/b 1.0.0", "npm chalk 5.3.0"],
    );
}

#[test]
fn python() {
    check(
        "/l/site-packages/Flask-2.0.1.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: Flask\nVersion: 2.0.1\nLicense: BSD-3-Clause\n\ntext",
        &["pypi Flask 2.0.1"],
    );
    check("/l/six-1.16.0.egg-info", "Name: six\nVersion: 1.16.0\n", &["pypi six 1.16.0"]);
    check("/l/odd-1.0.dist-info/METADATA", "", &["pypi odd 1.0"]);
    check(
        "/a/poetry.lock",
        "[[package]]\nname = \"a\"\nversion = \"1.0\"\n[package.dependencies]\nb = \"*\"\n",
        &["pypi a 1.0"],
    );
    check(
        "/a/uv.lock",
        "version = 1\n[[package]]\nname = \"me\"\nversion = \"0.1\"\nsource = { virtual = \".\" }\n[[package]]\nname = \"b\"\nversion = \"2\"\nsource = { registry = \"x\" }\n",
        &["pypi b 2"],
    );
    check(
        "/a/Pipfile.lock",
        r#"{"default":{"a":{"version":"==1.2"}},"develop":{"b":{"version":"==3"}}}"#,
        &["pypi a 1.2", "pypi b 3"],
    );
    check(
        "/a/requirements.txt",
        "a==1.0 ; python_version > '3'\nb>=2\nc[x]==2.* \n# d==1\ne==3 --hash=x\n",
        &["pypi a 1.0", "pypi e 3"],
    );
}

#[test]
fn others() {
    check(
        "/a/Cargo.lock",
        "version = 4\n[[package]]\nname = \"serde\"\nversion = \"1.0.0\"\nsource = \"registry+x\"\n",
        &["cargo serde 1.0.0"],
    );
    check(
        "/a/go.mod",
        "module m\nrequire (\n\tgithub.com/a/b v1.2.3\n\tc v0.1.0 // indirect\n)\nrequire d v2.0.0\n",
        &["golang github.com/a/b v1.2.3", "golang c v0.1.0", "golang d v2.0.0"],
    );
    check(
        "/g/specifications/rack-2.2.3.gemspec",
        "Gem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"2.2.3\"\n  s.licenses = [\"MIT\".freeze]\n",
        &["gem rack 2.2.3"],
    );
    check(
        "/a/Gemfile.lock",
        "GEM\n  specs:\n    rails (7.1.3)\n      rack (>= 2)\n    nokogiri (1.16.0-x86_64-linux)\n\nPLATFORMS\n  ruby\n",
        &["gem rails 7.1.3", "gem nokogiri 1.16.0"],
    );
    check(
        "/v/vendor/composer/installed.json",
        r#"{"packages":[{"name":"a/b","version":"v1.2.3","license":["MIT"]}]}"#,
        &["composer a/b 1.2.3"],
    );
    check(
        "/a/composer.lock",
        r#"{"packages":[{"name":"a/b","version":"1.0"}],"packages-dev":[{"name":"c/d","version":"2.0"}]}"#,
        &["composer a/b 1.0", "composer c/d 2.0"],
    );
    check(
        "/a/App.deps.json",
        r#"{"libraries":{"Newtonsoft.Json/13.0.1":{"type":"package"}}}"#,
        &["nuget Newtonsoft.Json 13.0.1"],
    );
    check("/a/packages.lock.json", r#"{"dependencies":{"net8.0":{"A":{"resolved":"1.0.0"}}}}"#, &["nuget A 1.0.0"]);
    check("/a/packages.config", "<packages>\n<package id=\"A\" version=\"1.0\" />\n</packages>", &["nuget A 1.0"]);
    check("/a/conan.lock", r#"{"requires":["zlib/1.2.13#abc%1.2"],"build_requires":[]}"#, &["conan zlib 1.2.13"]);
    check("/a/conanfile.txt", "[requires]\nzlib/1.2.13\nfmt/[>=9]\n\n[generators]\nx\n", &["conan zlib 1.2.13"]);
    check(
        "/a/mix.lock",
        "%{\n  \"jason\": {:hex, :jason, \"1.4.1\", \"x\", [:mix], [], \"hexpm\", \"y\"},\n}",
        &["hex jason 1.4.1"],
    );
    check(
        "/a/rebar.lock",
        "{\"1.2.0\",\n[{<<\"cowboy\">>,{pkg,<<\"cowboy\">>,<<\"2.9.0\">>},0}]}.",
        &["hex cowboy 2.9.0"],
    );
    check(
        "/l/jason/ebin/jason.app",
        "{application, jason,\n [{description,\"x\"},\n  {vsn,\"1.4.1\"}]}.",
        &["hex jason 1.4.1"],
    );
    check(
        "/a/pubspec.lock",
        "packages:\n  http:\n    dependency: \"direct main\"\n    source: hosted\n    version: \"1.1.0\"\n  flutter:\n    source: sdk\n    version: \"0.0.0\"\n",
        &["pub http 1.1.0"],
    );
    check(
        "/a/Podfile.lock",
        "PODS:\n  - Alamofire (5.8.1)\n  - B (1.0):\n    - Alamofire\n",
        &["cocoapods Alamofire 5.8.1", "cocoapods B 1.0"],
    );
    check(
        "/a/Package.resolved",
        r#"{"pins":[{"location":"https://github.com/apple/swift-nio.git","state":{"version":"2.0.0"}}],"version":2}"#,
        &["swift github.com/apple/swift-nio 2.0.0"],
    );
    check(
        "/a/pom.xml",
        "<project><properties><v>2.0</v></properties><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>${v}</version></dependency></dependencies></project>",
        &["maven g:a 2.0"],
    );
    check("/a/gradle.lockfile", "# x\norg.a:b:1.0=compileClasspath\nempty=\n", &["maven org.a:b 1.0"]);
    check(
        "/usr/lib/jvm/java-17/release",
        "IMPLEMENTOR=\"Eclipse Adoptium\"\nJAVA_VERSION=\"17.0.9\"\nJAVA_RUNTIME_VERSION=\"17.0.9+9\"\n",
        &["generic openjdk 17.0.9+9"],
    );
    check(
        "/usr/lib/php/.registry/redis.reg",
        "a:2:{s:4:\"name\";s:5:\"redis\";s:7:\"channel\";s:12:\"pecl.php.net\";s:7:\"version\";a:2:{s:7:\"release\";s:5:\"6.0.2\";}}",
        &["composer pecl.php.net/redis 6.0.2"],
    );
}

#[test]
fn hostile_names_are_left_out() {
    let notes = check("/a/node_modules/x/package.json", r#"{"name":"a\u001b[31mb","version":"1.0.0"}"#, &[]);
    assert!(notes.iter().all(|note| !note.text.contains('\u{1b}')) && notes.len() == 1, "{notes:?}");
}

#[test]
fn damaged_files_leave_a_note() {
    for path in [
        "/a/package-lock.json",
        "/a/Cargo.lock",
        "/a/pnpm-lock.yaml",
        "/v/composer/installed.json",
        "/var/lib/rpm/Packages",
        "/var/lib/rpm/Packages.db",
        "/usr/lib/sysimage/rpm/rpmdb.sqlite",
    ] {
        assert!(!check(path, b"\xff\xfe{[", &[]).is_empty(), "{path}");
    }
}

/// A ZIP with stored entries.
fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = u32::try_from(bytes.len()).expect("small");
        let sizes = [u32::try_from(content.len()).expect("small").to_le_bytes(); 2].concat();
        let lengths = [u16::try_from(name.len()).expect("short").to_le_bytes(), [0, 0]].concat();
        bytes.extend([b"PK\x03\x04".as_slice(), &[0; 14], &sizes, &lengths, name.as_bytes(), content].concat());
        directory.extend(
            [b"PK\x01\x02".as_slice(), &[0; 16], &sizes, &lengths, &[0; 12], &offset.to_le_bytes(), name.as_bytes()]
                .concat(),
        );
    }
    let count = u16::try_from(entries.len()).expect("few").to_le_bytes();
    let place = [
        u32::try_from(directory.len()).expect("small").to_le_bytes(),
        u32::try_from(bytes.len()).expect("small").to_le_bytes(),
    ]
    .concat();
    [bytes, directory, [b"PK\x05\x06".as_slice(), &[0; 4], &count, &count, &place, &[0, 0]].concat()].concat()
}

#[track_caller]
fn check_archive(name: &str, bytes: &[u8], expected: &[&str]) -> Vec<Note> {
    let limits = Limits { depth: 4, inflated_bytes: 1 << 20, ..Limits::default() };
    let mut found = Found::new(name, &limits);
    archive(&Input { path: name, bytes }, &mut found);
    let said: Vec<String> = found
        .packages
        .iter()
        .map(|found| format!("{} {}@{}", found.package.name, found.package.version, found.inside))
        .collect();
    assert_eq!(said, expected);
    found.finish().1
}

#[test]
fn jars_in_jars() {
    let inner = zip(&[("META-INF/maven/g/a/pom.properties", b"groupId=g\nartifactId=a\nversion=1.0\n")]);
    let by_name = zip(&[("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\nImplementation-Vendor-Id: org.x\n")]);
    let outer = zip(&[
        ("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\nImplementation-Version: 3\n"),
        ("BOOT-INF/lib/a-1.0.jar", &inner),
        ("lib/b-2.1.jar", &by_name),
    ]);
    check_archive("/app.jar", &outer, &["app 3@", "g:a 1.0@BOOT-INF/lib/a-1.0.jar", "org.x:b 2.1@lib/b-2.1.jar"]);
}

#[test]
fn jar_loops_and_bombs_end() {
    let mut jar = zip(&[("META-INF/MANIFEST.MF", b"Manifest-Version: 1.0\nImplementation-Version: 1\n")]);
    for _ in 0..10 {
        jar = zip(&[("a.jar", &jar)]);
    }
    let notes = check_archive("/loop.jar", &jar, &[]);
    assert!(notes.iter().any(|note| note.text.contains("nested")), "{notes:?}");
    let big = vec![b'a'; 2 << 20];
    let bomb = zip(&[("b.jar", &big)]);
    assert!(check_archive("/bomb.jar", &bomb, &[]).iter().any(|note| note.text.contains("too large")));
    let mut cut = zip(&[("META-INF/MANIFEST.MF", b"x: y\n")]);
    cut.truncate(cut.len() - 3);
    check_archive("/cut.jar", &cut, &[]);
}

mod hostile {
    use proptest::prelude::*;

    use super::*;

    const PATHS: [&str; 26] = [
        "/var/lib/dpkg/status",
        "/lib/apk/db/installed",
        "/var/lib/rpm/Packages",
        "/var/lib/rpm/Packages.db",
        "/var/lib/rpm/rpmdb.sqlite",
        "/a/package.json",
        "/a/package-lock.json",
        "/a/yarn.lock",
        "/a/pnpm-lock.yaml",
        "/a/bun.lock",
        "/x.dist-info/METADATA",
        "/a/poetry.lock",
        "/a/requirements.txt",
        "/a/go.mod",
        "/g/specifications/x.gemspec",
        "/a/Gemfile.lock",
        "/php/.registry/x.reg",
        "/a/packages.config",
        "/a/conanfile.txt",
        "/a/mix.lock",
        "/a/rebar.lock",
        "/l/ebin/x.app",
        "/a/pubspec.lock",
        "/a/pom.xml",
        "/a/gradle.lockfile",
        "/etc/os-release",
    ];

    const MAGICS: &[&[u8]] = &[
        b"SQLite format 3\0",
        b"RpmP",
        b"\0asm\x01\0\0\0",
        b"\0asm\x0d\0\x01\0",
        b"\x7fELF\x02\x01\x01",
        b"MZ",
        b"PK\x05\x06",
        b"PK\x03\x04",
    ];

    fn run(path: &str, bytes: &[u8]) {
        let limits = Limits::default();
        let mut found = Found::new(path, &limits);
        if let Some(cataloger) = for_path(path) {
            cataloger(&Input { path, bytes }, &mut found);
        }
        program(&Input { path: "/usr/bin/redis-server", bytes }, &mut found);
        archive(&Input { path: "/a.jar", bytes }, &mut found);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_panics(path in prop::sample::select(&PATHS[..]), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            run(path, &bytes);
        }

        #[test]
        fn nothing_panics_behind_a_magic(
            path in prop::sample::select(&PATHS[..]),
            magic in prop::sample::select(MAGICS),
            bytes in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            run(path, &[magic, &bytes].concat());
        }

        #[test]
        fn nothing_panics_on_text(path in prop::sample::select(&PATHS[..]), text in "[a-z0-9 :=\\[\\](){}\"'@/.,\\n\\-%<>|#]{0,300}") {
            run(path, text.as_bytes());
        }
    }
}
