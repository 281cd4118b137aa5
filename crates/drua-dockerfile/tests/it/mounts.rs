use drua_dockerfile::{CacheSharing, Mount, MountKind};

#[test]
fn options_are_read_and_have_their_defaults() {
    let cache = Mount::parse("type=cache,dst=/root/.cache,sharing=locked,mode=0700,uid=1000").unwrap();
    assert_eq!(cache.target.as_deref(), Some("/root/.cache"));
    let MountKind::Cache { id: None, sharing: CacheSharing::Locked, mode: Some(0o700), uid: Some(1000), .. } =
        cache.kind
    else {
        panic!("{cache:?}")
    };
    let bind = Mount::parse("target=/src").unwrap();
    assert_eq!(bind.kind, MountKind::Bind { from: None, source: None, writable: false });
    let bind = Mount::parse("type=bind,from=build,src=/out,target=/in,rw").unwrap();
    let (from, source) = (Some("build".to_owned()), Some("/out".to_owned()));
    assert_eq!(bind.kind, MountKind::Bind { from, source, writable: true });
    let tmpfs = Mount::parse("type=tmpfs,target=/tmp,size=64m").unwrap();
    assert_eq!(tmpfs.kind, MountKind::Tmpfs { size: Some(64 << 20) });
    let secret = Mount::parse("type=secret,target=/root/.netrc,required=true").unwrap();
    let MountKind::Secret { id: Some(id), required: true, .. } = &secret.kind else { panic!("{secret:?}") };
    assert_eq!(id, ".netrc");
    let quoted = Mount::parse("type=bind,\"target=/a,b\",\"source=/c\"\"d\"").unwrap();
    assert_eq!(quoted.target.as_deref(), Some("/a,b"));
    assert!(matches!(Mount::parse("type=ssh").unwrap().kind, MountKind::Ssh { id: None, required: false, .. }));
}

#[test]
fn mistakes_are_named() {
    for (value, expected) in [
        ("type=chache,target=/x", "unsupported mount type \"chache\""),
        ("type=cache,targt=/x", "(did you mean target?)"),
        ("type=cache", "requires a target"),
        ("type=cache,target=/x,sharing=mine", "invalid value for sharing: mine"),
        ("type=cache,target=/x,mode=9", "invalid value for mode"),
        ("type=cache,target=/x,mode=0o17777", "invalid value for mode"),
        ("type=tmpfs,target=/x,size=big", "invalid value for size"),
        ("type=tmpfs,target=/x,from=y", "unexpected key 'from' for mount type \"tmpfs\""),
        ("type=secret", "needs an id"),
        ("type=bind,target", "'target' must be a key=value pair"),
        ("type=bind,\"target=/x", "not closed"),
    ] {
        let error = Mount::parse(value).expect_err(value).to_string();
        assert!(error.contains(expected), "{value}: {error}");
    }
}
