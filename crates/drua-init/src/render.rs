//! From a plan to files.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use crate::context;
use crate::releases::releases;
use crate::service::{Database, Service};
use crate::setting::Key;
use crate::templates::Templates;

/// The user that programs run as: no name of a distribution has this number.
const UID: u32 = 10001;

/// What is to be written.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The project's name, for its README.
    pub project: String,
    /// The services, in the order of the compose file.
    pub services: Vec<Service>,
    /// The databases beside them.
    pub databases: Vec<Database>,
}

/// A file that has been rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GeneratedFile {
    /// Relative to the project's folder.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// Everything that a plan makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The files.
    pub files: Vec<GeneratedFile>,
    /// Files for passwords, which somebody with a source of random numbers must make where they are missing.
    pub passwords: Vec<String>,
    /// Where the services can be reached, as `http://…`, with their names.
    pub addresses: Vec<(String, String)>,
}

/// A template that cannot be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The template is malformed or fails.
    #[error("cannot render the template `{template}`")]
    Template {
        /// Its name.
        template: String,
        /// What is wrong and where.
        #[source]
        error: minijinja::Error,
    },
    /// What it gave is no Dockerfile.
    #[error("the template `{template}` gave a Dockerfile that cannot be parsed")]
    Dockerfile {
        /// Its name.
        template: String,
        /// What is wrong and where.
        #[source]
        error: drua_dockerfile::ParseError,
    },
}

/// Renders every file of a plan.
///
/// # Errors
///
/// [`RenderError`] when a template is malformed, which one of a user's may be.
pub fn render(plan: &Plan, templates: &Templates) -> Result<Rendered, RenderError> {
    let environment = environment(templates)?;
    let ports = published_ports(&plan.services);
    let mut files = Vec::new();
    let mut services = Vec::new();
    let mut addresses = Vec::new();
    for (service, port) in plan.services.iter().zip(ports) {
        let mut variables = context::of(service, port);
        let stack = service.stack.id();
        let one = |name: &str| -> Result<Option<String>, RenderError> {
            let Some(template) = templates.find(stack, name) else { return Ok(None) };
            run(&environment, &template, Value::from(variables.clone())).map(|text| Some(tidy(&text)))
        };
        let at = |name: &str| if service.dir.is_empty() { name.to_owned() } else { format!("{}/{name}", service.dir) };
        if let Some(text) = one("Dockerfile.j2")? {
            let parsed = drua_dockerfile::Dockerfile::parse(&text);
            let template = templates.find(stack, "Dockerfile.j2").unwrap_or_default();
            parsed.map_err(|error| RenderError::Dockerfile { template, error })?;
            files.push(GeneratedFile { path: at("Dockerfile"), text });
        }
        let common = run(&environment, "dockerignore.j2", Value::from(variables.clone()))?;
        let own = match templates.all().contains_key(format!("{stack}/dockerignore.j2").as_str()) {
            true => run(&environment, &format!("{stack}/dockerignore.j2"), Value::from(variables.clone()))?,
            false => String::new(),
        };
        files.push(GeneratedFile { path: at(".dockerignore"), text: tidy(&format!("{}\n{own}", common.trim_end())) });
        let watch = one("watch.j2")?.unwrap_or_default();
        variables.insert("watch", Value::from(watch.trim_end()));
        if let Some(port) = variables["published"].as_i64() {
            addresses.push((service.name().to_owned(), format!("http://127.0.0.1:{port}")));
        }
        services.push(Value::from(variables));
    }
    let databases: Vec<&str> = plan.databases.iter().map(|database| database.id()).collect();
    let passwords: Vec<&str> = plan.databases.iter().filter(|one| one.has_password()).map(|one| one.id()).collect();
    let titles: BTreeMap<&str, &str> = plan.databases.iter().map(|one| (one.id(), one.title())).collect();
    let whole = context! { project => plan.project.clone(), services, databases, passwords => passwords.clone(), titles => Serde(titles) };
    for (template, path) in [("compose.yaml.j2", "compose.yaml"), ("README.Docker.md.j2", "README.Docker.md")] {
        files.push(GeneratedFile { path: path.to_owned(), text: tidy(&run(&environment, template, whole.clone())?) });
    }
    let stacks: Vec<&str> = plan.services.iter().map(|service| service.stack.id()).collect();
    for (template, path) in templates.extra(&stacks) {
        files.push(GeneratedFile { path, text: tidy(&run(&environment, &template, whole.clone())?) });
    }
    let passwords = passwords.iter().map(|name| format!("secrets/{name}-password.txt")).collect();
    Ok(Rendered { files, passwords, addresses })
}

fn environment(templates: &Templates) -> Result<Environment<'static>, RenderError> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the usual delimiters"));
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    // Templates of a user come from somewhere: none may loop for ever.
    environment.set_fuel(Some(2_000_000));
    environment.add_filter("quote", |text: &str| quote(text));
    environment.add_filter("exec", |text: &str| exec(text));
    environment.add_filter("sh", |text: &str| shell_word(text));
    environment.add_filter("yaml", |text: &str| yaml(text));
    environment.add_filter("trim_end", |text: &str| text.trim_end().to_owned());
    environment.add_filter("words", |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    environment.add_filter("json_words", |first: &str, second: &str| json_list(&[first.to_owned(), second.to_owned()]));
    environment.add_global("uid", UID);
    environment.add_global("images", Value::from(Serde(&releases().images)));
    environment.add_global("tools", Value::from(Serde(&releases().tools)));
    let version = |name: &str| releases().language(name).default;
    environment.add_global("versions", context! { python => version("python"), node => version("node") });
    for (name, text) in templates.all() {
        let added = environment.add_template_owned(name.to_owned(), text.to_owned());
        added.map_err(|error| RenderError::Template { template: name.to_owned(), error })?;
    }
    Ok(environment)
}

fn run(environment: &Environment<'_>, template: &str, variables: Value) -> Result<String, RenderError> {
    let render = environment.get_template(template).and_then(|found| found.render(variables));
    render.map_err(|error| RenderError::Template { template: template.to_owned(), error })
}

/// Leaves out lines of nothing but `#-`, blanks at ends of lines, and empty lines beside empty lines.
fn tidy(text: &str) -> String {
    let mut tidy = String::with_capacity(text.len());
    let mut empty = true;
    for line in text.lines().map(str::trim_end).filter(|line| line.trim_start() != "#-") {
        if line.is_empty() && empty {
            continue;
        }
        empty = line.is_empty();
        tidy.push_str(line);
        tidy.push('\n');
    }
    let end = tidy.trim_end().len();
    tidy.truncate(end);
    tidy.push('\n');
    tidy
}

/// The ports of this machine: the services' own, each once.
fn published_ports(services: &[Service]) -> Vec<Option<u16>> {
    let mut used = BTreeSet::new();
    let mut publish = |service: &Service| {
        let mut port: u16 = service.settings.value(Key::Port).parse().ok()?;
        // Below 1024 only root may listen.
        if port < 1024 {
            port += 8000;
        }
        while !used.insert(port) {
            port = port.checked_add(1)?;
        }
        Some(port)
    };
    services.iter().map(&mut publish).collect()
}

/// A value in double quotes, as Dockerfiles have them.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '$') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

/// A text of a YAML file: in quotes where it may be something else without.
fn yaml(text: &str) -> String {
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c)) && !text.starts_with('-');
    if plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}

/// A word of a shell's command line.
fn shell_word(text: &str) -> String {
    let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "+-._/@=:,".contains(c));
    if plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// A command in exec form. What needs a shell gets one, which ends as the last command, so that signals reach that.
fn exec(command: &str) -> String {
    let needs_shell =
        command.contains(['|', ';', '<', '>', '`', '$', '*', '(']) && !command.contains("()") || command.contains('&');
    match shell_split(command).filter(|_| !needs_shell) {
        Some(mut words) => {
            let assigns = words.first().is_some_and(|word| is_assignment(word));
            if assigns {
                words.insert(0, "env".to_owned());
            }
            json_list(&words)
        }
        None => {
            let (before, last) = match command.rfind("&&").map(|at| command.split_at(at + 2)) {
                Some((before, last)) => (format!("{} ", before.trim()), last.trim()),
                None => (String::new(), command.trim()),
            };
            let exec = if last.contains(['|', ';']) || is_assignment(last) { "" } else { "exec " };
            json_list(&["sh".to_owned(), "-c".to_owned(), format!("{before}{exec}{last}")])
        }
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit())
    })
}

fn json_list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
    format!("[{}]", words.join(", "))
}

/// Words as a shell splits them; `None` for quotes that do not end.
fn shell_split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => word.push(chars.next()?),
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c if c.is_whitespace() => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_run_without_a_shell_where_they_can() {
        for (command, expected) in [
            ("python app.py", r#"["python", "app.py"]"#),
            (
                "gunicorn 'app:create_app()' --bind \"0.0.0.0:80\"",
                r#"["gunicorn", "app:create_app()", "--bind", "0.0.0.0:80"]"#,
            ),
            ("NODE_ENV=production node x.js", r#"["env", "NODE_ENV=production", "node", "x.js"]"#),
            ("a && b c", r#"["sh", "-c", "a && exec b c"]"#),
            ("serve -p $PORT", r#"["sh", "-c", "exec serve -p $PORT"]"#),
            ("a; b", r#"["sh", "-c", "a; b"]"#),
            ("it's", r#"["sh", "-c", "exec it's"]"#),
        ] {
            assert_eq!(exec(command), expected, "{command}");
        }
    }

    #[test]
    fn texts_of_manifests_stay_texts() {
        assert_eq!(quote(r#"a "b" $(c) \"#), r#""a \"b\" \$(c) \\""#);
        assert_eq!(shell_word("./cmd/it's"), r"'./cmd/it'\''s'");
        assert_eq!(tidy("\n\na\n\n\n#-\nb  \n\n"), "a\n\nb\n");
    }
}
