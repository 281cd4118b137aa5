use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

use crate::stream::{Decoder, Frame, FrameError, Framing, HEADER_LEN, StreamType, encode};

fn stream_type() -> impl Strategy<Value = StreamType> {
    prop_oneof![
        Just(StreamType::Stdin),
        Just(StreamType::Stdout),
        Just(StreamType::Stderr),
        Just(StreamType::SystemError)
    ]
}

/// Decodes pieces and joins neighbours of the same stream, since the decoder may split frames anywhere.
fn decode_all(decoder: &mut Decoder, pieces: Vec<Bytes>) -> Result<Vec<(StreamType, Vec<u8>)>, FrameError> {
    let mut output: Vec<(StreamType, Vec<u8>)> = Vec::new();
    for mut piece in pieces {
        while let Some(Frame { stream, payload }) = decoder.decode(&mut piece)? {
            assert!(!payload.is_empty(), "a frame without payload is never handed out");
            match output.last_mut() {
                Some((last, text)) if *last == stream => text.extend_from_slice(&payload),
                _ => output.push((stream, payload.to_vec())),
            }
        }
        assert!(piece.is_empty(), "all input is taken");
    }
    Ok(output)
}

fn cut(mut bytes: Bytes, sizes: &[usize]) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        pieces.push(bytes.split_to((*size).min(bytes.len())));
    }
    pieces
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        frames in prop::collection::vec((stream_type(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
        sizes in prop::collection::vec(1usize..50, 1..10),
    ) {
        let mut wire = BytesMut::new();
        let mut expect: Vec<(StreamType, Vec<u8>)> = Vec::new();
        for (stream, payload) in &frames {
            encode(*stream, payload, &mut wire);
            match expect.last_mut() {
                _ if payload.is_empty() => {}
                Some((last, text)) if last == stream => text.extend_from_slice(payload),
                _ => expect.push((*stream, payload.clone())),
            }
        }
        let mut decoder = Decoder::new(Framing::Multiplexed);
        let output = decode_all(&mut decoder, cut(wire.freeze(), &sizes));
        prop_assert_eq!(output, Ok(expect));
        prop_assert_eq!(decoder.finish(), Ok(()));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), sizes in prop::collection::vec(1usize..40, 1..8)) {
        let mut decoder = Decoder::new(Framing::Multiplexed);
        let _ = decode_all(&mut decoder, cut(bytes.into(), &sizes));
        let _ = decoder.finish();
    }

    #[test]
    fn raw_streams_pass_unchanged(bytes in prop::collection::vec(any::<u8>(), 1..300), sizes in prop::collection::vec(1usize..40, 1..8)) {
        let mut decoder = Decoder::new(Framing::Raw);
        let output = decode_all(&mut decoder, cut(bytes.clone().into(), &sizes));
        prop_assert_eq!(output, Ok(vec![(StreamType::Stdout, bytes)]));
    }
}

#[test]
fn the_layout_is_dockers() {
    let mut wire = BytesMut::new();
    encode(StreamType::Stderr, b"hi", &mut wire);
    assert_eq!(wire.as_ref(), [2, 0, 0, 0, 0, 0, 0, 2, b'h', b'i']);
}

#[test]
fn damage_is_noticed() {
    let decode = |bytes: &'static [u8]| Decoder::new(Framing::Multiplexed).decode(&mut Bytes::from_static(bytes));
    assert_eq!(decode(&[7, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::UnknownType(7)));
    assert_eq!(decode(&[1, 0, 1, 0, 0, 0, 0, 0]), Err(FrameError::Reserved));
    assert_eq!(decode(b"plain text without frames"), Err(FrameError::UnknownType(b'p')));
}

#[test]
fn truncation_is_noticed_and_a_huge_announcement_costs_nothing() {
    let mut decoder = Decoder::new(Framing::Multiplexed);
    let mut input = Bytes::from_static(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'a']);
    let frame = decoder.decode(&mut input).expect("well framed").expect("a piece");
    assert_eq!(frame.payload.as_ref(), b"a");
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { missing: 0xffff_fffe }));

    let mut decoder = Decoder::new(Framing::Multiplexed);
    assert_eq!(decoder.decode(&mut Bytes::from_static(&[1, 0, 0])), Ok(None));
    assert_eq!(decoder.finish(), Err(FrameError::Truncated { missing: HEADER_LEN - 3 }));
}
