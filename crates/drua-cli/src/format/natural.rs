use std::cmp::Ordering;

/// Compares names so that numbers in them count as numbers: `web2` comes before `web10`.
pub(crate) fn natural_order(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        let (Some(first_a), Some(first_b)) = (a.first(), b.first()) else {
            return a.len().cmp(&b.len());
        };
        let order = if first_a.is_ascii_digit() && first_b.is_ascii_digit() {
            let (number_a, number_b) = (digits(a), digits(b));
            (a, b) = (&a[number_a.len()..], &b[number_b.len()..]);
            let (significant_a, significant_b) = (trim_zeros(number_a), trim_zeros(number_b));
            significant_a
                .len()
                .cmp(&significant_b.len())
                .then_with(|| significant_a.cmp(significant_b))
                .then_with(|| number_a.len().cmp(&number_b.len()))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            first_a.cmp(first_b)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn digits(text: &[u8]) -> &[u8] {
    &text[..text.iter().take_while(|byte| byte.is_ascii_digit()).count()]
}

fn trim_zeros(number: &[u8]) -> &[u8] {
    &number[number.iter().take_while(|byte| **byte == b'0').count()..]
}
