//! The output of containers as lines, followed across restarts.

use drua_api::client::{EventsOptions, FrameStream, LogsOptions};
use drua_api::stream::{Frame, StreamType};
use drua_api::{Client, ClientError, Filters};
use tokio_util::sync::CancellationToken;

use crate::observer::{Observer, OutputLine};
use crate::plan::Target;

/// A line that is longer is delivered in pieces, so that memory stays bounded.
const MAX_LINE_BYTES: usize = 64 << 10;

/// What a container's lines are shown with: its name without the project, or all of it when the file gives one.
pub(crate) fn label<'n>(project: &str, container: &'n str) -> &'n str {
    container.strip_prefix(project).and_then(|rest| rest.strip_prefix('-')).unwrap_or(container)
}

/// Cuts the two streams of a container into lines.
pub(crate) struct Lines<'a> {
    observer: &'a dyn Observer,
    service: String,
    label: String,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(observer: &'a dyn Observer, project: &str, target: &Target) -> Self {
        let label = label(project, &target.name).to_owned();
        Self { observer, service: target.service.clone(), label, stdout: Vec::new(), stderr: Vec::new() }
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn push(&mut self, frame: &Frame) {
        let stream = if frame.stream == StreamType::Stderr { StreamType::Stderr } else { StreamType::Stdout };
        let mut rest: &[u8] = &frame.payload;
        while !rest.is_empty() {
            let end = rest.iter().position(|byte| *byte == b'\n');
            let (piece, next) = rest.split_at(end.unwrap_or(rest.len()));
            let buffer = if stream == StreamType::Stderr { &mut self.stderr } else { &mut self.stdout };
            buffer.extend_from_slice(piece);
            if end.is_some() || buffer.len() >= MAX_LINE_BYTES {
                self.flush(stream);
            }
            rest = next.strip_prefix(b"\n").unwrap_or(next);
        }
    }

    /// Delivers what is left without a line end.
    pub(crate) fn finish(&mut self) {
        for stream in [StreamType::Stdout, StreamType::Stderr] {
            let buffer = if stream == StreamType::Stderr { &self.stderr } else { &self.stdout };
            if !buffer.is_empty() {
                self.flush(stream);
            }
        }
    }

    fn flush(&mut self, stream: StreamType) {
        let buffer = if stream == StreamType::Stderr { &mut self.stderr } else { &mut self.stdout };
        // A terminal ends lines with a carriage return as well.
        let line = buffer.strip_suffix(b"\r").unwrap_or(buffer);
        self.observer.output(OutputLine { service: &self.service, label: &self.label, stream, line });
        buffer.clear();
    }
}

/// Delivers a stream to its end.
pub(crate) async fn pump(lines: &mut Lines<'_>, mut output: FrameStream) -> Result<(), ClientError> {
    let mut result = Ok(());
    while let Some(frame) = output.next().await {
        match frame {
            Ok(frame) => lines.push(&frame),
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    lines.finish();
    result
}

/// Delivers what a container writes until it has exited for good, across restarts by its policy. Reports each exit.
///
/// `last_end` is when the run before the attached one ended, by which a new end is recognised; `stopped` says that nothing
/// will be restarted any more.
pub(crate) async fn follow(
    client: &Client,
    lines: &mut Lines<'_>,
    container: &str,
    output: FrameStream,
    last_end: Option<String>,
    stopped: &CancellationToken,
) -> Result<(), ClientError> {
    let (mut output, mut last_end) = (output, last_end);
    loop {
        pump(lines, output).await?;
        let Some(run) = next_run(client, lines, container, last_end, stopped).await? else { return Ok(()) };
        let options = LogsOptions { follow: true, since: Some(run.logs_since), ..LogsOptions::default() };
        output = match client.container_logs(container, &options).await {
            Err(error) if error.is_not_found() => return Ok(()),
            logs => logs?,
        };
        last_end = run.last_end;
    }
}

/// A run of a container after a restart.
struct Run {
    /// When the run before it ended.
    last_end: Option<String>,
    /// A time between the two.
    logs_since: String,
}

impl Run {
    /// Lines are stamped when they are read, which may be a little after the end or before the start that is recorded; the
    /// middle of the pause between two runs is far from both.
    fn between(end: Option<String>, start: Option<String>) -> Self {
        let time = |text: &Option<String>| text.as_ref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let middle = time(&end).zip(time(&start)).and_then(|(end, start)| {
            let nanos = (end.as_nanosecond() + start.as_nanosecond()) / 2;
            jiff::Timestamp::from_nanosecond(nanos).ok()
        });
        let logs_since = middle.map(|middle| middle.to_string()).or_else(|| end.clone()).unwrap_or_default();
        Self { last_end: end, logs_since }
    }
}

/// Waits for the end of a run whose output has ended, reports it, and waits for the next run if the container is being
/// restarted. `None` when no other run follows.
///
/// The end of the output comes before the engine has taken note of the exit, and a restart may come before we look: what
/// tells is the time of the last end.
async fn next_run(
    client: &Client,
    lines: &Lines<'_>,
    container: &str,
    last_end: Option<String>,
    stopped: &CancellationToken,
) -> Result<Option<Run>, ClientError> {
    let filters = Filters::new().with("type", "container").with("container", container);
    let mut events = client.events(&EventsOptions { filters, ..EventsOptions::default() }).await?;
    let mut reported = false;
    let mut last_look = false;
    loop {
        let state = match client.container_inspect(container).await {
            Err(error) if error.is_not_found() => return Ok(None),
            inspected => inspected?.state.unwrap_or_default(),
        };
        let restarting = state.restarting == Some(true);
        let running = state.running == Some(true) && !restarting;
        if state.finished_at != last_end || !(running || restarting) {
            if !reported {
                reported = true;
                lines.observer.exited(&lines.label, state.exit_code.unwrap_or_default());
            }
            if running {
                return Ok(Some(Run::between(state.finished_at, state.started_at)));
            }
            if !restarting {
                return Ok(None);
            }
        }
        if last_look {
            return Ok(None);
        }
        tokio::select! {
            event = events.next() => match event {
                Some(event) => drop(event?),
                None => return Ok(None),
            },
            () = stopped.cancelled() => last_look = true,
        }
    }
}
