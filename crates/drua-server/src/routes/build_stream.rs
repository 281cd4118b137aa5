//! A build's events as Docker's classic stream, or as they are for our own CLI.
//!
//! Stages run at the same time, but the classic stream numbers its steps: so a stage is shown when those before it have
//! ended, and what it says until then waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use drua_build::{Event, Stream};
use serde_json::{Value, json};

use crate::http::Sender;

/// Bytes of a stage's output that wait for their turn.
const MAX_WAITING: usize = 4 << 20;

/// Turns events into a response.
pub(crate) struct Report {
    sender: Sender,
    quiet: bool,
    events: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    total: usize,
    /// Stage of each step.
    stages: BTreeMap<usize, usize>,
    /// The stage that is shown now.
    front: usize,
    waiting: BTreeMap<usize, Vec<Value>>,
    waiting_bytes: usize,
    done: std::collections::BTreeSet<usize>,
}

impl Report {
    pub(crate) fn new(sender: Sender, quiet: bool, events: bool) -> Self {
        Self { sender, quiet, events, state: Mutex::default() }
    }

    pub(crate) fn tells_events(&self) -> bool {
        self.events
    }

    pub(crate) fn event(&self, event: Event) {
        if self.events {
            // The client may have gone; then the build is canceled.
            return drop(self.sender.blocking_json(&json!({"drua": raw(&event)})));
        }
        if self.quiet {
            return;
        }
        // Held while sending: two threads must not mix their lines.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stage = match &event {
            Event::Steps(total) => {
                state.total = *total;
                return;
            }
            Event::Exporting => return,
            Event::Warning(text) => {
                return drop(self.sender.blocking_json(&json!({"stream": format!("[Warning] {text}\n")})));
            }
            Event::StageDone(stage) => {
                state.done.insert(*stage);
                return self.turn(&mut state);
            }
            Event::Started(step) => {
                state.stages.insert(step.index, step.stage);
                step.stage
            }
            Event::Cached(step) | Event::Done(step, _) | Event::Failed(step) | Event::Output(step, ..) => {
                state.stages.get(step).copied().unwrap_or_default()
            }
        };
        let lines = classic(&event, state.total);
        if stage == state.front {
            lines.iter().for_each(|line| drop(self.sender.blocking_json(line)));
        } else if state.waiting_bytes < MAX_WAITING {
            state.waiting_bytes += lines.iter().map(|line| line.to_string().len()).sum::<usize>();
            state.waiting.entry(stage).or_default().extend(lines);
        }
    }

    /// Shows the next stage, and all after it that have ended, too.
    fn turn(&self, state: &mut State) {
        while state.done.contains(&state.front) {
            state.front += 1;
            for line in state.waiting.remove(&state.front).unwrap_or_default() {
                drop(self.sender.blocking_json(&line));
            }
        }
    }

    /// Shows what still waits: a build has failed in the middle.
    pub(crate) fn finish(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, lines) in std::mem::take(&mut state.waiting) {
            lines.iter().for_each(|line| drop(self.sender.blocking_json(line)));
        }
    }
}

fn classic(event: &Event, total: usize) -> Vec<Value> {
    let line = |text: String| json!({"stream": text});
    match event {
        Event::Started(step) => {
            vec![line(format!("Step {}/{total} : {}", step.index + 1, step.text)), line("\n".to_owned())]
        }
        Event::Cached(_) => vec![line(" ---> Using cache\n".to_owned())],
        Event::Done(_, id) => vec![line(format!(" ---> {id}\n"))],
        Event::Output(_, Stream::Out, bytes) => vec![line(String::from_utf8_lossy(bytes).into_owned())],
        // As the docker CLI shows standard error of a build.
        Event::Output(_, Stream::Err, bytes) => {
            vec![line(format!("\u{1b}[91m{}\u{1b}[0m", String::from_utf8_lossy(bytes)))]
        }
        _ => Vec::new(),
    }
}

fn raw(event: &Event) -> Value {
    match event {
        Event::Steps(total) => json!({"steps": total}),
        Event::Started(step) => {
            json!({"started": {"step": step.index, "stage": step.stage, "title": step.title}})
        }
        Event::Cached(step) => json!({"cached": step}),
        Event::Output(step, stream, bytes) => {
            let stream = if *stream == Stream::Err { 2 } else { 1 };
            json!({"output": {"step": step, "stream": stream, "text": String::from_utf8_lossy(bytes)}})
        }
        Event::Done(step, id) => json!({"done": {"step": step, "id": id}}),
        Event::Failed(step) => json!({"stopped": step}),
        Event::StageDone(stage) => json!({"stage": stage}),
        Event::Warning(text) => json!({"warning": text}),
        Event::Exporting => json!({"exporting": true}),
    }
}
