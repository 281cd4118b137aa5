use drua_types::exit;

use crate::context::Context;
use crate::failure::{Failure, Outcome};

/// Does something to each of several things: prints the name of each that worked on stdout, each failure on stderr, and
/// fails if one did.
pub(super) async fn each<'a>(
    ctx: &Context,
    names: &'a [String],
    mut action: impl AsyncFnMut(&'a str) -> Result<(), Failure>,
) -> Outcome {
    let mut code = exit::OK;
    for name in names {
        match action(name).await {
            Ok(()) => ctx.ui.line(name)?,
            Err(failure) => {
                ctx.ui.failure(&failure);
                code = exit::FAILURE;
            }
        }
    }
    Ok(code)
}
