//! "Did you mean": the nearest of some known words.

/// The word of `known` that is nearest to `word`, when it is near enough to be meant. Ignores case.
pub fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let word = word.to_lowercase();
    let limit = if word.len() > 64 { return None } else { word.len() / 3 + usize::from(word.len() < 6) };
    known
        .into_iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance > 0 && *distance <= limit.max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours between two words.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["FROM", "RUN", "COPY", "ENTRYPOINT"];
        for (word, expected) in
            [("FORM", Some("FROM")), ("rnu", Some("RUN")), ("ENTRYPONT", Some("ENTRYPOINT")), ("XYZZY", None)]
        {
            assert_eq!(super::nearest(word, known), expected, "{word}");
        }
    }
}
