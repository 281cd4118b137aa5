use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  drua completion bash > /etc/bash_completion.d/drua
  drua completion fish > ~/.config/fish/completions/drua.fish")]
pub(crate) struct Completion {
    /// Shell
    shell: clap_complete::Shell,
}

impl Completion {
    pub(super) fn run(self, ctx: &Context) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut crate::cli::grouped(), "drua", &mut script);
        ctx.ui.data(&script)?;
        Ok(exit::OK)
    }
}
