//! A terminal session with a container: its streams, our terminal, signals and sizes.

mod attach;
mod detach;
mod directory;
mod input;
mod signals;
mod terminal;

pub(crate) use attach::{Ended, Session, Target, copy_output};
pub(crate) use detach::DetachKeys;
pub(crate) use directory::archive_layout;
pub(crate) use input::{channel_stream, read_in_background};
pub(crate) use signals::Signals;
pub(crate) use terminal::{NoEcho, RawMode, stdin_is_terminal, terminal_size};
