//! Exit codes, in one place.

/// Everything went well.
pub const OK: u8 = 0;
/// The user asked for something that cannot be done.
pub const FAILURE: u8 = 1;
/// The command line itself is wrong.
pub const USAGE: u8 = 2;
/// drua failed before the container's command could run.
pub const ENGINE: u8 = 125;
/// The container's command was found and cannot be run.
pub const NOT_EXECUTABLE: u8 = 126;
/// The container's command was not found.
pub const NOT_FOUND: u8 = 127;
/// A Wasm guest trapped or could not be instantiated; the code that runwasi's shims report.
pub const WASM_TRAP: u8 = 137;

/// What a shell reports for a process that signal `number` ended: 128 + n.
pub fn from_signal(number: i32) -> u32 {
    128 + number.unsigned_abs()
}
