use super::*;

#[track_caller]
fn image(text: &str, expect: &str) {
    let parsed: ImageRef = text.parse().expect("a valid reference");
    assert_eq!(parsed.to_string(), expect);
    assert_eq!(parsed.familiar().parse::<ImageRef>().as_ref(), Ok(&parsed), "familiar form means the same");
}

#[test]
fn image_references_normalise_as_docker_does() {
    image("redis", "docker.io/library/redis:latest");
    image("redis:7.2", "docker.io/library/redis:7.2");
    image("bitnami/redis", "docker.io/bitnami/redis:latest");
    image("localhost/x", "localhost/x:latest");
    image("localhost:5000/a/b:t", "localhost:5000/a/b:t");
    image("ghcr.io/a/b__c.d-e", "ghcr.io/a/b__c.d-e:latest");
    image("index.docker.io/redis", "docker.io/library/redis:latest");
    let digest = Digest::of(b"x");
    image(&format!("redis@{digest}"), &format!("docker.io/library/redis@{digest}"));
}

#[test]
fn bad_image_references_are_refused() {
    for text in
        ["", ":", "a:", "a/", "/a", "UPPER", "a b", "a..b", "a:b:c", "a@sha256:12", "-a", "a/-b", "../x", "a:.t"]
    {
        assert!(text.parse::<ImageRef>().is_err(), "{text:?} must be refused");
    }
}

#[test]
fn platforms() {
    let host = Platform::host();
    assert!(host.runs_here() && !host.is_wasm());
    for text in ["wasi/wasm", "wasi/wasm32", "wasip1/wasm", "Wasip1/wasm", "wasm32/wasi", "wasm"] {
        assert!(text.parse::<Platform>().expect("valid").satisfies(&Platform::wasi()), "{text}");
    }
    assert_eq!("linux/arm64/v8".parse::<Platform>().expect("valid").to_string(), "linux/arm64");
    assert!("foobar".parse::<Platform>().is_err());
    assert!("a/b/c/d".parse::<Platform>().is_err());
}

#[test]
fn runtimes() {
    assert_eq!(Flavor::from_runtime("io.containerd.wasmtime.v1"), Ok(Some(Flavor::Wasmtime)));
    assert_eq!(Flavor::from_runtime("wasmedge"), Ok(Some(Flavor::WasmEdge)));
    assert_eq!(Flavor::from_runtime("io.containerd.runc.v2"), Ok(None));
    assert!(Flavor::from_runtime("io.containerd.nothing.v1").is_err());
}

#[test]
fn signals_read_as_docker_reads_them() {
    for (text, number) in [("SIGTERM", 15), ("term", 15), ("9", 9), ("RTMIN+3", 37), ("SIGRTMAX-1", 63), ("cld", 17)] {
        assert_eq!(text.parse::<Signal>().expect("valid").number(), number, "{text}");
    }
    for text in ["", "0", "65", "SIGNOPE", "RTMIN+99"] {
        assert!(text.parse::<Signal>().is_err(), "{text}");
    }
}

#[test]
fn sizes_and_ports() {
    assert_eq!("64m".parse(), Ok(ByteSize(64 << 20)));
    assert_eq!("1.5GiB".parse(), Ok(ByteSize(3 << 29)));
    assert!("99999999p".parse::<ByteSize>().is_err());
    assert_eq!(ByteSize(4_270_000).decimal(), "4.27MB");
    assert_eq!(ByteSize(0).decimal(), "0B");
    assert_eq!("80".parse::<Port>().expect("valid").to_string(), "80/tcp");
    assert!("0/tcp".parse::<Port>().is_err() && "80/icmp".parse::<Port>().is_err());
}

#[test]
fn ids_and_names() {
    let id = ContainerId::random();
    assert_eq!(id.to_string().parse(), Ok(id.clone()));
    assert!("xyz".parse::<ContainerId>().is_err());
    assert!("web-1.x_y".parse::<ContainerName>().is_ok());
    for text in ["", "a", "-ab", "a b", "a/b"] {
        assert!(text.parse::<ContainerName>().is_err(), "{text:?}");
    }
}
