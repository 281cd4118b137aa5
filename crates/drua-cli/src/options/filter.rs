use std::collections::HashMap;

use anyhow::bail;
use drua_api::Filters;

/// `--filter key=value`, repeated.
pub(crate) fn api_filters(words: &[String]) -> anyhow::Result<Filters> {
    let mut filters = Filters::new();
    for word in words {
        match word.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                filters.insert(key.trim().to_lowercase().as_str(), value.trim());
            }
            _ => bail!("invalid filter `{word}`: expected `key=value`"),
        }
    }
    Ok(filters)
}

/// `key=value`, repeated; a key without a value has the empty one.
pub(crate) fn key_values(words: &[String]) -> HashMap<String, String> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) => (key.to_owned(), value.to_owned()),
        None => (word.clone(), String::new()),
    };
    words.iter().map(pair).collect()
}
