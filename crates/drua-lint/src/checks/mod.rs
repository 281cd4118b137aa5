//! The checks, by what they look at. Each puts what it finds into a sink; which of it counts is decided afterwards.

mod buildkit;
mod buildkit_vars;
mod compose;
mod context;
mod hadolint;
mod images;
mod labels;
mod packages;
mod practice;
mod project;
mod shell;

use crate::compose::ComposeView;
use crate::input::Input;
use crate::report::{Diagnostic, Sink};
use crate::unit::View;

/// Everything about one Dockerfile.
pub(crate) fn dockerfile(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    buildkit(view, input, sink);
    hadolint::check(view, input, sink);
    labels::check(view, input, sink);
    for step in &view.steps {
        if let Some(run) = packages::Run::new(view, step) {
            packages::check(&run, sink);
            packages::commands(&run, sink);
            shell::check(&run, sink);
        }
    }
    packages::downloaders(view, sink);
    images::check(view, input, sink);
    images::wasm(view, sink);
    practice::check(view, sink);
    context::check(view, sink);
}

/// Everything about the ignore file of a Dockerfile.
pub(crate) fn ignore_file(view: &View<'_>) -> Vec<Diagnostic> {
    context::ignore_file(view)
}

/// Everything about a compose file, by itself and with the Dockerfiles that it builds.
pub(crate) fn compose(compose: &ComposeView<'_>, views: &[View<'_>], input: &Input<'_>, sink: &mut Sink<'_>) {
    compose::check(compose, input, sink);
    project::check(compose, views, input, sink);
}

/// BuildKit's checks alone.
pub(crate) fn buildkit(view: &View<'_>, input: &Input<'_>, sink: &mut Sink<'_>) {
    buildkit::check(view, input, sink);
    buildkit_vars::check(view, sink);
}
