use std::os::unix::fs::PermissionsExt as _;

use drua_build::PruneOptions;

use crate::fixture::Fixture;

const FILE: &str = "FROM scratch\nRUN count /first\nARG X=1\nCOPY a /a\nRUN count /second\nENV N=1\n";

#[test]
fn what_changes_a_key_and_what_does_not() {
    let fixture = Fixture::new();
    let dir = fixture.context(&[("a", "1"), ("b", "1")]);
    let first = fixture.build(FILE);
    assert_eq!(first.cached, 0);
    let again = fixture.build(FILE);
    assert_eq!((again.cached, again.id()), (3, first.id()));
    std::fs::File::open(dir.join("a")).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    std::fs::write(dir.join("b"), "2").unwrap();
    assert_eq!(fixture.build(FILE).cached, 3, "times and files that are not copied");
    assert_eq!(fixture.build(&FILE.replace("FROM", "# comment\n\nfrom")).cached, 3, "comments, case");
    assert_eq!(fixture.build(&FILE.replace("RUN count /second", "RUN count  /second")).cached, 2, "the command");
    assert_eq!(fixture.build(&FILE.replace("ENV N=1", "ENV N=2")).cached, 3, "what comes later");
    let arg = |name: &'static str, value: &str| {
        let value = value.to_owned();
        fixture.build_with(FILE, |request| drop(request.args.insert(name.to_owned(), value))).cached
    };
    assert_eq!(arg("X", "2"), 2, "a command after ARG sees it");
    assert_eq!(arg("X", "1"), 3);
    assert_eq!(arg("UNDECLARED", "1"), 3);
    assert_eq!(arg("HTTP_PROXY", "http://x"), 3, "proxies do not count");
    std::fs::write(dir.join("a"), "2").unwrap();
    assert_eq!(fixture.build(FILE).cached, 1, "content");
    std::fs::write(dir.join("a"), "1").unwrap();
    std::fs::set_permissions(dir.join("a"), std::fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(fixture.build(FILE).cached, 1, "mode");
    assert_eq!(fixture.build_with(FILE, |request| request.no_cache = true).cached, 0);
}

#[test]
fn secrets_and_cache_mounts_do_not_count_and_bind_mounts_do() {
    let fixture = Fixture::new();
    fixture.context(&[("a", "1")]);
    let file = "FROM scratch\nRUN --mount=type=secret,id=s,env=S --mount=type=cache,target=/c count /x\nRUN --mount=target=/in,source=a mounted /in .\n";
    let with = |secret: &str| {
        fixture.build_with(file, |request| drop(request.secrets.insert("s".to_owned(), secret.as_bytes().to_vec())))
    };
    let first = with("one");
    assert_eq!((first.cached, first.output.as_str()), (0, "1"));
    assert_eq!(with("two").cached, 2);
    fixture.context(&[("a", "2")]);
    let changed = with("two");
    assert_eq!((changed.cached, changed.output.as_str()), (1, "2"));
}

#[test]
fn stages_share_results_and_links_stand_alone() {
    let fixture = Fixture::new();
    fixture.context(&[("a", "1"), ("b", "1")]);
    let file = "FROM scratch AS one\nRUN count /n\nFROM scratch AS two\nRUN count /n\nFROM scratch\nCOPY --from=one /n /one\nCOPY --from=two /n /two\n";
    let built = fixture.build(file);
    assert_eq!(built.cached, 1, "the same step is done once, even at the same time");
    assert_eq!(fixture.text(&built.id(), "one"), fixture.text(&built.id(), "two"));
    let linked = "FROM scratch\nCOPY a /a\nCOPY --link b /b\n";
    fixture.build(linked).ok();
    fixture.context(&[("a", "2")]);
    assert_eq!(fixture.build(linked).cached, 1, "what lies below does not matter");
}

#[test]
fn the_cache_survives_and_is_pruned_but_not_under_an_image() {
    let fixture = Fixture::new();
    fixture.context(&[("a", "1")]);
    let first = fixture.build_with(FILE, |request| request.names.push("kept:1".to_owned()));
    let unused = "FROM scratch AS unused\nCOPY a /elsewhere\nFROM scratch\nCOPY --from=unused /elsewhere /b\n";
    fixture.build_with(unused, |request| request.target = Some("unused".to_owned())).ok();
    let fixture = fixture.reopen();
    assert_eq!(fixture.build(FILE).cached, 3);
    let items = fixture.builder.cache_items().unwrap();
    assert_eq!(items.iter().filter(|item| item.shared).count(), 4, "{items:?}");
    let all = PruneOptions { all: true, ..PruneOptions::default() };
    assert!(!fixture.builder.prune(&all).unwrap().ids.is_empty());
    assert!(fixture.builder.cache_items().unwrap().iter().all(|item| item.shared));
    assert_eq!(fixture.text("kept:1", "a"), "1", "an image keeps its layers");
    assert_eq!(fixture.build(FILE).cached, 0);
    assert_ne!(first.id(), "");
    let none = PruneOptions { keep_bytes: Some(u64::MAX), all: true, ..PruneOptions::default() };
    assert!(fixture.builder.prune(&none).unwrap().ids.is_empty());
}
