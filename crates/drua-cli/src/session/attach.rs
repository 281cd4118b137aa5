use std::io;
use std::pin::pin;

use bytes::Bytes;
use drua_api::Client;
use drua_api::client::{Attached, AttachedInput, FrameStream};
use drua_api::stream::StreamType;
use tokio::io::AsyncWriteExt as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{DetachKeys, RawMode, Signals, read_in_background, terminal_size};
use crate::failure::Failure;
use crate::ui::Printer;

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The container has nothing more to say.
    OutputClosed,
    /// The user left; the container goes on.
    Detached,
}

/// Whose streams a session has.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target<'a> {
    /// A container's, by name or id.
    Container(&'a str),
    /// An exec's, by id.
    Exec(&'a str),
}

/// What a session needs besides its connection.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) client: &'a Client,
    pub(crate) ui: &'a Printer,
    pub(crate) target: Target<'a>,
    /// The container has a terminal.
    pub(crate) tty: bool,
    /// Our standard input goes to the container.
    pub(crate) stdin: bool,
    /// Signals that we get go to the container.
    pub(crate) proxy_signals: bool,
    pub(crate) detach_keys: DetachKeys,
}

impl Session<'_> {
    /// Puts the terminal into raw mode, if one is on stdin and the container has one too.
    pub(crate) fn raw_mode(&self) -> Result<Option<RawMode>, Failure> {
        if !(self.stdin && self.tty && super::stdin_is_terminal()) {
            return Ok(None);
        }
        RawMode::enter().map(Some).map_err(Failure::new)
    }

    /// Copies in both directions until the output ends or the user detaches.
    pub(crate) async fn run(&self, attached: Attached, signals: Option<Signals>) -> Result<Ended, Failure> {
        let Attached { mut output, input } = attached;
        let output = copy_output(self.ui, &mut output);
        let input = self.copy_input(input);
        let resize = self.follow_resizes();
        let proxy = self.proxy(signals);
        let (mut output, mut input, mut resize, mut proxy) = (pin!(output), pin!(input), pin!(resize), pin!(proxy));
        let mut input_open = true;
        loop {
            tokio::select! {
                result = &mut output => return result.map(|()| Ended::OutputClosed),
                ended = &mut input, if input_open => match ended? {
                    Some(ended) => return Ok(ended),
                    None => input_open = false,
                },
                never = &mut resize => match never {},
                never = &mut proxy => match never {},
            }
        }
    }

    /// Feeds the container until our input ends. An end of input closes the container's; the output goes on.
    async fn copy_input(&self, mut input: AttachedInput) -> Result<Option<Ended>, Failure> {
        if !self.stdin {
            // The write half stays open: closing it would tell the daemon that we are gone.
            return std::future::pending().await;
        }
        let mut keys = self.detach_keys.clone();
        let mut source: mpsc::Receiver<io::Result<Bytes>> = read_in_background(io::stdin());
        while let Some(chunk) = source.recv().await {
            let chunk = chunk?;
            let scanned = if self.tty { Some(keys.scan(&chunk)) } else { None };
            let forward: &[u8] = scanned.as_ref().map_or(&chunk, |scanned| &scanned.forward);
            if input.write_all(forward).await.is_err() {
                // The container closed its input or is gone; its output tells the rest.
                return Ok(None);
            }
            if scanned.is_some_and(|scanned| scanned.detached) {
                return Ok(Some(Ended::Detached));
            }
        }
        let _ = input.shutdown().await;
        // Dropping the write half is harmless now, and its reader keeps the connection.
        Ok(None)
    }

    /// Tells the container's terminal when ours changes its size.
    async fn follow_resizes(&self) -> std::convert::Infallible {
        let changed = signal(SignalKind::window_change()).ok().filter(|_| self.tty);
        let Some(mut changed) = changed else {
            return std::future::pending().await;
        };
        loop {
            changed.recv().await;
            self.resize().await;
        }
    }

    /// Gives the container's terminal the size of ours. Failures do not matter: the next resize tries again.
    pub(crate) async fn resize(&self) {
        let Some(size) = terminal_size().filter(|_| self.tty) else { return };
        let resized = match self.target {
            Target::Container(name) => self.client.container_resize(name, size.rows, size.columns).await,
            Target::Exec(id) => self.client.exec_resize(id, size.rows, size.columns).await,
        };
        if let Err(error) = resized {
            tracing::debug!(%error, "resize failed");
        }
    }

    async fn proxy(&self, signals: Option<Signals>) -> std::convert::Infallible {
        let (Some(mut signals), Target::Container(container)) = (signals.filter(|_| self.proxy_signals), self.target)
        else {
            return std::future::pending().await;
        };
        loop {
            let name = signals.next().await;
            if let Err(error) = self.client.container_kill(container, Some(name)).await {
                tracing::debug!(%error, signal = name, "cannot pass a signal on");
            }
        }
    }
}

/// Copies a container's output to ours until it ends.
pub(crate) async fn copy_output(ui: &Printer, output: &mut FrameStream) -> Result<(), Failure> {
    while let Some(frame) = output.next().await {
        let frame = frame?;
        match frame.stream {
            StreamType::Stdout | StreamType::Stdin => ui.data(&frame.payload)?,
            StreamType::Stderr => ui.error_data(&frame.payload)?,
            StreamType::SystemError => {
                let text = String::from_utf8_lossy(&frame.payload).into_owned();
                return Err(Failure::new(anyhow::Error::msg(text).context("the daemon stopped streaming")));
            }
        }
    }
    Ok(())
}
