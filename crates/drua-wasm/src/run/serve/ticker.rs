//! The clock by which guests give way: it ticks while requests are being worked on, and sleeps otherwise.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// How long a guest computes before others get their turn.
const TICK: Duration = Duration::from_millis(10);
/// Ticks without a request after which the clock stops; starting it again costs a system call.
const IDLE_TICKS: u32 = 100;

#[derive(Debug, Default)]
struct Shared {
    active: AtomicUsize,
    asleep: AtomicBool,
}

/// The clock's handle.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<Thread>,
}

impl Ticker {
    /// Starts the clock of an engine, when its guests look at it.
    pub(super) fn start(engine: &Engine, interruptible: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        if !interruptible {
            return Ok(Self { shared, thread: None });
        }
        let (engine, ticking) = (engine.weak(), shared.clone());
        let thread =
            std::thread::Builder::new().name("wasm-clock".to_owned()).stack_size(64 << 10).spawn(move || {
                let mut idle = 0;
                while let Some(engine) = engine.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    idle = if ticking.active.load(Ordering::Relaxed) == 0 { idle + 1 } else { 0 };
                    if idle < IDLE_TICKS {
                        std::thread::sleep(TICK);
                        continue;
                    }
                    idle = 0;
                    ticking.asleep.store(true, Ordering::SeqCst);
                    // Somebody who came between the last look and the note has not seen the note.
                    while ticking.active.load(Ordering::SeqCst) == 0 {
                        std::thread::park();
                    }
                    ticking.asleep.store(false, Ordering::SeqCst);
                }
            })?;
        Ok(Self { shared, thread: Some(thread.thread().clone()) })
    }

    /// Notes that a request is being worked on, until the result is dropped.
    pub(super) fn active(&self) -> Active {
        self.shared.active.fetch_add(1, Ordering::SeqCst);
        if self.shared.asleep.load(Ordering::SeqCst)
            && let Some(thread) = &self.thread
        {
            thread.unpark();
        }
        Active(self.shared.clone())
    }
}

/// A request that is being worked on.
#[derive(Debug)]
pub(super) struct Active(Arc<Shared>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
    }
}
