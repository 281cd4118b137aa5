//! What registries and the wires to them get wrong.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drua_e2e::scripted::{Answer, Fault, Scripted};
use drua_registry::{Credentials, Download, Pace, Registry, RegistryError, Secret, Settings};
use drua_types::{Digest, ErrorKind, Hint as _};

use crate::fixture::*;

const SIZE: usize = 5 << 20;

#[test]
fn a_broken_download_goes_on_where_it_broke() {
    let count = AtomicUsize::new(0);
    let (server, digest, size) = blob_server(noise(SIZE), move |request, content| {
        let fault = match count.fetch_add(1, Ordering::Relaxed) {
            0 => Fault::CloseAfter(1_500_000),
            1 => Fault::CloseAfter(2_000_000),
            _ => Fault::None,
        };
        Answer::new(200, content).ranged(request).fault(fault)
    });
    assert_eq!(download(&pull(&server.host()), &digest, size, 0).unwrap(), noise(SIZE));
    let ranges: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.header("range").to_owned())
        .filter(|range| !range.is_empty())
        .collect();
    assert_eq!(ranges, [format!("bytes=1500000-{}", size - 1), format!("bytes=3500000-{}", size - 1)]);
}

#[test]
fn servers_without_ranges_are_read_again_from_the_start() {
    let count = AtomicUsize::new(0);
    let (server, digest, size) = blob_server(noise(SIZE), move |_, content| {
        let fault = if count.fetch_add(1, Ordering::Relaxed) == 0 { Fault::CloseAfter(1_500_000) } else { Fault::None };
        Answer::new(200, content).fault(fault)
    });
    assert_eq!(download(&pull(&server.host()), &digest, size, 0).unwrap(), noise(SIZE));
    assert_eq!(download(&pull(&server.host()), &digest, size, 1000).unwrap(), noise(SIZE)[1000..]);
}

#[test]
fn a_download_that_never_gets_anywhere_ends() {
    let (server, digest, size) = blob_server(noise(SIZE), |request, content| {
        Answer::new(200, content).ranged(request).fault(Fault::CloseAfter(100))
    });
    let error = download(&pull(&server.host()), &digest, size, 0).unwrap_err();
    assert!(error.contains("the connection broke during `GET http://127.0.0.1"), "{error}");
    assert_eq!(server.count("GET", "/blobs/"), 5);
}

#[test]
fn a_stalled_download_ends() {
    let (server, digest, size) = blob_server(noise(SIZE), |request, content| {
        Answer::new(200, content).ranged(request).fault(Fault::StallAfter(0))
    });
    let mut settings = settings();
    settings.timeouts.idle = Duration::from_millis(50);
    let repository = Registry::new(settings)
        .repository(&reference(&server.host(), "a/b"), Credentials::Anonymous, drua_registry::Access::Pull)
        .unwrap();
    let error = download(&repository, &digest, size, 0).unwrap_err();
    assert!(error.contains("got no answer for 0.05 seconds"), "{error}");
}

#[test]
fn wrong_lengths_are_refused_before_the_download() {
    for (body, complaint) in [
        (noise(SIZE - 1), "the registry has 5242879 bytes of it, its manifest says 5242880"),
        (noise(SIZE + 1), "the registry has 5242881 bytes of it, its manifest says 5242880"),
    ] {
        let (server, digest, size) = blob_server(noise(SIZE), move |_, _| Answer::new(200, body.clone()));
        let error = download(&pull(&server.host()), &digest, size, 0).unwrap_err();
        assert!(error.contains(complaint), "{error}");
        assert_eq!(server.count("GET", "/blobs/"), 1, "nothing will change by asking again");
    }
}

#[test]
fn web_pages_are_not_content() {
    let page = || Answer::new(200, "<html>Please log in</html>").header("Content-Type", "text/html; charset=utf-8");
    let (server, digest, size) = blob_server(noise(SIZE), move |_, _| page());
    let error = download(&pull(&server.host()), &digest, size, 0).unwrap_err();
    assert!(error.contains("a web page; is this a registry?"), "{error}");
    let server = Scripted::start(move |_| page());
    let error = run(pull(&server.host()).manifest("latest")).unwrap_err();
    assert!(error.to_string().contains("a web page; is this a registry?"), "{error}");
}

#[test]
fn redirects_lose_the_credentials() {
    let content = noise(1000);
    let digest = Digest::of(&content);
    let elsewhere = Arc::new(Scripted::start(move |_| Answer::new(200, noise(1000))));
    // Another name of this machine: another host.
    let location = format!("http://localhost:{}/signed?token=x", elsewhere.host().split(':').next_back().unwrap());
    let server = Scripted::start(move |request| match request.header("authorization") {
        "" => Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\""),
        _ if request.path() == "/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(307, "").header("Location", location.clone()),
    });
    let repository = pull_as(&server.host(), password("ahab", "whale"));
    assert_eq!(download(&repository, &digest, 1000, 0).unwrap(), content);
    let seen = elsewhere.requests();
    assert_eq!(seen[0].target, "/signed?token=x");
    assert_eq!(seen[0].header("authorization"), "", "credentials went to another host");
    assert!(server.requests().iter().any(|request| request.header("authorization").starts_with("Basic ")));
}

#[test]
fn redirects_end() {
    let server = Scripted::start(|request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(302, "").header("Location", "/v2/again"),
    });
    let error = run(pull(&server.host()).manifest("latest")).unwrap_err();
    assert!(error.to_string().contains("more than 5 redirects"), "{error}");
}

#[test]
fn rate_limits_are_told_in_words() {
    let server = Scripted::start(|_| {
        Answer::new(
            429,
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#,
        )
        .header("Retry-After", "3600")
    });
    let error = run(pull(&server.host()).manifest("latest")).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("refuses more requests for now: toomanyrequests: You have reached your pull rate limit."),
        "{text}"
    );
    assert!(text.ends_with("; try again in 3600 seconds"), "{text}");
    assert!(error.hints()[0].contains("log in"), "{:?}", error.hints());
    assert_eq!(server.count("GET", "/manifests/"), 1, "an hour is not waited for");
}

#[test]
fn short_waits_are_waited_for() {
    let count = AtomicUsize::new(0);
    let server = Scripted::start(move |request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        _ if count.fetch_add(1, Ordering::Relaxed) == 0 => Answer::new(429, "").header("Retry-After", "0"),
        _ => Answer::new(200, r#"{"schemaVersion":2,"manifests":[]}"#),
    });
    run(pull(&server.host()).manifest("latest")).unwrap();
}

#[test]
fn passing_failures_pass() {
    let count = AtomicUsize::new(0);
    let server = Scripted::start(move |request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        _ if count.fetch_add(1, Ordering::Relaxed) < 3 => Answer::new(503, "busy"),
        _ => Answer::new(200, r#"{"schemaVersion":2,"manifests":[]}"#),
    });
    run(pull(&server.host()).manifest("latest")).unwrap();
    assert_eq!(server.count("GET", "/manifests/"), 4);
}

#[test]
fn lasting_failures_are_told() {
    let server = Scripted::start(|request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(500, "kaputt"),
    });
    let error = run(pull(&server.host()).manifest("latest")).unwrap_err();
    assert!(error.to_string().ends_with("was answered with status 500: kaputt"), "{error}");
}

#[test]
fn a_registry_that_accepts_nobody_is_asked_once_more_only() {
    let server = Scripted::start(|_| {
        Answer::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}"#)
            .header("WWW-Authenticate", "Basic realm=\"x\"")
    });
    let error = run(pull_as(&server.host(), password("ahab", "whale")).manifest("latest")).unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: unauthorized: authentication required");
    assert_eq!(server.count("GET", "/manifests/"), 2);
    let error = run(pull(&server.host()).manifest("latest")).unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: no basic auth credentials");
}

#[test]
fn nobody_there_is_told() {
    let error = run(pull("127.0.0.1:1").manifest("latest")).unwrap_err();
    assert!(matches!(error, RegistryError::Connect { .. }), "{error}");
    assert!(drua_types::error_chain(&error).contains("Connection refused"), "{error:?}");
}

/// What `manifests/latest` answers with, and what is said about it.
#[track_caller]
fn refuses_manifest(media_type: &str, body: &str, kind: ErrorKind, complaint: &str) {
    let (media_type, body) = (media_type.to_owned(), body.to_owned());
    let server = Scripted::start(move |request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(200, body.clone()).header("Content-Type", media_type.clone()),
    });
    let error = run(pull(&server.host()).manifest("latest")).unwrap_err();
    assert!(error.to_string().contains(complaint), "{error}");
    assert_eq!(drua_types::Classify::kind(&error), kind, "{error}");
}

#[test]
fn bad_manifests_are_refused() {
    let descriptor = format!(r#"{{"mediaType":"x","digest":"{}","size":2}}"#, Digest::of(b"{}"));
    let index = "application/vnd.oci.image.index.v1+json";
    let both =
        format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[{descriptor}],"manifests":[{descriptor}]}}"#);
    let manifest = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[]}}"#);
    let lying = format!(r#"{{"schemaVersion":2,"mediaType":"{index}","config":{descriptor},"layers":[]}}"#);
    let long = format!(r#"{{"schemaVersion":2,"config":{descriptor},"layers":[],"x":"{}"}}"#, "x".repeat(5 << 20));
    let schema_1 = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    for (media_type, body, kind, complaint) in [
        (OCI_MANIFEST, both.as_str(), ErrorKind::Invalid, "both `layers` and `manifests`"),
        (index, &both, ErrorKind::Invalid, "both `layers` and `manifests`"),
        (index, &manifest, ErrorKind::Invalid, "does not fit its media type"),
        (OCI_MANIFEST, &lying, ErrorKind::Invalid, "the registry says"),
        (OCI_MANIFEST, &long, ErrorKind::Internal, "longer than the limit of 4194304 bytes"),
        (OCI_MANIFEST, "no json", ErrorKind::Invalid, "it is no manifest"),
        (OCI_MANIFEST, r#"{"schemaVersion":2}"#, ErrorKind::Invalid, "does not fit"),
        (schema_1, r#"{"schemaVersion":1}"#, ErrorKind::Unsupported, "schema 1, which is obsolete"),
        (
            "application/json",
            r#"{"schemaVersion":1,"name":"x"}"#,
            ErrorKind::Unsupported,
            "schema 1, which is obsolete",
        ),
        (OCI_MANIFEST, r#"{"config":{"mediaType":"x","digest":"md5:1","size":1}}"#, ErrorKind::Invalid, "no manifest"),
    ] {
        refuses_manifest(media_type, body, kind, complaint);
    }
}

#[test]
fn a_manifest_with_another_digest_is_refused() {
    let body = r#"{"schemaVersion":2,"manifests":[]}"#;
    let told = Arc::new(Mutex::new(String::new()));
    let header = Arc::clone(&told);
    let server = Scripted::start(move |request| match request.path() {
        "/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(200, body).header("Docker-Content-Digest", header.lock().unwrap().clone()),
    });
    *told.lock().unwrap() = Digest::of(body.as_bytes()).to_string();
    let repository = pull(&server.host());
    run(repository.manifest("latest")).unwrap();
    let error = run(repository.manifest(Digest::of(b"other").as_str())).unwrap_err();
    assert!(error.to_string().contains("is damaged: it has digest"), "{error}");
    *told.lock().unwrap() = Digest::of(b"other").to_string();
    let error = run(repository.manifest("latest")).unwrap_err();
    assert!(error.to_string().contains("is damaged: it has digest"), "{error}");
}

#[test]
fn mirrors_come_first_and_get_no_credentials() {
    let mirror = Scripted::start(|_| Answer::new(200, r#"{"schemaVersion":2,"manifests":[]}"#));
    let settings = Settings { mirrors: vec![format!("http://{}", mirror.host())], ..settings() };
    let hub: drua_types::ImageRef = "docker.io/library/x:latest".parse().unwrap();
    let sources = Registry::new(settings.clone()).sources(&hub, password("ahab", "whale")).unwrap();
    assert_eq!(sources.len(), 2);
    assert!(sources[0].is_mirror() && !sources[1].is_mirror());
    run(sources[0].manifest("latest")).unwrap();
    let seen = mirror.requests();
    assert_eq!(seen[0].target, "/v2/library/x/manifests/latest");
    assert!(seen.iter().all(|request| request.header("authorization").is_empty()));
    let other: drua_types::ImageRef = "registry.example/x:latest".parse().unwrap();
    assert_eq!(Registry::new(settings).sources(&other, Credentials::Anonymous).unwrap().len(), 1);
}

#[test]
fn proxies_are_used() {
    let proxy = Scripted::start(|request| match request.target.as_str() {
        "http://registry.example/v2/a/b/manifests/latest" => Answer::new(200, r#"{"schemaVersion":2,"manifests":[]}"#),
        "http://registry.example/v2/" => Answer::new(200, "{}"),
        _ => Answer::new(502, ""),
    });
    let mut settings = Settings { insecure: vec!["registry.example".to_owned()], ..settings() };
    settings.proxies.http = Some(Secret::new(format!("http://me:secret@{}", proxy.host())));
    settings.proxies.https = settings.proxies.http.clone();
    let image = reference("registry.example", "a/b");
    let repository =
        Registry::new(settings).repository(&image, Credentials::Anonymous, drua_registry::Access::Pull).unwrap();
    run(repository.manifest("latest")).unwrap();
    let seen = proxy.requests();
    // HTTPS first, by a tunnel, which this proxy refuses.
    assert_eq!((seen[0].method.as_str(), seen[0].target.as_str()), ("CONNECT", "registry.example:443"));
    assert!(seen.iter().all(|request| request.header("proxy-authorization") == "Basic bWU6c2VjcmV0"));
}

#[test]
fn slow_downloads_are_split() {
    let (server, digest, size) = blob_server(noise(SIZE), |request, content| {
        Answer::new(200, content).ranged(request).header("Accept-Ranges", "bytes").fault(Fault::Throttle(8 << 20))
    });
    let pace = Pace { trial: Duration::from_millis(20), chunk: 512 << 10, ..Pace::default() };
    let what = Download { digest, size, start: 0 };
    let repository = pull(&server.host());
    let content = run(async {
        let (sender, mut receiver) = tokio::sync::mpsc::channel::<bytes::Bytes>(4);
        let collect = async {
            let mut whole = Vec::new();
            while let Some(piece) = receiver.recv().await {
                whole.extend_from_slice(&piece);
            }
            whole
        };
        let download = async move {
            let result = repository.download(&what, &pace, &sender).await;
            drop(sender);
            result
        };
        let (result, content) = tokio::join!(download, collect);
        result.unwrap();
        content
    });
    assert!(content == noise(SIZE));
    let ranges = server.requests().iter().filter(|request| !request.header("range").is_empty()).count();
    assert!(ranges >= 5, "{ranges} parts");
}
