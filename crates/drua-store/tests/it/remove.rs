use drua_store::{Force, ImageUse, Removed};
use drua_types::{Classify as _, Digest, ErrorKind};

use crate::fixture::{Oci, Scratch, layer, names};

const CONTAINER: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn used(running: bool) -> impl Fn(&Digest) -> Option<ImageUse> {
    move |_| Some(ImageUse { container_id: CONTAINER.to_owned(), running })
}

fn setup(tags: &[&str]) -> (Scratch, Digest) {
    let scratch = Scratch::new();
    let image = scratch.load_one(&Oci::default().image("x:1", vec![layer("a", "")]).archive());
    tags.iter().for_each(|tag| drop(scratch.store.tag("x:1", &tag.parse().unwrap()).unwrap()));
    (scratch, image.id)
}

fn untagged(name: &str) -> Removed {
    Removed::Untagged(name.parse().unwrap())
}

#[test]
fn the_last_name_takes_the_image_along() {
    let (scratch, id) = setup(&["y:1"]);
    assert_eq!(scratch.store.remove("x:1", Force::No, &|_| None).unwrap(), [untagged("x:1")]);
    assert_eq!(scratch.store.remove("y:1", Force::No, &|_| None).unwrap(), [untagged("y:1"), Removed::Deleted(id)]);
    scratch.assert_empty();
    let index = std::fs::read_to_string(scratch.path().join("content/index.json")).unwrap();
    assert!(index.contains("\"manifests\":[]"), "{index}");
    assert_eq!(scratch.store.remove("y:1", Force::No, &|_| None).unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn shared_content_stays() {
    let scratch = Scratch::new();
    let base = layer("base", "");
    scratch.load(&Oci::default().image("one:1", vec![base.clone()]).archive()).unwrap();
    let two = scratch.load_one(&Oci::default().image("two:1", vec![base, layer("top", "")]).archive());
    scratch.store.remove("one:1", Force::No, &|_| None).unwrap();
    assert_eq!(names(&scratch.path().join("layers")).len(), 2);
    assert_eq!(scratch.store.layers(&two).unwrap().len(), 2);
    assert_eq!(scratch.store.disk_usage().unwrap().images, 1);
    scratch.store.remove("two:1", Force::No, &|_| None).unwrap();
    scratch.assert_empty();
}

#[test]
fn conflicts_in_dockers_words() {
    let check = |tags: &[&str], by_id: bool, force: Force, running: Option<bool>, expect: &str| {
        let (scratch, id) = setup(tags);
        let name = if by_id { id.short().to_owned() } else { "x:1".to_owned() };
        let error = match running {
            Some(running) => scratch.store.remove(&name, force, &used(running)).unwrap_err(),
            None => scratch.store.remove(&name, force, &|_| None).unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert_eq!(error.to_string(), expect.replace("ID", id.short()).replace("CTR", &CONTAINER[..12]));
        assert_eq!(scratch.store.get("x:1", None).unwrap().id, id, "nothing has changed");
    };
    let name = "conflict: unable to remove repository reference \"x:1\" (must force) - container CTR is using its referenced image ID";
    check(&[], false, Force::No, Some(true), name);
    check(&[], false, Force::No, Some(false), name);
    let running = "conflict: unable to delete ID (cannot be forced) - image is being used by running container CTR";
    check(&[], true, Force::No, Some(true), running);
    check(&[], true, Force::Yes, Some(true), running);
    let stopped = "conflict: unable to delete ID (must be forced) - image is being used by stopped container CTR";
    check(&[], true, Force::No, Some(false), stopped);
    let many = "conflict: unable to delete ID (must be forced) - image is referenced in multiple repositories";
    check(&["y:1"], true, Force::No, None, many);
    check(&["x:2"], true, Force::No, None, many);
}

#[test]
fn by_id_all_names_go() {
    let (scratch, id) = setup(&["x:2", "y:1"]);
    let removed = scratch.store.remove(id.as_str(), Force::Yes, &|_| None).unwrap();
    assert_eq!(removed, [untagged("x:1"), untagged("x:2"), untagged("y:1"), Removed::Deleted(id)]);
    scratch.assert_empty();
}

#[test]
fn forced_while_running_only_takes_the_name() {
    let (scratch, id) = setup(&[]);
    assert_eq!(scratch.store.remove("x:1", Force::Yes, &used(true)).unwrap(), [untagged("x:1")]);
    assert!(scratch.store.get(id.as_str(), None).unwrap().names.is_empty());
}

#[test]
fn forced_while_stopped_keeps_the_layers_until_the_container_is_gone() {
    let (scratch, id) = setup(&[]);
    let image = scratch.store.get("x:1", None).unwrap();
    let removed = scratch.store.remove("x:1", Force::Yes, &used(false)).unwrap();
    assert_eq!(removed, [untagged("x:1"), Removed::Deleted(id.clone())]);
    assert!(scratch.store.list().unwrap().is_empty() && scratch.store.get(id.as_str(), None).is_err());
    assert_eq!(scratch.store.sweep(&used(false)).unwrap().layers, 0);
    assert!(scratch.store.layers(&image).unwrap()[0].join("a").exists(), "the container can start again");
    let swept = scratch.store.sweep(&|_| None).unwrap();
    assert_eq!((swept.layers, swept.blobs), (1, 3));
    scratch.assert_empty();
}

#[test]
fn loading_again_brings_a_hidden_image_back() {
    let (scratch, id) = setup(&[]);
    scratch.store.remove("x:1", Force::Yes, &used(false)).unwrap();
    scratch.load(&Oci::default().image("x:1", vec![layer("a", "")]).archive()).unwrap();
    scratch.store.sweep(&|_| None).unwrap();
    assert_eq!(scratch.store.get("x:1", None).unwrap().id, id);
}
