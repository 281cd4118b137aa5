use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use crate::credentials::{Login, Store};

fn login(server: &str, username: &str, password: &str) -> Login {
    Login {
        username: username.to_owned(),
        password: password.to_owned(),
        serveraddress: server.to_owned(),
        ..Login::default()
    }
}

fn json_at(path: &std::path::Path) -> Value {
    serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
}

#[test]
fn logins_are_kept_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("docker/config.json");
    let mut store = Store::open_at(path.clone()).unwrap();
    assert_eq!(store.get("reg.example:5000").unwrap(), None);
    assert!(store.put("reg.example:5000", &login("reg.example:5000", "ahab", "p:w")).unwrap());
    assert!(store.put("docker.io", &login("", "moby", "dick")).unwrap());
    let written = json_at(&path);
    assert_eq!(written["auths"]["reg.example:5000"], json!({ "auth": "YWhhYjpwOnc=" }));
    assert_eq!(written["auths"]["https://index.docker.io/v1/"]["auth"], "bW9ieTpkaWNr");
    assert_eq!(fs_err::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let mut store = Store::open_at(path.clone()).unwrap();
    assert_eq!(store.get("reg.example:5000").unwrap(), Some(login("reg.example:5000", "ahab", "p:w")));
    assert_eq!(store.get("index.docker.io").unwrap().unwrap().username, "moby");
    assert!(store.remove("reg.example:5000").unwrap());
    assert!(!store.remove("reg.example:5000").unwrap());
    assert_eq!(json_at(&path)["auths"].as_object().unwrap().len(), 1);
}

#[test]
fn other_settings_and_old_keys_survive() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    let old = json!({ "detachKeys": "ctrl-x", "auths": { "https://old.example/v1/": { "auth": "YTpi" } } });
    fs_err::write(&path, old.to_string()).unwrap();
    let mut store = Store::open_at(path.clone()).unwrap();
    assert_eq!(store.get("old.example").unwrap().unwrap().password, "b");
    let token = Login { identitytoken: "t".to_owned(), ..login("new.example", "a", "") };
    store.put("new.example", &token).unwrap();
    let written = json_at(&path);
    assert_eq!(written["detachKeys"], "ctrl-x");
    assert_eq!(written["auths"]["new.example"], json!({ "auth": "YTo=", "identitytoken": "t" }));
    assert_eq!(Store::open_at(path).unwrap().get("new.example").unwrap().unwrap().identitytoken, "t");
}

#[test]
fn what_is_no_json_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.json");
    fs_err::write(&path, "{").unwrap();
    assert!(Store::open_at(path.clone()).unwrap_err().to_string().contains("is not the JSON"));
    fs_err::write(&path, "\n").unwrap();
    assert_eq!(Store::open_at(path).unwrap().get("x.example").unwrap(), None);
}

#[test]
fn helpers_keep_secrets_out_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let script = "#!/bin/sh\nd=$(dirname \"$0\")\ncase $1 in\n\
        store) cat > \"$d/kept\" ;;\n\
        get) read -r server; [ -e \"$d/kept\" ] || { echo 'credentials not found'; exit 1; }; cat \"$d/kept\" ;;\n\
        erase) rm \"$d/kept\" ;;\nesac\n";
    let program = dir.path().join("docker-credential-test");
    fs_err::write(&program, script).unwrap();
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("config.json");
    fs_err::write(&path, json!({ "credHelpers": { "reg.example": "test" } }).to_string()).unwrap();
    let mut store = Store::open_at(path.clone()).unwrap();
    store.helpers = dir.path().join("docker-credential-").to_string_lossy().into_owned();
    assert_eq!(store.get("reg.example").unwrap(), None);
    assert!(!store.put("reg.example", &login("reg.example", "ahab", "secret")).unwrap());
    // What `get` prints is what `store` was given, but for the server's key, which nobody reads.
    assert_eq!(store.get("reg.example").unwrap(), Some(login("reg.example", "ahab", "secret")));
    assert!(!fs_err::read_to_string(&path).unwrap().contains("secret"));
    assert!(store.remove("reg.example").unwrap());
    assert_eq!(store.get("reg.example").unwrap(), None);
}
