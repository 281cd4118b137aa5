use crate::service::{Service, Stack};
use crate::setting::{Evidence, Key};
use crate::tree::Folder;

/// What is left: a script that starts something, or nothing that is known.
pub(super) fn detect(folder: &Folder<'_>) -> Service {
    let mut service = Service::new(Stack::Other, folder.dir, "Other");
    let script = folder.first_of(&["start.sh", "run.sh", "entrypoint.sh", "main.sh"]);
    match script {
        Some(script) => {
            service.title = "Shell script".to_owned();
            service.runnable = true;
            service.evidence.push(Evidence::of(folder.path(script), "starts something"));
            let text = folder.text(script).unwrap_or_default();
            let shell = text.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or("/bin/sh");
            let bash = shell.contains("bash");
            service.fact("bash", bash);
            let command = format!("{} {script}", if bash { "bash" } else { "sh" });
            service.settings.found(Key::Start, command, Evidence::of(folder.path(script), "is a script"));
        }
        None => {
            service.evidence.push(Evidence::usual("nothing here is known"));
            service.fact("bash", false);
            let command = "sh -c \"echo 'Say in the Dockerfile what runs here.'\"";
            service.settings.found(Key::Start, command, Evidence::usual("nothing says how it starts"));
        }
    }
    service.settings.found(Key::Port, "", Evidence::usual("nothing says that it listens"));
    service.settings.found(Key::Packages, "", Evidence::usual("nothing is known"));
    service
}
