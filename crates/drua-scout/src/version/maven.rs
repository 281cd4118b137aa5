//! Maven's `ComparableVersion` (3.9): lists of numbers, qualifiers and combinations of both; a dash, or a change between
//! digits and letters, opens a list inside the list.

use std::cmp::Ordering;

use super::scan;

/// Lists inside lists; versions that people write have three or four.
const MAX_DEPTH: usize = 64;
const QUALIFIERS: [&str; 7] = ["alpha", "beta", "milestone", "rc", "snapshot", "", "sp"];
const RELEASE: usize = 5;

pub(super) fn compare(a: &str, b: &str) -> Ordering {
    list_order(&parse(a), &parse(b))
}

#[derive(Debug, Clone)]
enum Item {
    /// Digits without zeros before them; zero is empty.
    Number(String),
    Text(String),
    /// A qualifier and the number that follows it.
    Combination(String, String),
    List(Vec<Item>),
}

impl Item {
    fn is_null(&self) -> bool {
        match self {
            Self::Number(digits) => digits.is_empty(),
            Self::Text(text) => text.is_empty(),
            Self::Combination(..) => false,
            Self::List(items) => items.is_empty(),
        }
    }

    /// Compares with an item that the other list does not have.
    fn order_to_nothing(&self) -> Ordering {
        match self {
            Self::Number(digits) => digits.len().cmp(&0),
            Self::Text(text) | Self::Combination(text, _) => rank(text).cmp(&rank("")),
            Self::List(items) => {
                items.iter().map(Self::order_to_nothing).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            }
        }
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => scan::numbers(a, b),
            (Self::Number(_), _) => Ordering::Greater,
            (_, Self::Number(_)) => Ordering::Less,
            (Self::Text(a), Self::Text(b)) => rank(a).cmp(&rank(b)),
            (Self::Text(a), Self::Combination(b, _)) => rank(a).cmp(&rank(b)).then(Ordering::Less),
            (Self::Combination(a, _), Self::Text(b)) => rank(a).cmp(&rank(b)).then(Ordering::Greater),
            (Self::Combination(a, n), Self::Combination(b, m)) => {
                rank(a).cmp(&rank(b)).then_with(|| scan::numbers(n, m))
            }
            (Self::List(a), Self::List(b)) => list_order(a, b),
            (Self::List(_), _) => Ordering::Greater,
            (_, Self::List(_)) => Ordering::Less,
        }
    }
}

fn list_order(a: &[Item], b: &[Item]) -> Ordering {
    for index in 0..a.len().max(b.len()) {
        let order = match (a.get(index), b.get(index)) {
            (Some(a), Some(b)) => a.order(b),
            (Some(a), None) => a.order_to_nothing(),
            (None, Some(b)) => b.order_to_nothing().reverse(),
            (None, None) => Ordering::Equal,
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// A qualifier's place; unknown ones come after all known ones, by their letters. As in Maven the places are compared as
/// texts, which matters to nobody while there are fewer than ten.
fn rank(text: &str) -> (usize, &str) {
    if matches!(text, "ga" | "final" | "release") {
        return (RELEASE, "");
    }
    match QUALIFIERS.iter().position(|qualifier| *qualifier == text) {
        Some(place) => (place, ""),
        None => (QUALIFIERS.len(), text),
    }
}

fn number(digits: &str) -> Item {
    Item::Number(digits.trim_start_matches('0').to_owned())
}

fn alias(text: &str, before_digit: bool) -> String {
    match (text, before_digit) {
        ("a", true) => "alpha",
        ("b", true) => "beta",
        ("m", true) => "milestone",
        ("cr", _) => "rc",
        _ => text,
    }
    .to_owned()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Digits,
    Text,
    Combination,
}

fn item(kind: Kind, text: &str) -> Item {
    match kind {
        Kind::Digits => number(text),
        Kind::Text => Item::Text(alias(text, false)),
        Kind::Combination => {
            let joined = text.replace('-', "");
            let at = joined.find(|c: char| c.is_ascii_digit()).unwrap_or(joined.len());
            let (name, digits) = joined.split_at(at);
            Item::Combination(alias(name, true), digits.trim_start_matches('0').to_owned())
        }
    }
}

/// The lists that are open, outermost first.
struct Open(Vec<Vec<Item>>);

impl Open {
    fn add(&mut self, item: Item) {
        if let Some(list) = self.0.last_mut() {
            list.push(item);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.last().is_none_or(Vec::is_empty)
    }

    fn nest(&mut self) {
        if self.0.len() < MAX_DEPTH {
            self.0.push(Vec::new());
        }
    }

    /// Closes all lists, from the innermost out, each without the nothings at its end.
    fn close(mut self) -> Vec<Item> {
        let mut inner: Option<Vec<Item>> = None;
        while let Some(mut list) = self.0.pop() {
            if let Some(inner) = inner.take() {
                list.push(Item::List(inner));
            }
            normalize(&mut list);
            inner = Some(list);
        }
        inner.unwrap_or_default()
    }
}

fn normalize(list: &mut Vec<Item>) {
    for index in (0..list.len()).rev() {
        if !list[index].is_null() {
            continue;
        }
        let remove = match list.get(index + 1) {
            None | Some(Item::Text(_)) => true,
            Some(Item::List(inner)) => matches!(inner.first(), Some(Item::Combination(..) | Item::Text(_))),
            Some(Item::Number(_) | Item::Combination(..)) => false,
        };
        if remove {
            list.remove(index);
        }
    }
}

fn parse(version: &str) -> Vec<Item> {
    let text = version.trim().to_lowercase();
    let bytes = text.as_bytes();
    let mut open = Open(vec![Vec::new()]);
    let (mut is_digit, mut is_combination) = (false, false);
    let mut start = 0;
    let kind = |digit: bool, combination: bool| match (combination, digit) {
        (true, _) => Kind::Combination,
        (false, true) => Kind::Digits,
        (false, false) => Kind::Text,
    };
    // `.`, `-` and digits are single bytes, so that every index used below is a boundary.
    for (index, &byte) in bytes.iter().enumerate() {
        match byte {
            b'.' => {
                let part = if index == start { number("") } else { item(kind(is_digit, is_combination), &text[start..index]) };
                open.add(part);
                is_combination = false;
                start = index + 1;
            }
            b'-' => {
                if index == start {
                    open.add(number(""));
                } else {
                    // `X-1` is read as `X1`.
                    if !is_digit && bytes.get(index + 1).is_some_and(u8::is_ascii_digit) {
                        is_combination = true;
                        continue;
                    }
                    open.add(item(kind(is_digit, is_combination), &text[start..index]));
                }
                start = index + 1;
                if !open.is_empty() {
                    open.nest();
                }
                is_combination = false;
            }
            b'0'..=b'9' => {
                if !is_digit && index > start {
                    is_combination = true;
                    if !open.is_empty() {
                        open.nest();
                    }
                }
                is_digit = true;
            }
            _ => {
                if is_digit && index > start {
                    open.add(item(kind(true, is_combination), &text[start..index]));
                    start = index;
                    open.nest();
                    is_combination = false;
                }
                is_digit = false;
            }
        }
    }
    if text.len() > start {
        if !is_digit && !open.is_empty() {
            open.nest();
        }
        open.add(item(kind(is_digit, is_combination), &text[start..]));
    }
    open.close()
}
