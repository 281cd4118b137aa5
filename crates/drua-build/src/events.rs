//! What a build tells while it goes on.

use crate::ports::Stream;

/// A step: an instruction of a stage that is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Position among all steps of the build, from 0; steps of one stage follow each other.
    pub index: usize,
    /// Which of the build's threads of work it belongs to: a stage for a platform.
    pub stage: usize,
    /// `[build 2/4] RUN make`
    pub title: String,
    /// The instruction as written, on one line.
    pub text: String,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// How many steps there are, when known.
    Steps(usize),
    /// A step has begun.
    Started(Step),
    /// Its result comes from the cache.
    Cached(usize),
    /// A command wrote something.
    Output(usize, Stream, Vec<u8>),
    /// A step has ended well; the result's id, 12 digits.
    Done(usize, String),
    /// A step has failed.
    Failed(usize),
    /// All steps of a stage have ended.
    StageDone(usize),
    /// Something that should be known but stops nothing.
    Warning(String),
    /// The image is being stored.
    Exporting,
}

/// Hears events, from several threads.
pub trait Listener: Send + Sync {
    /// Takes one. Slow listeners slow the build down.
    fn event(&self, event: Event);
}

impl<F: Fn(Event) + Send + Sync> Listener for F {
    fn event(&self, event: Event) {
        self(event);
    }
}
