use std::path::Path;

use jiff::Timestamp;

use crate::options::{
    Volume, api_filters, attachment, go_duration, parse_mount, parse_volume, point_in_time, published, remote_image,
    restart_policy, ulimit, variables,
};

fn words(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[track_caller]
fn ports(publish: &[&str], expect: &str) {
    let shown = published(&words(publish), &[]).map(|published| {
        let bindings = published.bindings.iter().flat_map(|(port, bindings)| {
            bindings.iter().map(move |binding| {
                let part = |text: &Option<String>| text.clone().unwrap_or_default();
                format!("{}|{}->{port}", part(&binding.host_ip), part(&binding.host_port))
            })
        });
        bindings.collect::<Vec<_>>().join(" ")
    });
    match shown {
        Ok(shown) => assert_eq!(shown, expect, "{publish:?}"),
        Err(error) => assert!(format!("{error:#}").contains(expect), "{publish:?}: {error:#}"),
    }
}

#[test]
fn published_ports() {
    ports(&["80"], "|->80/tcp");
    ports(&["8080:80"], "|8080->80/tcp");
    ports(&["127.0.0.1:8080:80/udp"], "127.0.0.1|8080->80/udp");
    ports(&["127.0.0.1::80"], "127.0.0.1|->80/tcp");
    ports(&["[::1]:8080:80"], "::1|8080->80/tcp");
    ports(&["[::1]::80"], "::1|->80/tcp");
    ports(&["8000-8001:80-81"], "|8000->80/tcp |8001->81/tcp");
    ports(&["8000-8010:80"], "|8000-8010->80/tcp");
    ports(&["80-82"], "|->80/tcp |->81/tcp |->82/tcp");
    ports(&["1:80", "2:80"], "|1->80/tcp |2->80/tcp");
    ports(&["65535:65535"], "|65535->65535/tcp");
}

#[test]
fn bad_ports_are_refused() {
    ports(&["99999:1"], "`99999` is not a port");
    ports(&["1-2:5-9"], "invalid ranges specified for container and host Ports: 5-9 and 1-2");
    ports(&["a:1"], "`a` is not a port");
    ports(&["1:"], "no port specified");
    ports(&["1:2/icmp"], "invalid proto: icmp");
    ports(&["300.0.0.1:1:1"], "invalid IP address: 300.0.0.1");
    ports(&["9-8:1-2"], "ends before it starts");
    ports(&[""], "no port specified");
    assert!(published(&[], &words(&["1:2"])).is_err());
    let exposed = published(&[], &words(&["90-91/udp", "80"])).expect("valid").exposed;
    assert_eq!(exposed.into_iter().collect::<Vec<_>>(), ["80/tcp", "90/udp", "91/udp"]);
}

#[track_caller]
fn volume(text: &str, expect: Result<Volume, &str>) {
    match (parse_volume(text, Path::new("/home/me/p")), expect) {
        (Ok(parsed), Ok(expect)) => assert_eq!(parsed, expect, "{text}"),
        (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{text}: {error}"),
        (got, expect) => panic!("{text}: {got:?} instead of {expect:?}"),
    }
}

#[test]
fn volumes() {
    let bind = |text: &str| Ok(Volume::Bind(text.to_owned()));
    volume("/a:/b", bind("/a:/b"));
    volume("/a:/b:ro,z", bind("/a:/b:ro,z"));
    volume("data:/b", bind("data:/b"));
    volume("./x:/b", bind("/home/me/p/x:/b"));
    volume(".:/b:ro", bind("/home/me/p:/b:ro"));
    volume("../x/../y:/b", bind("/home/me/y:/b"));
    volume("/data", Ok(Volume::Anonymous("/data".to_owned())));
    volume("data", Err("absolute path"));
    volume("/a:/b:/c:d", Err("too many colons"));
    volume(":/b", Err("empty section"));
    volume("/a:", Err("invalid volume specification"));
}

#[test]
fn mounts() {
    let json = |text: &str| serde_json::to_string(&parse_mount(text).expect(text)).expect("JSON");
    assert_eq!(
        json("type=bind,src=/tmp,dst=/z,readonly"),
        r#"{"Target":"/z","Source":"/tmp","Type":"bind","ReadOnly":true}"#
    );
    assert_eq!(
        json("source=v,target=/q,volume-nocopy,volume-label=a=b"),
        r#"{"Target":"/q","Source":"v","Type":"volume","VolumeOptions":{"NoCopy":true,"Labels":{"a":"b"}}}"#
    );
    assert_eq!(
        json("type=tmpfs,destination=/u,tmpfs-size=1m,tmpfs-mode=1770"),
        r#"{"Target":"/u","Type":"tmpfs","TmpfsOptions":{"SizeBytes":1048576,"Mode":1016}}"#
    );
    assert!(json(r#"type=bind,"source=/a,b",target=/c,bind-propagation=rslave"#).contains(r#""Source":"/a,b""#));
    for (text, expect) in [
        ("type=bind,src=/x", "target is required"),
        ("foo", "invalid field 'foo' must be a key=value pair"),
        ("a=b,dst=/x", "unexpected key 'a' in 'a=b'"),
        ("type=nfs,dst=/x", "not supported"),
        ("type=bind,dst=/x,volume-nocopy", "cannot mix 'volume-*' options with mount type 'bind'"),
        ("type=volume,dst=/x,readonly=maybe", "invalid value for readonly: maybe"),
        ("type=tmpfs,dst=/x,tmpfs-mode=9", "invalid value"),
        ("\"type=bind", "quote"),
    ] {
        let error = parse_mount(text).expect_err(text);
        assert!(error.to_string().contains(expect), "{text}: {error}");
    }
}

#[test]
fn environment() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("env");
    fs_err::write(&file, "\u{feff}# comment\n\n  A=file\nTAKEN\nMISSING\nQ=\"kept\"\n").expect("written");
    let files = [file.to_str().expect("UTF-8").to_owned()];
    let source = |name: &str| (name == "TAKEN").then(|| "here".to_owned());
    let read = |words: &[String]| variables(&files, words, &source);
    assert_eq!(
        read(&words(&["A=line", "TAKEN", "MISSING", "E="])).expect("valid"),
        ["A=file", "TAKEN=here", "Q=\"kept\"", "A=line", "TAKEN=here", "E="]
    );
    for bad in ["=x", "A B=1", ""] {
        assert!(read(&words(&[bad])).is_err(), "{bad:?}");
    }
    assert!(variables(&words(&["/does/not/exist"]), &[], &source).is_err());
}

#[test]
fn durations_and_times() {
    for (text, nanos) in [
        ("0", 0),
        ("300ms", 300_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("-10s", -10_000_000_000),
        ("1us2ns", 1002),
    ] {
        assert_eq!(go_duration(text).ok(), Some(nanos), "{text}");
    }
    for text in ["", "5", "s", "1x", "1 s", "99999999999h"] {
        assert!(go_duration(text).is_err(), "{text:?}");
    }
    let now = Timestamp::from_second(1_700_000_000).expect("in range");
    for (text, expect) in [
        ("10m", "1699999400.000000000"),
        ("1600000000", "1600000000"),
        ("1600000000.5", "1600000000.5"),
        ("2013-01-02T13:23:37Z", "1357133017.000000000"),
        ("2013-01-02T13:23:37.5+01:00", "1357129417.500000000"),
    ] {
        assert_eq!(point_in_time(text, now).ok().as_deref(), Some(expect), "{text}");
    }
    assert!(point_in_time("2013-01-02", now).is_ok() && point_in_time("2013-01-02T10:00:00", now).is_ok());
    assert!(point_in_time("yesterday", now).is_err());
}

#[test]
fn restart_policies_and_ulimits() {
    let policy = |text| restart_policy(text).map(|policy| serde_json::to_string(&policy).expect("JSON"));
    assert_eq!(policy("no").expect("valid"), r#"{"Name":"no","MaximumRetryCount":0}"#);
    assert_eq!(policy("on-failure:3").expect("valid"), r#"{"Name":"on-failure","MaximumRetryCount":3}"#);
    assert!(policy("sometimes").is_err() && policy("on-failure:x").is_err());
    let limit = ulimit("nofile=10:20").expect("valid");
    assert_eq!((limit.soft, limit.hard), (Some(10), Some(20)));
    assert_eq!(ulimit("nproc=-1").expect("valid").hard, Some(-1));
    for text in ["nofile", "nope=1", "nofile=20:10", "nofile=x", "nofile=-1:10"] {
        assert!(ulimit(text).is_err(), "{text}");
    }
}

#[test]
fn networks_and_filters() {
    let (name, endpoint) = attachment("name=back,alias=db,alias=sql,ip=10.0.0.2,driver-opt=a=b").expect("valid");
    assert_eq!((name.as_str(), endpoint.aliases), ("back", Some(words(&["db", "sql"]))));
    assert_eq!(endpoint.ipam_config.and_then(|ipam| ipam.ipv4_address).as_deref(), Some("10.0.0.2"));
    assert_eq!(attachment("back").expect("valid").0, "back");
    assert!(attachment("alias=x").is_err() && attachment("name=x,what=y").is_err());
    let filters = api_filters(&words(&["label=a=b", "Name= x "])).expect("valid");
    assert_eq!(filters.to_json(), r#"{"label":{"a=b":true},"name":{"x":true}}"#);
    assert!(api_filters(&words(&["nothing"])).is_err());
}

#[test]
fn images_are_split_for_the_api() {
    let digest = format!("sha256:{}", "a".repeat(64));
    for (text, repository, tag) in [
        ("redis", "docker.io/library/redis", "latest"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b", "t"),
        (&format!("localhost:5000/a@{digest}"), "localhost:5000/a", digest.as_str()),
        (&format!("a:t@{digest}"), "docker.io/library/a", digest.as_str()),
    ] {
        let split = remote_image(&text.parse().expect("a reference"));
        assert_eq!((split.0.as_str(), split.1.as_str()), (repository, tag), "{text}");
    }
}
