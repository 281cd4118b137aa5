mod codec;
mod server;
mod transport;

use crate::{ApiError, ClientError, Filters, Host, Query};
use drua_types::{Classify, ErrorKind, Hint};

#[track_caller]
fn host(text: &str, expect: Option<&str>) {
    let parsed = text.parse::<Host>().ok().map(|host| host.to_string());
    assert_eq!(parsed.as_deref(), expect, "{text}");
}

#[test]
fn hosts() {
    host("unix:///run/drua/drua.sock", Some("unix:///run/drua/drua.sock"));
    host("tcp://127.0.0.1:2375", Some("tcp://127.0.0.1:2375"));
    host("tcp://box", Some("tcp://box:2375"));
    host("tcp://[::1]:80/", Some("tcp://[::1]:80"));
    host("tcp://[::1]", Some("tcp://[::1]:2375"));
    host("ssh://a", Some("ssh://a"));
    for text in ["", "unix://relative", "/run/x.sock", "tcp://", "tcp://a:b", "http://a", "tcp://u@h:1"] {
        host(text, None);
    }
}

#[test]
fn queries_are_encoded() {
    let query = Query::new().with("name", "a b/ü").flag("all", true).flag("size", false).with_some("t", None);
    assert_eq!(query.append_to("/x"), "/x?name=a%20b%2F%C3%BC&all=1");
    assert_eq!(Query::new().append_to("/x"), "/x");
    let filters = Filters::new().with("label", "a=b").with("label", "c").with("name", "x");
    assert_eq!(filters.to_json(), r#"{"label":{"a=b":true,"c":true},"name":{"x":true}}"#);
    assert_eq!(crate::query::segment("docker.io/a/b:c?d#e%"), "docker.io/a/b:c%3Fd%23e%25");
}

#[test]
fn statuses_become_kinds() {
    for (status, kind) in [
        (304, ErrorKind::NotModified),
        (400, ErrorKind::Invalid),
        (403, ErrorKind::Denied),
        (404, ErrorKind::NotFound),
        (409, ErrorKind::Conflict),
        (422, ErrorKind::Invalid),
        (500, ErrorKind::Internal),
        (501, ErrorKind::Unsupported),
        (503, ErrorKind::Unavailable),
    ] {
        assert_eq!(ApiError { status, message: String::new() }.kind(), kind, "{status}");
    }
}

#[test]
fn connection_errors_say_what_to_do() {
    let error = |kind| ClientError::Connect { host: Host::default(), source: std::io::Error::from(kind) };
    let denied = error(std::io::ErrorKind::PermissionDenied);
    assert_eq!(denied.to_string(), "cannot connect to the drua daemon at unix:///run/drua/drua.sock");
    assert!(denied.hints()[0].contains("usermod -aG drua"));
    assert!(error(std::io::ErrorKind::NotFound).hints()[0].contains("sudo drua daemon"));
    assert!(error(std::io::ErrorKind::ConnectionRefused).hints()[0].contains("left over"));
}
