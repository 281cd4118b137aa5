/// Finds the key sequence that leaves a session without ending the container.
#[derive(Debug, Clone)]
pub(crate) struct DetachKeys {
    sequence: Vec<u8>,
    matched: usize,
}

/// What came of some input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scanned {
    /// Goes to the container.
    pub(crate) forward: Vec<u8>,
    /// Whether the sequence was completed; input after it is dropped.
    pub(crate) detached: bool,
}

impl DetachKeys {
    /// What Docker uses too.
    pub(crate) const DEFAULT: &str = "ctrl-p,ctrl-q";

    /// Reads `ctrl-p,ctrl-q`, `a,b` or the like; an empty text never detaches.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let sequence = text.split(',').filter(|_| !text.is_empty()).map(key).collect::<anyhow::Result<_>>()?;
        Ok(Self { sequence, matched: 0 })
    }

    /// Looks at input; keys that may be the start of the sequence are held back until that is decided.
    pub(crate) fn scan(&mut self, input: &[u8]) -> Scanned {
        let mut forward = Vec::with_capacity(input.len());
        for &byte in input {
            if self.sequence.get(self.matched) == Some(&byte) {
                self.matched += 1;
                if self.matched == self.sequence.len() {
                    self.matched = 0;
                    return Scanned { forward, detached: true };
                }
                continue;
            }
            forward.extend_from_slice(&self.sequence[..self.matched]);
            self.matched = 0;
            if self.sequence.first() == Some(&byte) {
                self.matched = 1;
            } else {
                forward.push(byte);
            }
        }
        Scanned { forward, detached: false }
    }
}

fn key(text: &str) -> anyhow::Result<u8> {
    let bad = || anyhow::anyhow!("unknown key `{text}` in detach keys: write `ctrl-<letter>` or a single character");
    if let Some(letter) = text.strip_prefix("ctrl-") {
        return match letter.as_bytes() {
            [letter @ (b'a'..=b'z' | b'@' | b'['..=b'_')] => Ok(letter.to_ascii_uppercase() & 0x1f),
            _ => Err(bad()),
        };
    }
    match text.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(bad()),
    }
}
