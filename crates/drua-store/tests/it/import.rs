use drua_store::Import;
use drua_types::{Classify as _, ErrorKind, Platform};

use crate::fixture::{Scratch, Tar, gzip, layer};

fn import(changes: &[&str]) -> Import {
    Import {
        name: Some("app:1".parse().unwrap()),
        changes: changes.iter().map(|change| (*change).to_owned()).collect(),
        ..Import::default()
    }
}

#[test]
fn changes_end_up_in_the_configuration() {
    let scratch = Scratch::new();
    let changes = [
        "CMD [\"/bin/sh\", \"-l\"]",
        "entrypoint /run me",
        "ENV A=1 B=\"two words\" C='x'",
        "ENV A 2 3",
        "EXPOSE 80 53/udp",
        "USER 1000:1000",
        "WORKDIR /srv",
        "WORKDIR app/../data",
        "VOLUME [\"/v1\"]",
        "VOLUME /v2 /v3",
        "LABEL k=v \"spaced key\"=\"spaced value\"",
        "STOPSIGNAL SIGQUIT",
        "ONBUILD RUN true",
    ];
    let id = scratch.store.import(&mut &*gzip(&layer("hello", "x")), import(&changes)).unwrap();
    let image = scratch.store.get("app:1", None).unwrap();
    assert_eq!((&image.id, &image.platform), (&id, &Platform::host()));
    assert_eq!(image.layers[0].media_type, "application/vnd.oci.image.layer.v1.tar+gzip");
    assert_eq!(image.docker.comment, "Imported from -");
    let config = serde_json::to_value(image.config.config()).unwrap();
    assert_eq!(
        config,
        serde_json::json!({
            "Cmd": ["/bin/sh", "-l"], "Entrypoint": ["/bin/sh", "-c", "/run me"],
            "Env": ["B=two words", "C=x", "A=2 3"], "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            "User": "1000:1000", "WorkingDir": "/srv/data", "Volumes": {"/v1": {}, "/v2": {}, "/v3": {}},
            "Labels": {"k": "v", "spaced key": "spaced value"}, "StopSignal": "SIGQUIT",
        })
    );
    assert!(scratch.store.layers(&image).unwrap()[0].join("hello").is_file());
    let history = scratch.store.history("app:1", None).unwrap();
    assert_eq!((history.len(), history[0].size, history[0].comment.as_str()), (1, 1, "Imported from -"));
    assert_eq!((history[0].id.as_ref(), history[0].tags.as_slice()), (Some(&id), ["app:1".to_owned()].as_slice()));
}

#[test]
fn a_platform_is_honoured() {
    let scratch = Scratch::new();
    let import = Import { platform: Some(Platform::wasi()), message: "mine".to_owned(), ..Import::default() };
    let id = scratch.store.import(&mut &*layer("app.wasm", "\0asm"), import).unwrap();
    let image = scratch.store.get(id.short(), None).unwrap();
    assert_eq!((image.platform, image.docker.comment, image.names.len()), (Platform::wasi(), "mine".to_owned(), 0));
}

#[test]
fn what_is_no_root_filesystem_is_refused() {
    let scratch = Scratch::new();
    let whole = Tar::new().file("a", "").file("b", "").end();
    for (bytes, expect) in [
        (&b"plainly no tar, and longer than nothing"[..], "truncated"),
        (&[b'x'; 2048][..], "invalid tar header"),
        (&b""[..], "truncated"),
        (&whole[..512], "truncated"),
        (&whole[..700], "truncated"),
    ] {
        let error = scratch.store.import(&mut &*bytes, import(&[])).unwrap_err();
        let text = drua_types::error_chain(&error);
        assert!(text.contains(expect), "{text}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        scratch.assert_empty();
    }
}

#[test]
fn bad_changes_are_refused() {
    let scratch = Scratch::new();
    for (change, expect) in [
        ("RUN true", "RUN is not a valid change command"),
        ("EXPOSE 99999", "invalid port"),
        ("ENV", "needs an argument"),
        ("ENV ALONE", "expected `NAME=value`"),
        ("LABEL a=\"open", "a quote is not closed"),
        ("STOPSIGNAL SIGNOPE", "SIGNOPE"),
    ] {
        let error = scratch.store.import(&mut &*layer("a", ""), import(&[change])).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    }
    scratch.assert_empty();
}

#[test]
fn alpine() {
    let Some(tar) = crate::fixture::real_image("alpine-minirootfs-3.20.3-x86_64.tar.gz") else { return };
    let scratch = Scratch::new();
    scratch.store.import(&mut &*tar, import(&["CMD [\"/bin/sh\"]"])).unwrap();
    let image = scratch.store.get("app:1", None).unwrap();
    let root = scratch.store.layers(&image).unwrap().remove(0);
    assert_eq!(std::fs::read_link(root.join("bin/sh")).unwrap(), std::path::Path::new("/bin/busybox"));
}
