//! The checks, by what they look at. Each puts what it finds into a sink; which of it counts is decided afterwards.

mod buildkit;
mod buildkit_vars;

use crate::input::Input;
use crate::report::Sink;
use crate::unit::View;

/// Everything about one Dockerfile.
pub(crate) fn dockerfile(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    buildkit(view, input, sink);
}

/// BuildKit's checks alone.
pub(crate) fn buildkit(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    buildkit::check(view, input, sink);
    buildkit_vars::check(view, sink);
}
