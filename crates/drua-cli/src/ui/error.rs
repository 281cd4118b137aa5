use super::Paint;
use crate::failure::Failure;

/// The one shape of every failure:
///
/// ```text
/// error: failed to start container `web`
///   Caused by: cannot publish 8080/tcp on 0.0.0.0
///   Caused by: address already in use
///
/// hint: container `old-web` holds the port; stop it or use `-p 8081:80`
/// ```
pub(crate) fn render_failure(failure: &Failure, paint: Paint) -> String {
    let mut causes = failure.error.chain().map(ToString::to_string);
    let mut text = format!("{} {}\n", paint.red("error:"), causes.next().unwrap_or_default());
    for cause in causes {
        text.push_str("  Caused by: ");
        text.push_str(&cause.trim_end().replace('\n', "\n    "));
        text.push('\n');
    }
    let hints = failure.hints();
    if !hints.is_empty() {
        text.push('\n');
    }
    for hint in hints {
        text.push_str(&paint.cyan("hint:"));
        text.push(' ');
        text.push_str(&hint);
        text.push('\n');
    }
    text
}
