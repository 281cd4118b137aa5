mod command_line;
mod errors;
mod formats;
mod options;
mod requests;
mod sessions;
mod templates;
mod units;
