use std::io::{self, IsTerminal as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

/// Puts the terminal on stdin into raw mode and restores it when dropped, on every path out.
#[derive(Debug)]
pub(crate) struct RawMode {
    saved: Termios,
}

impl RawMode {
    /// Switches the terminal on stdin to raw mode.
    ///
    /// # Errors
    /// When stdin is no terminal.
    pub(crate) fn enter() -> io::Result<Self> {
        let saved = tcgetattr(io::stdin())?;
        let mut raw = saved.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { saved })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        // The terminal may be gone by now; there is nothing to restore then.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.saved);
    }
}

/// Hides what is typed on the terminal on stdin until dropped; does nothing where there is none.
#[derive(Debug)]
pub(crate) struct NoEcho {
    saved: Option<Termios>,
}

impl NoEcho {
    pub(crate) fn enter() -> Self {
        let saved = tcgetattr(io::stdin()).ok();
        if let Some(saved) = &saved {
            let mut hidden = saved.clone();
            hidden.local_modes.remove(LocalModes::ECHO);
            // What cannot be hidden is shown, as everywhere.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &hidden);
        }
        Self { saved }
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, saved);
        }
    }
}

/// A terminal's size in character cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
}

/// The size of the terminal on stdout, if there is one and it knows.
pub(crate) fn terminal_size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(Size { rows: size.ws_row, columns: size.ws_col })
}

pub(crate) fn stdin_is_terminal() -> bool {
    io::stdin().is_terminal()
}
