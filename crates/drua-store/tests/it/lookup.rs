use drua_types::{Classify as _, ErrorKind};

use crate::fixture::{Oci, Scratch, layer};

#[test]
fn by_name_id_and_prefix() {
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("repo/x:1", vec![layer("a", "")]).archive());
    scratch.store.tag("repo/x:1", &"x".parse().unwrap()).unwrap();
    let id = &image.id;
    let by_digest = format!("repo/x@{id}");
    for name in [
        "x",
        "x:latest",
        "docker.io/library/x",
        "repo/x:1",
        id.as_str(),
        id.hex(),
        id.short(),
        &id.hex()[..4],
        &by_digest,
    ] {
        assert_eq!(scratch.store.get(name, None).unwrap().id, *id, "{name}");
    }
    assert_eq!(scratch.store.get(&format!("sha256:{}", id.short()), None).unwrap().id, *id);
    assert_eq!(image.names.len(), 1);
    assert_eq!(scratch.store.get("x", None).unwrap().repo_digests.len(), 2);
}

#[test]
fn texts_that_clients_match() {
    let scratch = Scratch::new();
    let check = |name: &str, kind: ErrorKind, text: &str| {
        let error = scratch.store.get(name, None).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
    };
    check("nope", ErrorKind::NotFound, "No such image: nope:latest");
    check("a/b:c", ErrorKind::NotFound, "No such image: a/b:c");
    check("deadbeef", ErrorKind::NotFound, "No such image: deadbeef:latest");
    check("UPPER", ErrorKind::Invalid, "invalid reference format: repository name (UPPER) must be lowercase");
    let id = drua_types::Digest::of(b"x").to_string();
    check(&id, ErrorKind::NotFound, &format!("No such image: {id}"));
    let error = scratch.store.tag("nope", &"y".parse().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[test]
fn a_prefix_of_two_is_ambiguous() {
    let scratch = Scratch::new();
    let mut seen = std::collections::BTreeMap::new();
    // By the birthday paradox two of some hundred ids share four digits; single-digit prefixes are not accepted.
    for number in 0.. {
        let mut oci = Oci::default();
        let mut config = crate::fixture::host_config();
        config["author"] = serde_json::json!(number.to_string());
        let descriptor = oci.manifest(vec![], config);
        let prefix = descriptor["digest"].as_str().unwrap()[7..11].to_owned();
        if let Some(first) = seen.insert(prefix.clone(), descriptor.clone()) {
            let mut archive = Oci::default();
            let mut config = crate::fixture::host_config();
            for candidate in 0..=number {
                config["author"] = serde_json::json!(candidate.to_string());
                let made = archive.manifest(vec![], config.clone());
                if made == first || made == descriptor {
                    archive.name(made, "");
                }
            }
            assert_eq!(scratch.load(&archive.archive()).unwrap().len(), 2);
            let error = scratch.store.get(&prefix, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.to_string().starts_with("ambiguous reference"), "{error}");
            return;
        }
    }
}
