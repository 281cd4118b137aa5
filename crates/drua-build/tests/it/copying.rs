use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use crate::fixture::Fixture;

/// Where things end up, by the rules of the Dockerfile reference.
#[test]
fn destinations() {
    let fixture = Fixture::new();
    fixture.context(&[("f", "f"), ("g", "g"), ("d/x", "x"), ("d/sub/y", "y"), ("w1.txt", "1"), ("w2.txt", "2")]);
    for (instruction, expected) in [
        ("COPY f /new", "new"),
        ("COPY f /dir/", "dir/f"),
        ("COPY f g /dir/", "dir/g"),
        ("COPY d /e", "e/sub/y"),
        ("COPY d/ /e/", "e/x"),
        ("COPY . /all/", "all/d/sub/y"),
        ("COPY /f /abs", "abs"),
        ("COPY ../../f /dots", "dots"),
        ("COPY *.txt /w/", "w/w2.txt"),
        ("COPY d/s* /s/", "s/y"),
        ("COPY --parents d/sub/y /p/", "p/d/sub/y"),
        ("COPY --parents d/./sub/y /p/", "p/sub/y"),
        ("COPY --parents **/y /p/", "p/d/sub/y"),
        ("WORKDIR /work\nCOPY f here", "work/here"),
        ("WORKDIR /work\nCOPY f .", "work/f"),
        ("WORKDIR /work\nCOPY d ./", "work/x"),
        ("ENV D=/from-env\nCOPY f $D/", "from-env/f"),
        ("COPY [\"f\", \"/with space/\"]", "with space/f"),
        ("ADD f /added", "added"),
        ("COPY <<a.conf <<b.conf /etc/\nA\na.conf\nB\nb.conf", "etc/b.conf"),
        ("RUN put /there/old x\nCOPY f /there", "there/f"),
        ("RUN put /there/old x\nCOPY f /there", "there/old"),
    ] {
        let built = fixture.build(&format!("FROM scratch\n{instruction}\n"));
        assert!(fixture.file(&built.id(), expected).is_some(), "{instruction}: no {expected}");
    }
}

#[test]
fn owners_modes_links_and_times() {
    let fixture = Fixture::new();
    let dir = fixture.context(&[("d/f", "f"), ("d/sub/x", "x"), ("d/skip.log", "no")]);
    symlink("/etc/passwd", dir.join("d/link")).unwrap();
    std::fs::set_permissions(dir.join("d/f"), std::fs::Permissions::from_mode(0o4751)).unwrap();
    std::os::unix::fs::chown(dir.join("d/f"), Some(77), Some(77)).unwrap();
    let built =
        fixture.build("FROM scratch\nCOPY d /plain/\nCOPY --chown=1:2 --chmod=u=rwX,go= --exclude=*.log d /set/\n");
    let stat =
        |path: &str| fixture.file(&built.id(), path).unwrap_or_else(|| panic!("{path}")).symlink_metadata().unwrap();
    assert_eq!(
        (stat("plain/f").uid(), stat("plain/f").mode() & 0o7777),
        (0, 0o751),
        "owners of a context do not count"
    );
    assert_eq!(stat("plain/f").mtime(), dir.join("d/f").metadata().unwrap().mtime());
    assert!(stat("plain/link").is_symlink());
    assert_eq!((stat("set/f").uid(), stat("set/f").gid(), stat("set/f").mode() & 0o7777), (1, 2, 0o700));
    assert_eq!(stat("set/sub").mode() & 0o7777, 0o700);
    assert_eq!(stat("set/sub/x").mode() & 0o7777, 0o600);
    assert!(fixture.file(&built.id(), "set/skip.log").is_none());
}

#[test]
fn names_of_owners_come_from_the_stage() {
    let fixture = Fixture::new();
    fixture.context(&[("f", "f"), ("passwd", "web:x:33:34::/:\n"), ("group", "www:x:35:\n")]);
    let built =
        fixture.build("FROM scratch\nCOPY passwd group /etc/\nCOPY --chown=web:www f /f\nCOPY --chown=web f /g\n");
    let owner = |path: &str| {
        let stat = fixture.file(&built.id(), path).unwrap().metadata().unwrap();
        (stat.uid(), stat.gid())
    };
    assert_eq!((owner("f"), owner("g")), ((33, 35), (33, 33)));
    let error = fixture.build("FROM scratch\nCOPY --chown=nobody f /\n").error();
    assert!(error.contains("unable to find user nobody"), "{error}");
}

#[test]
fn nothing_leaves_the_context_or_the_image() {
    let fixture = Fixture::new();
    let outside = fixture.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    let dir = fixture.context(&[("f", "f"), ("in/f", "in")]);
    symlink(&outside, dir.join("out")).unwrap();
    symlink("../../outside/secret", dir.join("up")).unwrap();
    symlink("/in", dir.join("absolute")).unwrap();
    for source in ["out/secret", "up", "../outside/secret"] {
        let error = fixture.build(&format!("FROM scratch\nCOPY {source} /x\n")).error();
        assert!(error.contains("not found"), "{source}: {error}");
    }
    let built = fixture.build("FROM scratch\nCOPY absolute/f /x\n");
    assert_eq!(fixture.text(&built.id(), "x"), "in", "a link is followed inside the context");
    // A stage that has a link to the outside is no way out, either.
    let target = outside.display();
    let built =
        fixture.build(&format!("FROM scratch AS a\nCOPY --link f /f\nFROM a\nRUN put /x y\nCOPY f {target}/planted\n"));
    built.ok();
    assert!(!outside.join("planted").exists());
    let link = dir.join("rootlink");
    symlink(&outside, &link).unwrap();
    fixture.build("FROM scratch\nCOPY . /\nCOPY f /rootlink/planted\n");
    assert!(!outside.join("planted").exists(), "links in the image stay in the image");
}

#[test]
fn ignored_files_are_not_there() {
    let fixture = Fixture::new();
    fixture.context(&[
        ("keep/a", "a"),
        ("drop/b", "b"),
        ("drop/back", "c"),
        (".dockerignore", "drop\n!drop/back\nDockerfile\n"),
    ]);
    let built = fixture.build("FROM scratch\nCOPY . /\n");
    let has = |path: &str| fixture.file(&built.id(), path).is_some();
    assert!(has("keep/a") && has("drop/back") && !has("drop/b") && !has("Dockerfile"));
    let error = fixture.build("FROM scratch\nCOPY drop/b /\n").error();
    assert!(error.contains("excluded by .dockerignore"), "{error}");
    fixture.context(&[("Dockerfile.dockerignore", "keep\n")]);
    let built = fixture.build("FROM scratch\nCOPY . /\n");
    assert!(fixture.file(&built.id(), "drop/b").is_some(), "the Dockerfile's own file wins");
}

#[test]
fn kinds_that_do_not_fit() {
    let fixture = Fixture::new();
    fixture.context(&[("f", "f"), ("d/x/y", "y"), ("e/x", "file")]);
    for (file, expected) in [
        ("COPY d /t/\nCOPY e /t/", "cannot copy to directory"),
        ("COPY e /t/\nCOPY d /t/", "cannot copy to non-directory"),
        ("COPY f /t\nCOPY f /t/", "not a directory"),
        ("COPY --chmod=999 f /", "invalid chmod parameter"),
        ("COPY [abc /", "syntax error in pattern"),
    ] {
        let error = fixture.build(&format!("FROM scratch\n{file}\n")).error();
        assert!(error.to_lowercase().contains(expected), "{file}: {error}");
    }
}
