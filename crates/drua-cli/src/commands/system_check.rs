use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;
use crate::ui::decimal_size;

/// Verify that images and layers on disk are what they should be
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads and unpacks everything once. Exits with 1 when something is wrong that was not repaired."
)]
pub(crate) struct Check {
    /// Mend what can be mended: remove what is damaged or left over, unpack layers again
    #[arg(long)]
    repair: bool,
}

impl Check {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let report = ctx.client().await?.system_check(self.repair).await?;
        let mut open = 0;
        for problem in &report.problems {
            open += u32::from(problem.repaired.is_none());
            let done = problem.repaired.as_ref().map(|done| format!(" ({done})")).unwrap_or_default();
            ctx.ui.line(&format!("{}: {}{done}", problem.subject, problem.text))?;
        }
        let bytes = decimal_size(i64::try_from(report.bytes).unwrap_or(i64::MAX), 3);
        let found = match report.problems.len() {
            0 => "no problems".to_owned(),
            1 => "1 problem".to_owned(),
            many => format!("{many} problems"),
        };
        ctx.ui.line(&format!("checked {} blobs and {} layers, {bytes}: {found}", report.blobs, report.layers))?;
        if open > 0 && !self.repair {
            ctx.ui.note("to repair what can be repaired: `drua system check --repair`");
        }
        Ok(if open == 0 { exit::OK } else { exit::FAILURE })
    }
}
