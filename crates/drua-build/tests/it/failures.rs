use drua_build::Received;

use crate::fixture::Fixture;

#[test]
fn mistakes_are_found_before_anything_is_done() {
    let fixture = Fixture::new();
    for (file, expected) in [
        ("FROM scratch AS a\nCOPY --from=b / /\nFROM scratch AS b\nCOPY --from=a / /\n", "circular dependency"),
        ("FROM scratch\nCOPY --from=4 / /\n", "invalid from flag value 4"),
        ("ARG E\nFROM $E\n", "should not be blank"),
        ("# syntax=example/frontend\nFROM scratch\n", "is not supported"),
        ("FROM --platform=no/such/platform/x scratch\n", "is not a platform"),
        ("FROM nowhere/at:all\nRUN x\n", "failed to resolve image"),
        ("FROM scratch\nENV A=\"${B:?must be set}\"\n", "B: must be set"),
        ("FROM scratch\nEXPOSE 99999\n", "invalid containerPort"),
        ("FROM scratch\nSTOPSIGNAL NOSUCH\n", "Invalid signal"),
        ("FROM scratch\nRUN --mount=type=secret,id=x,required put /a b\n", "secret x: not found"),
        ("FROM scratch\nRUN --security=insecure put /a b\n", "not allowed"),
        ("FROM scratch\nRUN --network=host put /a b\n", "not allowed"),
    ] {
        let error = fixture.build(file).error();
        assert!(error.contains(expected), "{file}: {error}");
    }
    let target = fixture.build_with("FROM scratch AS build\n", |request| request.target = Some("biuld".to_owned()));
    assert!(target.error().contains("did you mean build?"), "{}", target.error());
    assert_eq!(fixture.runner.runs.load(std::sync::atomic::Ordering::Relaxed), 0);
}

#[test]
fn a_failed_command_says_where_and_what() {
    let fixture = Fixture::new();
    let failed =
        fixture.build("FROM scratch\nRUN put /done 1\nRUN <<EOF\nwhat is this\nexit 9\nEOF\nRUN put /never 1\n");
    let failure = failed.result.as_ref().unwrap_err();
    assert_eq!(failure.error.exit_code(), Some(9));
    assert!(failure.excerpt.contains("   3 | >>> RUN <<EOF\n   4 | >>> what is this"), "{}", failure.excerpt);
    assert_eq!(failure.output[0], "[\"what\", \"is\", \"this\"]");
    let again = fixture.build("FROM scratch\nRUN put /done 1\nRUN put /now 2\n");
    assert_eq!(again.cached, 1, "what was done is kept");
    // Nothing half done lies about.
    assert_eq!(std::fs::read_dir(fixture.data().join("build/tmp")).unwrap().count(), 0);
}

#[test]
fn unneeded_stages_are_not_built() {
    let fixture = Fixture::new();
    let file = "FROM scratch AS a\nRUN put /a 1\nFROM scratch AS b\nRUN exit 1\nFROM a\nRUN put /c 1\n";
    fixture.build(file).ok();
    assert!(fixture.build_with(file, |request| request.target = Some("b".to_owned())).result.is_err());
}

#[test]
fn uploaded_contexts_are_unpacked_within_limits() {
    let fixture = Fixture::new();
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |kind, path: &str, link: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        // Past the crate's own checks: an attacker has none.
        header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    add(tar::EntryType::Regular, "../../escape", "", b"x");
    add(tar::EntryType::Symlink, "out", "../../../..", b"");
    add(tar::EntryType::Regular, "out/planted", "", b"x");
    add(tar::EntryType::Regular, "/abs", "", b"x");
    let bytes = tar.into_inner().unwrap();
    let Received::Dir(dir) = fixture.builder.receive_context(&bytes[..]).unwrap() else { panic!("no directory") };
    assert!(dir.path.join("escape").exists() && dir.path.join("abs").exists() && dir.path.join("planted").exists());
    assert!(!fixture.dir.path().join("planted").exists() && !std::path::Path::new("/abs").exists());
    fixture.builder.release_context(&dir);
    assert!(!dir.path.exists());
    assert!(fixture.builder.receive_context(&bytes[..700]).is_err(), "cut off");
    assert!(matches!(fixture.builder.receive_context(&b"FROM scratch\n"[..]).unwrap(), Received::Text(_)));
    assert!(fixture.builder.receive_context(&[0x1f, 0x8b, 8, 0, 1, 2, 3][..]).is_err());
}
