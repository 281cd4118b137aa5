use crate::origin::{Origin, Scheme};
use crate::settings::Settings;
use crate::{Credentials, Secret};

#[test]
fn locations_are_resolved() {
    let here = Origin::of_host(Scheme::Https, "registry.example:5000").expect("valid");
    for (location, expected) in [
        ("/v2/x", Some("https://registry.example:5000 /v2/x")),
        ("https://other.example/y?z=1", Some("https://other.example /y?z=1")),
        ("//other.example", Some("https://other.example /")),
        ("sibling", Some("https://registry.example:5000 /v2/a/sibling")),
        ("?page=2", Some("https://registry.example:5000 /v2/a/b?page=2")),
        ("HTTP://[::1]:80/x", Some("http://[::1] /x")),
        ("ftp://other.example/", None),
        ("https://user:password@other.example/", None),
        ("/a b", None),
    ] {
        let resolved = here.resolve("/v2/a/b?page=1", location).map(|(origin, path)| format!("{origin} {path}"));
        assert_eq!(resolved.as_deref(), expected, "{location}");
    }
}

#[test]
fn insecure_registries_are_matched() {
    let settings = Settings {
        insecure: vec!["plain.example".to_owned(), "port.example:5000".to_owned(), "10.0.0.0/8".to_owned()],
        ..Settings::default()
    };
    settings.check().expect("valid");
    for (host, insecure) in [
        ("plain.example", true),
        ("plain.example:5000", true),
        ("port.example:5000", true),
        ("port.example", false),
        ("10.1.2.3:5000", true),
        ("11.1.2.3:5000", false),
        ("localhost:5000", true),
        ("127.1.2.3", true),
        ("[::1]:5000", true),
        ("localhost.example", false),
    ] {
        let origin = Origin::of_host(Scheme::Https, host).expect("valid");
        assert_eq!(settings.is_insecure(&origin), insecure, "{host}");
    }
    for bad in ["a/b", "user@host", "10.0.0.0/33"] {
        assert!(Settings { insecure: vec![bad.to_owned()], ..Settings::default() }.check().is_err(), "{bad}");
    }
    for (mirror, good) in
        [("https://m.example", true), ("m.example:1", true), ("https://m.example/x", false), ("ftp://m", false)]
    {
        let checked = Settings { mirrors: vec![mirror.to_owned()], ..Settings::default() }.check();
        assert_eq!(checked.is_ok(), good, "{mirror}");
    }
}

#[test]
fn credentials_come_in_many_ways() {
    let password =
        |password: &str| Credentials::Password { username: "ahab".to_owned(), password: Secret::new(password) };
    for (json, expected) in [
        ("{}", Some(Credentials::Anonymous)),
        (r#"{"username":"ahab","password":"p:w"}"#, Some(password("p:w"))),
        (r#"{"auth":"YWhhYjpwOnc="}"#, Some(password("p:w"))),
        (r#"{"username":"ahab","identitytoken":"t"}"#, Some(Credentials::IdentityToken(Secret::new("t")))),
        (r#"{"registrytoken":"t"}"#, Some(Credentials::RegistryToken(Secret::new("t")))),
        (r#"{"username":"","password":""}"#, Some(Credentials::Anonymous)),
        (r#"{"auth":"!"}"#, None),
        ("3", None),
    ] {
        assert_eq!(Credentials::from_json(json.as_bytes()).ok(), expected, "{json}");
    }
    for header in
        ["eyJ1c2VybmFtZSI6ImFoYWIiLCJwYXNzd29yZCI6InA_fnAifQ", "eyJ1c2VybmFtZSI6ImFoYWIiLCJwYXNzd29yZCI6InA/fnAifQ=="]
    {
        assert_eq!(Credentials::from_header(header).ok(), Some(password("p?~p")), "{header}");
    }
    assert_eq!(Credentials::from_header("e30=").ok(), Some(Credentials::Anonymous));
    assert!(Credentials::from_header("%").is_err());
    assert_eq!(format!("{:?}", password("p")), r#"Password { username: "ahab", password: *** }"#);
}
