//! The order in which Go's YAML encoder writes the keys of a mapping: numbers by their value, letters after other signs.

use std::cmp::Ordering;

/// Compares two keys.
pub(super) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let Some(at) = left.iter().zip(&right).position(|(l, r)| l != r) else { return left.len().cmp(&right.len()) };
    let after_digit = at > 0 && left[at - 1].is_ascii_digit();
    match (left[at].is_alphabetic(), right[at].is_alphabetic()) {
        (true, true) => return left[at].cmp(&right[at]),
        // Within a number the letter ends it, so that the shorter number comes first.
        (true, false) => return if after_digit { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if after_digit { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    // Zeros count where digits stand before them that are none.
    let zero = left[at] == '0' || right[at] == '0';
    let digits_before = left[..at].iter().rev().take_while(|c| c.is_ascii_digit());
    let start = i64::from(zero && digits_before.into_iter().any(|c| *c != '0'));
    let (left_number, left_end) = number(&left, at, start);
    let (right_number, right_end) = number(&right, at, start);
    left_number.cmp(&right_number).then(left_end.cmp(&right_end)).then(left[at].cmp(&right[at]))
}

fn number(text: &[char], at: usize, start: i64) -> (i64, usize) {
    let digits = text[at..].iter().map_while(|c| c.to_digit(10));
    digits.fold((start, at), |(number, end), digit| (number.wrapping_mul(10).wrapping_add(i64::from(digit)), end + 1))
}
