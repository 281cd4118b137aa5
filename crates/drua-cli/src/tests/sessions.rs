use std::io;

use proptest::prelude::*;

use crate::session::{DetachKeys, read_in_background};

/// Feeds pieces; returns what went to the container and whether the user left.
fn scan(keys: &str, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let mut keys = DetachKeys::parse(keys).expect("valid keys");
    let mut forward = Vec::new();
    for piece in pieces {
        let scanned = keys.scan(piece);
        forward.extend(scanned.forward);
        if scanned.detached {
            return (forward, true);
        }
    }
    (forward, false)
}

#[test]
fn detach_keys() {
    let default = |pieces: &[&[u8]]| scan(DetachKeys::DEFAULT, pieces);
    assert_eq!(default(&[b"ls\n"]), (b"ls\n".to_vec(), false));
    assert_eq!(default(&[b"a\x10\x11b"]), (b"a".to_vec(), true));
    assert_eq!(default(&[b"a\x10", b"\x11"]), (b"a".to_vec(), true), "across reads");
    assert_eq!(default(&[b"\x10x\x11"]), (b"\x10x\x11".to_vec(), false), "a false start is given on");
    assert_eq!(default(&[b"\x10\x10\x11"]), (b"\x10".to_vec(), true), "a start after a false start");
    assert_eq!(scan("a,b", &[b"xab"]), (b"x".to_vec(), true));
    assert_eq!(scan("", &[b"\x10\x11"]), (b"\x10\x11".to_vec(), false), "no keys, no way to detach");
}

#[test]
fn bad_detach_keys_are_refused() {
    for keys in ["ctrl-", "ctrl-1", "ab", "ctrl-pp"] {
        assert!(DetachKeys::parse(keys).is_err(), "{keys}");
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_without_the_sequence(pieces in prop::collection::vec(prop::collection::vec(0x0fu8..0x12, 0..6), 0..8)) {
        let all: Vec<u8> = pieces.concat();
        let slices: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let (forward, detached) = scan(DetachKeys::DEFAULT, &slices);
        match all.windows(2).position(|pair| pair == [0x10, 0x11]) {
            Some(at) => {
                prop_assert!(detached);
                prop_assert_eq!(&forward[..], &all[..at]);
            }
            None => {
                prop_assert!(!detached);
                // A first key at the very end is still held back.
                let held = usize::from(all.last() == Some(&0x10));
                prop_assert_eq!(&forward[..], &all[..all.len() - held]);
            }
        }
    }
}

#[tokio::test]
async fn input_is_read_to_its_end_or_its_error() {
    let mut received = read_in_background(io::Cursor::new(vec![1u8; 300_000]));
    let mut total = 0;
    while let Some(chunk) = received.recv().await {
        total += chunk.expect("no error").len();
    }
    assert_eq!(total, 300_000);

    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("disk gone"))
        }
    }
    let mut received = read_in_background(Broken);
    assert!(received.recv().await.expect("the error").is_err());
    assert!(received.recv().await.is_none());
}
