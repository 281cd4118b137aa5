use drua_build::Provenance;
use drua_types::Platform;
use serde_json::Value;

use crate::fixture::Fixture;

fn config(fixture: &Fixture, image: &str) -> Value {
    let image = fixture.store.get(image, None).unwrap();
    serde_json::from_reader(fixture.store.blob(&image.config_digest).unwrap()).unwrap()
}

#[test]
fn the_configuration_is_what_docker_makes_of_it() {
    let fixture = Fixture::new();
    fixture.context(&[("f", "f")]);
    let file = r#"FROM scratch
MAINTAINER somebody
ARG ONE=1 TWO
ENV A=$ONE B='two words' PATH=/bin
LABEL a="b c" d=$A
EXPOSE 80 8000-8001/udp
VOLUME ["/data"]
USER 1:2
WORKDIR /w
WORKDIR sub
COPY f /f
RUN put /x y
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=5s --retries=2 CMD check me
STOPSIGNAL 9
ONBUILD RUN later
ENTRYPOINT ["/run"]
CMD shell form
"#;
    let built = fixture.build_with(file, |request| {
        request.labels.insert("given".to_owned(), "yes".to_owned());
        request.args.insert("TWO".to_owned(), "2".to_owned());
    });
    let document = config(&fixture, &built.id());
    let expected: Value = serde_json::from_str(
        r#"{"Env":["PATH=/bin","A=1","B=two words"],"WorkingDir":"/w/sub","Labels":{"a":"b c","d":"1","given":"yes"},
        "ExposedPorts":{"80/tcp":{},"8000/udp":{},"8001/udp":{}},"Volumes":{"/data":{}},"User":"1:2",
        "Shell":["/bin/bash","-c"],"Healthcheck":{"Test":["CMD-SHELL","check me"],"Interval":5000000000,"Retries":2},
        "StopSignal":"9","OnBuild":["RUN later"],"Entrypoint":["/run"],"Cmd":["/bin/bash","-c","shell form"]}"#,
    )
    .unwrap();
    assert_eq!(document["config"], expected);
    assert_eq!(document["author"], "somebody");
    let history = document["history"].as_array().unwrap();
    let lines: Vec<&str> = history.iter().map(|entry| entry["created_by"].as_str().unwrap()).collect();
    assert!(lines.contains(&"ARG ONE=1 TWO") && lines.contains(&"ENV A=1 B=two words PATH=/bin"), "{lines:#?}");
    assert!(lines.contains(&"RUN |2 ONE=1 TWO=2 /bin/sh -c put /x y # buildkit"), "{lines:#?}");
    assert!(lines.contains(&"COPY f /f # buildkit") && lines.contains(&"WORKDIR /w/sub"), "{lines:#?}");
    assert!(lines.contains(&r#"CMD ["/bin/bash" "-c" "shell form"]"#), "{lines:#?}");
    let layers = history.iter().filter(|entry| entry["empty_layer"].is_null()).count();
    assert_eq!(document["rootfs"]["diff_ids"].as_array().unwrap().len(), layers);
}

#[test]
fn entrypoint_and_cmd_of_a_base() {
    let fixture = Fixture::new();
    fixture.context(&[("f", "f")]);
    let base = "FROM scratch\nCOPY f /f\nENTRYPOINT [\"/e\"]\nCMD [\"c\"]\nONBUILD COPY f /triggered\n";
    fixture.build_with(base, |request| request.names.push("base:1".to_owned())).ok();
    let of = |file: &str| {
        let built = fixture.build(&format!("FROM base:1\n{file}\n"));
        let config = config(&fixture, &built.id());
        (config["config"]["Entrypoint"].clone(), config["config"]["Cmd"].clone(), built.id())
    };
    let (entrypoint, cmd, id) = of("ENV A=1");
    assert_eq!((entrypoint, cmd), (serde_json::json!(["/e"]), serde_json::json!(["c"])));
    assert!(fixture.file(&id, "triggered").is_some());
    assert!(of("ENTRYPOINT [\"/n\"]").1.is_null(), "an entrypoint clears the base's command");
    assert_eq!(of("CMD [\"k\"]\nENTRYPOINT [\"/n\"]").1, serde_json::json!(["k"]));
}

#[test]
fn the_same_build_has_the_same_digest() {
    let file = "FROM scratch\nWORKDIR /w/deep\nCOPY f /w/\nRUN put /x y\nENV A=1\n";
    let id = |time: u64| {
        let fixture = Fixture::new();
        let dir = fixture.context(&[("f", "f")]);
        let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time);
        std::fs::File::open(dir.join("f")).unwrap().set_modified(modified).unwrap();
        let built = fixture.build_with(file, |request| {
            request.source_date_epoch = Some(1_700_000_000);
            request.provenance = Provenance::Max;
        });
        built.id()
    };
    assert_eq!(id(1_800_000_000), id(1_900_000_000));
}

#[test]
fn several_platforms_are_one_index_with_attestations() {
    let fixture = Fixture::new();
    fixture.context(&[("f", "f")]);
    let file = "FROM --platform=$BUILDPLATFORM scratch AS build\nARG TARGETARCH\nRUN put /arch $TARGETARCH\nRUN env TARGETARCH\nFROM scratch\nARG TARGETPLATFORM\nLABEL for=$TARGETPLATFORM\nCOPY --from=build /arch /arch\n";
    let built = fixture.build_with(file, |request| {
        request.platforms = vec![Platform::host(), Platform::wasi()];
        request.provenance = Provenance::Min;
        request.names.push("both:1".to_owned());
    });
    assert_eq!(built.output, format!("{}\nwasm\n", Platform::host().architecture()));
    let wasm = fixture.store.get("both:1", Some(&Platform::wasi())).unwrap();
    assert_eq!(wasm.config.config().clone().unwrap().labels().clone().unwrap()["for"], "wasi/wasm");
    let index: Value = serde_json::from_reader(fixture.store.blob(&wasm.id).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    assert_eq!(manifests.len(), 4);
    let attestation = &manifests[3];
    assert_eq!(attestation["annotations"]["vnd.docker.reference.digest"], manifests[1]["digest"]);
    let digest = attestation["digest"].as_str().unwrap().parse().unwrap();
    let manifest: Value = serde_json::from_reader(fixture.store.blob(&digest).unwrap()).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().parse().unwrap();
    let statement: Value = serde_json::from_reader(fixture.store.blob(&layer).unwrap()).unwrap();
    assert_eq!(statement["predicateType"], "https://slsa.dev/provenance/v1");
    assert_eq!(statement["subject"][0]["digest"]["sha256"], manifests[1]["digest"].as_str().unwrap()[7..]);
    let failed =
        fixture.build_with("FROM scratch\nRUN put /x y\n", |request| request.platforms = vec![Platform::wasi()]);
    assert!(failed.error().contains("cannot run commands for wasi/wasm"), "{}", failed.error());
}
