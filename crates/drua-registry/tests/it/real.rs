//! Against Debian's `docker-registry`.

use std::sync::Arc;

use bytes::Bytes;
use drua_e2e::registry::{NAME, PASSWORD, Registry as Server, Setup, USER};
use drua_e2e::scripted;
use drua_registry::{
    Access, ByteStream, Credentials, Registry, RegistryError, Repository, Secret, Settings, Upload, UploadSource,
};
use drua_types::{Digest, Hint as _};
use futures_util::StreamExt as _;

use crate::fixture::*;

/// A registry, or `None` and a message; with `DRUA_E2E_STRICT=1` that is a failure.
fn server(setup: Setup) -> Option<Server> {
    if Server::program().is_none() {
        assert!(
            std::env::var_os("DRUA_E2E_STRICT").is_none_or(|value| value != "1"),
            "docker-registry is not installed"
        );
        println!("skipped: docker-registry is not installed");
        return None;
    }
    Some(Server::start(setup).unwrap())
}

fn repository(settings: Settings, server: &Server, path: &str, credentials: Credentials) -> Repository {
    Registry::new(settings).repository(&reference(&server.host(), path), credentials, Access::Push).unwrap()
}

fn source(content: Vec<u8>) -> UploadSource {
    let content = Bytes::from(content);
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    let open = move |start: u64, end: u64| -> ByteStream {
        let part = content.slice(usize::try_from(start).unwrap()..usize::try_from(end).unwrap());
        let pieces: Vec<_> = part.chunks(1 << 20).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        futures_util::stream::iter(pieces).boxed()
    };
    UploadSource { digest, size, open: Arc::new(open) }
}

fn upload(repository: &Repository, source: &UploadSource, neighbors: &[&str]) -> Upload {
    let neighbors: Vec<String> = neighbors.iter().map(|name| (*name).to_owned()).collect();
    run(repository.upload(source, &neighbors, &(Arc::new(|_| {}) as _))).unwrap()
}

#[test]
fn blobs_and_manifests_go_there_and_come_back() {
    let Some(server) = server(Setup::default()) else { return };
    let repository = repository(settings(), &server, "a/b", Credentials::Anonymous);
    let small = source(noise(1000));
    assert_eq!(upload(&repository, &small, &[]), Upload::Sent);
    assert_eq!(upload(&repository, &small, &[]), Upload::Existed);
    // Above the limit for one piece: chunks.
    let large = source(noise(70 << 20));
    assert_eq!(upload(&repository, &large, &[]), Upload::Sent);
    assert!(download(&repository, &large.digest, large.size, 0).unwrap() == noise(70 << 20));
    let tail = download(&repository, &large.digest, large.size, large.size - 10).unwrap();
    assert_eq!(tail, noise(70 << 20)[(70 << 20) - 10..]);
    let empty = source(Vec::new());
    upload(&repository, &empty, &[]);
    assert_eq!(download(&repository, &empty.digest, 0, 0).unwrap(), b"");

    let descriptor =
        |source: &UploadSource| format!(r#"{{"mediaType":"x","digest":"{}","size":{}}}"#, source.digest, source.size);
    let manifest = Bytes::from(format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{},"layers":[{}]}}"#,
        descriptor(&small),
        descriptor(&large)
    ));
    run(async {
        for tag in ["v1", "v2"] {
            repository.put_manifest(tag, OCI_MANIFEST, manifest.clone()).await.unwrap();
        }
        assert_eq!(repository.manifest("v1").await.unwrap().bytes, manifest);
        let digest = Digest::of(&manifest);
        assert_eq!(repository.resolve("v2").await.unwrap(), Some(digest.clone()));
        assert_eq!(repository.manifest(digest.as_str()).await.unwrap().descriptor.media_type, OCI_MANIFEST);
        assert_eq!(repository.tags().await.unwrap(), ["v1", "v2"]);
        let missing = repository.manifest("v3").await.unwrap_err();
        assert!(
            matches!(&missing, RegistryError::NotFound { message, .. } if message.starts_with("manifest unknown")),
            "{missing}"
        );
        // This registry knows no referrers, and nobody has put any under the tag instead.
        assert_eq!(repository.referrers(&digest, None).await.unwrap(), []);
    });
    let found = run(Registry::new(settings()).search(Some(&server.host()), "a/", 10, Credentials::Anonymous)).unwrap();
    assert!(found.from_catalog);
    assert_eq!(found.results[0].name, "a/b");
}

#[test]
fn blobs_are_mounted_from_neighbors() {
    let Some(server) = server(Setup::default()) else { return };
    let first = repository(settings(), &server, "first", Credentials::Anonymous);
    let second = repository(settings(), &server, "second", Credentials::Anonymous);
    let blob = source(noise(1000));
    upload(&first, &blob, &[]);
    assert_eq!(upload(&second, &blob, &["first"]), Upload::Mounted("first".to_owned()));
    assert_eq!(upload(&second, &source(noise(1001)), &["first"]), Upload::Sent);
}

#[test]
fn referrers_fall_back_to_a_tag() {
    let Some(server) = server(Setup::default()) else { return };
    let repository = repository(settings(), &server, "a/b", Credentials::Anonymous);
    let config = source(b"{}".to_vec());
    upload(&repository, &config, &[]);
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","config":{{"mediaType":"x","digest":"{}","size":2}},"layers":[]}}"#,
        config.digest
    );
    let subject = Digest::of(b"an image");
    let entry = |kind: &str| {
        format!(
            r#"{{"mediaType":"{OCI_MANIFEST}","digest":"{}","size":{},"artifactType":"{kind}"}}"#,
            Digest::of(manifest.as_bytes()),
            manifest.len()
        )
    };
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index =
        format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{},{}]}}"#, entry("sig"), entry("sbom"));
    run(async {
        repository.put_manifest("m", OCI_MANIFEST, manifest.clone().into()).await.unwrap();
        repository.put_manifest(&format!("sha256-{}", subject.hex()), media_type, index.into()).await.unwrap();
        assert_eq!(repository.referrers(&subject, None).await.unwrap().len(), 2);
        let found = repository.referrers(&subject, Some("sbom")).await.unwrap();
        assert_eq!(found[0].artifact_type.as_deref(), Some("sbom"));
    });
}

#[test]
fn a_referrer_is_listed_where_the_registry_keeps_no_list() {
    let Some(server) = server(Setup::default()) else { return };
    let repository = repository(settings(), &server, "a/b", Credentials::Anonymous);
    let config = source(b"{}".to_vec());
    upload(&repository, &config, &[]);
    let subject = Digest::of(b"an image");
    let manifest = |kind: &str| {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{OCI_MANIFEST}","artifactType":"{kind}",
                "config":{{"mediaType":"x","digest":"{}","size":2}},"layers":[],
                "subject":{{"mediaType":"{OCI_MANIFEST}","digest":"{subject}","size":8}}}}"#,
            config.digest
        )
    };
    run(async {
        for kind in ["sig", "sbom", "sig"] {
            let bytes = manifest(kind);
            let digest = Digest::of(bytes.as_bytes());
            repository.put_manifest(digest.as_str(), OCI_MANIFEST, bytes.into()).await.unwrap();
        }
        let found = repository.referrers(&subject, None).await.unwrap();
        let kinds: Vec<_> = found.iter().filter_map(|entry| entry.artifact_type.as_deref()).collect();
        assert_eq!(kinds, ["sig", "sbom"], "each once");
    });
}

#[test]
fn passwords_are_checked() {
    let Some(server) = server(Setup { password: true, tls: false }) else { return };
    let blob = source(noise(10));
    let fails = |credentials: Credentials| {
        let repository = repository(settings(), &server, "a/b", credentials);
        run(repository.upload(&blob, &[], &(Arc::new(|_| {}) as _))).unwrap_err()
    };
    assert!(fails(Credentials::Anonymous).to_string().contains("no basic auth credentials"));
    assert!(fails(password(USER, "wrong")).is_unauthorized());
    let known = repository(settings(), &server, "a/b", password(USER, PASSWORD));
    assert_eq!(upload(&known, &blob, &[]), Upload::Sent);
    let registry = Registry::new(settings());
    run(registry.login(&server.host(), password(USER, PASSWORD))).unwrap();
    assert!(run(registry.login(&server.host(), password(USER, "wrong"))).unwrap_err().is_unauthorized());
}

#[test]
fn certificates_are_checked() {
    let Some(server) = server(Setup { password: false, tls: true }) else { return };
    // Loopback needs no valid certificate; other names do.
    run(repository(settings(), &server, "a/b", Credentials::Anonymous).has_blob(&Digest::of(b"x"))).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let proxy = Secret::new(scripted::tunnel_to(server.port()));
    let ask = |host: &str, insecure: &[&str]| {
        let mut settings = Settings { certificate_dirs: vec![dir.path().to_owned()], ..settings() };
        settings.insecure = insecure.iter().map(|host| (*host).to_owned()).collect();
        settings.proxies.https = Some(proxy.clone());
        let image = reference(host, "a/b");
        let repository = Registry::new(settings).repository(&image, Credentials::Anonymous, Access::Pull).unwrap();
        run(repository.has_blob(&Digest::of(b"x")))
    };
    let untrusted = |host: &str| matches!(ask(host, &[]), Err(RegistryError::Connect { untrusted: true, .. }));
    let error = ask(NAME, &[]).unwrap_err();
    assert!(matches!(error, RegistryError::Connect { untrusted: true, .. }), "{error:?}");
    assert!(error.hints()[0].contains("`/etc/drua/certs.d/registry.test/ca.crt`"), "{:?}", error.hints());
    assert!(!ask(NAME, &[NAME]).unwrap(), "an insecure registry needs no valid certificate");
    for host in [NAME, "other.test"] {
        fs_err::create_dir_all(dir.path().join(host)).unwrap();
        fs_err::copy(server.ca(), dir.path().join(host).join("ca.crt")).unwrap();
    }
    assert!(!ask(NAME, &[]).unwrap(), "its CA is in certs.d");
    assert!(untrusted("other.test"), "the CA is known, but the certificate is for another name");
}
