//! `HostConfig.LogConfig`: the log driver and its options, in the words that Docker refuses with.

use drua_api::models;
use drua_engine::container::log_attributes;
use drua_engine::container::{LogConfig, LogDriver};
use drua_types::ByteSize;

use crate::http::Failure;

/// More files than anybody keeps; each is a rename at every rotation.
const MAX_FILES: u32 = 1000;
/// The options of `json-file` and `local`, beside [`ATTRIBUTES`].
const LIMITS: [&str; 5] = ["max-size", "max-file", "compress", "mode", "max-buffer-size"];
/// What adds attributes to records.
const ATTRIBUTES: [&str; 5] = ["labels", "labels-regex", "env", "env-regex", "tag"];

/// Reads and checks a log configuration.
pub(crate) fn parse(config: Option<models::HostConfigLogConfig>) -> Result<LogConfig, Failure> {
    let config = config.unwrap_or_default();
    let name = config.typ.filter(|name| !name.is_empty()).unwrap_or_else(|| "json-file".to_owned());
    let driver = match name.as_str() {
        "json-file" => LogDriver::JsonFile,
        "local" => LogDriver::Local,
        "none" => LogDriver::None,
        other => return Err(Failure::invalid(format!("logger: no log driver named '{other}' is registered"))),
    };
    let options = config.config.unwrap_or_default();
    let known = |option: &String| LIMITS.contains(&option.as_str()) || ATTRIBUTES.contains(&option.as_str());
    if driver != LogDriver::None
        && let Some(option) = options.keys().find(|option| !known(option))
    {
        return Err(Failure::invalid(format!("unknown log opt '{option}' for {name} log driver")));
    }
    let mut log = LogConfig { driver, ..LogConfig::default() };
    if let Some(size) = options.get("max-size").filter(|size| *size != "-1") {
        log.max_size = size.parse::<ByteSize>().map_err(Failure::invalid)?;
    }
    if let Some(count) = options.get("max-file") {
        let count: u32 = count.parse().map_err(|_| Failure::invalid(format!("invalid max-file: {count}")))?;
        if count == 0 {
            return Err(Failure::invalid("max-file cannot be less than 1"));
        }
        log.max_file = count.min(MAX_FILES);
    }
    // Records go to a file and nobody waits for a reader, so that blocking and non-blocking are the same here.
    let mode = options.get("mode").map_or("", String::as_str);
    if !matches!(mode, "" | "blocking" | "non-blocking") {
        return Err(Failure::invalid(format!("logger: logging mode not supported: {mode}")));
    }
    if let Some(size) = options.get("max-buffer-size") {
        if mode != "non-blocking" {
            let message = "logger: max-buffer-size option is only supported with 'mode=non-blocking'";
            return Err(Failure::invalid(message));
        }
        size.parse::<ByteSize>().map_err(|error| Failure::invalid(format!("invalid max-buffer-size: {error}")))?;
    }
    if driver != LogDriver::None {
        log.options = options.into_iter().filter(|(option, _)| ATTRIBUTES.contains(&option.as_str())).collect();
        log_attributes::check(&log.options)?;
    }
    Ok(log)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_options(driver: &str, options: &[(&str, &str)]) -> Result<LogConfig, String> {
        let config = options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        parse(Some(models::HostConfigLogConfig { typ: Some(driver.to_owned()), config: Some(config) }))
            .map_err(|failure| format!("{failure:?}"))
    }

    #[test]
    fn options_are_taken_or_refused() {
        let options = [
            ("max-size", "10m"),
            ("max-file", "3"),
            ("mode", "non-blocking"),
            ("max-buffer-size", "4m"),
            ("tag", "{{.Name}}"),
            ("labels", "a,b"),
        ];
        let log = parse_options("json-file", &options).expect("valid");
        assert_eq!((log.max_size.bytes(), log.max_file, log.options.len()), (10 << 20, 3, 2));
        for (driver, option, value, words) in [
            ("json-file", "nope", "1", "unknown log opt 'nope' for json-file log driver"),
            ("local", "max-file", "0", "max-file cannot be less than 1"),
            ("local", "mode", "fast", "logging mode not supported: fast"),
            ("json-file", "max-buffer-size", "1m", "only supported with 'mode=non-blocking'"),
            ("json-file", "tag", "{{.Nope}}", "invalid log option tag"),
            ("syslog", "tag", "x", "no log driver named 'syslog' is registered"),
        ] {
            let error = parse_options(driver, &[(option, value)]).expect_err(option);
            assert!(error.contains(words), "{error}");
        }
        assert!(parse_options("none", &[("whatever", "x")]).is_ok());
    }
}
