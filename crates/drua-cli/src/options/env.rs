use anyhow::{Context as _, bail};

/// Largest file of variables or labels.
const MAX_FILE_BYTES: usize = 1 << 20;

/// Where a variable that is named without a value gets it from.
pub(crate) type EnvSource<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Variables of files and of the command line, the latter later so that they win.
pub(crate) fn variables(files: &[String], words: &[String], source: EnvSource<'_>) -> anyhow::Result<Vec<String>> {
    let mut variables = Vec::new();
    for file in files {
        for line in lines(file)? {
            variables.extend(variable(&line, source).with_context(|| format!("bad line in `{file}`"))?);
        }
    }
    for word in words {
        variables.extend(variable(word, source)?);
    }
    Ok(variables)
}

/// `NAME=value`, or `NAME` to take over the value here; a variable that is not set here is left out.
fn variable(text: &str, source: EnvSource<'_>) -> anyhow::Result<Option<String>> {
    let (name, has_value) = text.split_once('=').map_or((text, false), |(name, _)| (name, true));
    if name.is_empty() {
        bail!("invalid environment variable: {text}");
    }
    if name.contains(char::is_whitespace) {
        bail!("variable '{name}' contains whitespaces");
    }
    if has_value {
        return Ok(Some(text.to_owned()));
    }
    Ok(source(name).map(|value| format!("{name}={value}")))
}

/// The lines of a file that say something: without comments and blank lines.
pub(crate) fn lines(path: &str) -> anyhow::Result<Vec<String>> {
    let text = fs_err::read(path)?;
    if text.len() > MAX_FILE_BYTES {
        bail!("`{path}` is larger than {MAX_FILE_BYTES} bytes");
    }
    let text = String::from_utf8(text).with_context(|| format!("`{path}` is not UTF-8"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text
        .lines()
        .map(str::trim_start)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}
