use super::*;

fn entry(kind: u8, name: &str, data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkflag = [kind];
    header.set_size(data.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut bytes = [header.as_bytes().as_slice(), data].concat();
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    bytes
}

/// One of each: PAX with a sparse map in the data, GNU long names, GNU sparse, plain.
fn everything() -> Vec<u8> {
    let pax =
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n27 GNU.sparse.realsize=900\n30 mtime=1600000000.123456789\n";
    let mut map = b"2\n0\n3\n600\n4\n".to_vec();
    map.resize(BLOCK, 0);
    map.extend_from_slice(b"onetwo!");
    let mut sparse = Header::from_byte_slice(&entry(b'S', "old", b"")[..BLOCK]).clone();
    let gnu = sparse.as_gnu_mut().expect("made as one");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
    gnu.realsize.copy_from_slice(b"00000001000\0");
    sparse.set_cksum();
    let parts = [
        entry(b'x', "pax", pax),
        entry(b'0', "sparse", &map),
        entry(b'L', "long", b"a/rather/long/name\0"),
        entry(b'K', "long", b"a/target\0"),
        entry(b'2', "link", b""),
        sparse.as_bytes().to_vec(),
        entry(b'0', "plain", b"data"),
        vec![0; 2 * BLOCK],
    ];
    parts.concat()
}

/// Reads everything; the result and what the entries were called.
fn walk(bytes: &[u8]) -> Result<Vec<String>, TarError> {
    let mut reader = TarReader::new(bytes, Budget::new(crate::Limits { entries: 50, ..crate::Limits::default() }));
    let mut names = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = vec![0; 700];
        while reader.read(&mut data)? > 0 {}
        names.push(printable(&entry.path));
    }
    Ok(names)
}

#[test]
fn the_untouched_archive_is_read() {
    assert_eq!(walk(&everything()).expect("valid"), ["sparse", "a/rather/long/name", "old", "plain"]);
}

#[test]
fn no_change_of_a_byte_makes_it_panic_or_hang() {
    let good = everything();
    for at in 0..good.len() {
        for value in [0, b'9', b'L', b'x', 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            // A checksum that fits, so that what is behind it is reached.
            let block = at / BLOCK * BLOCK;
            let header = &mut bad[block..block + BLOCK];
            if header[257..262] == *b"ustar" {
                let mut fixed = Header::from_byte_slice(header).clone();
                fixed.set_cksum();
                header.copy_from_slice(fixed.as_bytes());
            }
            let _ = walk(&bad);
        }
    }
    for cut in 0..good.len() {
        let _ = walk(&good[..cut]);
    }
}

#[test]
fn sizes_beyond_all_reason() {
    let pax = b"29 size=18446744073709551615\n";
    let tar = [entry(b'x', "pax", pax), entry(b'0', "x", b"")].concat();
    assert!(matches!(walk(&tar), Err(TarError::Header { reason: "bad size", .. })));
}

#[test]
fn times() {
    assert_eq!(timestamp(b"1.5"), Some((1, 500_000_000)));
    assert_eq!(timestamp(b"-1.25"), Some((-2, 750_000_000)));
    assert_eq!(timestamp(b"-0.5"), Some((-1, 500_000_000)));
    assert_eq!(timestamp(b"x"), None);
}
