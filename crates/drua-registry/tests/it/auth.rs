//! Tokens: how they are asked for, kept and renewed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use drua_e2e::scripted::{Answer, Request, Scripted};
use drua_registry::{Access, Credentials, Registry, Secret};

use crate::fixture::*;

const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// A registry and its token server in one; `token` answers for tokens.
fn token_registry(token: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Scripted {
    Scripted::start(move |request| {
        if request.path() == "/token" {
            return token(request);
        }
        if request.header("authorization") == "Bearer good" {
            return Answer::new(200, INDEX);
        }
        let challenge = format!(r#"Bearer realm="http://{}/token",service="reg""#, request.header("host"));
        Answer::new(401, r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#)
            .header("WWW-Authenticate", challenge)
    })
}

#[test]
fn tokens_are_asked_for_once_and_with_the_right_scope() {
    let server = token_registry(|_| Answer::new(200, r#"{"token":"good","expires_in":300}"#));
    let repository = pull_as(&server.host(), password("ahab", "whale"));
    run(async {
        repository.manifest("one").await.unwrap();
        repository.manifest("two").await.unwrap();
    });
    let tokens: Vec<Request> = server.requests().into_iter().filter(|request| request.path() == "/token").collect();
    assert_eq!(tokens.len(), 1);
    assert_eq!(tokens[0].target, "/token?account=ahab&service=reg&scope=repository%3Aa%2Fb%3Apull");
    assert_eq!(tokens[0].header("authorization"), "Basic YWhhYjp3aGFsZQ==");
}

#[test]
fn pushing_asks_for_more() {
    let server = token_registry(|_| Answer::new(200, r#"{"access_token":"good"}"#));
    let image = reference(&server.host(), "a/b");
    let repository = Registry::new(settings()).repository(&image, Credentials::Anonymous, Access::Push).unwrap();
    run(repository.manifest("x")).unwrap();
    assert_eq!(server.count("GET", "scope=repository%3Aa%2Fb%3Apull%2Cpush"), 1);
    assert!(server.requests().iter().all(|request| !request.header("authorization").starts_with("Basic")));
}

#[test]
fn identity_tokens_are_exchanged() {
    let server = token_registry(|request| {
        let form = String::from_utf8_lossy(&request.body).into_owned();
        let good = request.method == "POST"
            && form.contains("grant_type=refresh_token")
            && form.contains("refresh_token=s3cr3t%2F");
        if good { Answer::new(200, r#"{"access_token":"good"}"#) } else { Answer::new(400, form) }
    });
    run(pull_as(&server.host(), Credentials::IdentityToken(Secret::new("s3cr3t/"))).manifest("x")).unwrap();
}

#[test]
fn registry_tokens_are_used_as_they_are() {
    let server = token_registry(|_| Answer::new(500, ""));
    run(pull_as(&server.host(), Credentials::RegistryToken(Secret::new("good"))).manifest("x")).unwrap();
    assert_eq!(server.count("GET", "/token"), 0);
}

#[test]
fn tokens_that_are_refused_end_it() {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let server = token_registry(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Answer::new(200, r#"{"token":"bad"}"#)
    });
    let error = run(pull(&server.host()).manifest("x")).unwrap_err();
    assert!(error.is_unauthorized(), "{error}");
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let error = run(pull(&token_registry(|_| Answer::new(200, "{}")).host()).manifest("x")).unwrap_err();
    assert!(error.to_string().contains("sent no token"), "{error}");
}

#[test]
fn a_refused_password_is_told() {
    let server = token_registry(|_| Answer::new(401, r#"{"details":"incorrect username or password"}"#));
    let error = run(Registry::new(settings()).login(&server.host(), password("ahab", "wrong"))).unwrap_err();
    assert_eq!(error.to_string(), "unauthorized: incorrect username or password");
}

#[test]
fn logins_bring_identity_tokens() {
    let server = token_registry(|request| {
        let offline = request.target.contains("offline_token=true");
        let refresh = if offline { r#","refresh_token":"keep me""# } else { "" };
        Answer::new(200, format!(r#"{{"token":"good"{refresh}}}"#))
    });
    let login = run(Registry::new(settings()).login(&server.host(), password("ahab", "whale"))).unwrap();
    assert_eq!(login.identity_token.unwrap().expose(), "keep me");
}
