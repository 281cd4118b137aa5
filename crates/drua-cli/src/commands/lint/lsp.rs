//! `drua lint --lsp`: the Language Server Protocol 3.17 on standard input and output.
//!
//! Documents are kept whole, and looked at when they change: with what lies beside them on disk, and with what other open
//! documents hold. One thread, one message at a time: a file takes less than a millisecond.
//!
//! ```text
//! editor ── didOpen, didChange ──► documents ─lint─► publishDiagnostics ──► editor
//!        ── hover, codeAction, formatting of fixes ──► answers from the last findings
//! ```

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _, Write};
use std::path::{Path, PathBuf};

use drua_lint::{Diagnostic, Safety, Severity, rules};
use serde_json::{Value, json};

use super::collect::{self, Workspace};
use super::settings::Settings;

/// Bytes of one message; an editor sends a document whole.
const MAX_MESSAGE: usize = 32 << 20;

/// The protocol was broken by the other side, or the pipe was.
#[derive(Debug, thiserror::Error)]
pub(super) enum ServeError {
    /// The pipe to the editor is gone.
    #[error("cannot talk to the editor")]
    Pipe(#[from] io::Error),
    /// A header without a length, or one that is too large.
    #[error("the editor's message has no usable Content-Length")]
    Header,
}

/// Serves one editor until it leaves.
pub(super) fn serve() -> Result<u8, ServeError> {
    let mut input = io::stdin().lock();
    let mut server = Server::default();
    while let Some(message) = read(&mut input)? {
        let Ok(message) = serde_json::from_slice::<Value>(&message) else {
            send(&json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": "not JSON"}}))?;
            continue;
        };
        if message["method"] == "exit" {
            return Ok(u8::from(!server.shut_down));
        }
        for answer in server.message(&message) {
            send(&answer)?;
        }
    }
    Ok(1)
}

/// One message's body; `None` at the end.
fn read(input: &mut impl BufRead) -> Result<Option<Vec<u8>>, ServeError> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.by_ref().take(4096).read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let length = length.filter(|length| *length <= MAX_MESSAGE).ok_or(ServeError::Header)?;
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some(body))
}

fn send(message: &Value) -> io::Result<()> {
    let body = message.to_string();
    let mut stdout = io::stdout().lock();
    write!(stdout, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    stdout.flush()
}

#[derive(Debug, Default)]
struct Server {
    /// Open documents by their URI.
    documents: BTreeMap<String, Document>,
    shut_down: bool,
}

#[derive(Debug)]
struct Document {
    text: String,
    path: PathBuf,
    version: Value,
    findings: Vec<Diagnostic>,
}

impl Server {
    /// What a message is answered with.
    fn message(&mut self, message: &Value) -> Vec<Value> {
        let params = &message["params"];
        let method = message["method"].as_str().unwrap_or_default();
        let Some(id) = message.get("id").filter(|id| !id.is_null()) else { return self.notified(method, params) };
        let result = match method {
            "initialize" => Ok(capabilities()),
            "shutdown" => {
                self.shut_down = true;
                Ok(Value::Null)
            }
            "textDocument/hover" => Ok(self.hover(params)),
            "textDocument/codeAction" => Ok(self.actions(params)),
            "textDocument/diagnostic" => Ok(self.diagnostics_of(params)),
            _ => Err(json!({"code": -32601, "message": format!("no method `{method}`")})),
        };
        vec![match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
            Err(error) => json!({"jsonrpc": "2.0", "id": id, "error": error}),
        }]
    }

    fn notified(&mut self, method: &str, params: &Value) -> Vec<Value> {
        let document = &params["textDocument"];
        let uri = document["uri"].as_str().unwrap_or_default().to_owned();
        match method {
            "textDocument/didOpen" => {
                let text = document["text"].as_str().unwrap_or_default().to_owned();
                let path = path_of(&uri);
                let version = document["version"].clone();
                self.documents.insert(uri, Document { text, path, version, findings: Vec::new() });
                self.publish_all()
            }
            "textDocument/didChange" => {
                if let Some(known) = self.documents.get_mut(&uri) {
                    known.version = document["version"].clone();
                    for change in params["contentChanges"].as_array().into_iter().flatten() {
                        known.change(change);
                    }
                }
                self.publish_all()
            }
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" | "workspace/didChangeConfiguration" => {
                self.publish_all()
            }
            "textDocument/didClose" => {
                self.documents.remove(&uri);
                let mut messages = vec![publish(&uri, &Value::Null, Vec::new())];
                messages.extend(self.publish_all());
                messages
            }
            _ => Vec::new(),
        }
    }

    /// A change in one document can be a finding in another.
    fn publish_all(&mut self) -> Vec<Value> {
        let uris: Vec<String> = self.documents.keys().cloned().collect();
        let mut messages = Vec::new();
        for uri in uris {
            let findings = self.lint(&uri);
            let Some(document) = self.documents.get_mut(&uri) else { continue };
            document.findings = findings;
            let diagnostics = document.findings.iter().map(|found| diagnostic(found, &document.text)).collect();
            messages.push(publish(&uri, &document.version, diagnostics));
        }
        messages
    }

    /// Looks at a document together with its folder.
    fn lint(&self, uri: &str) -> Vec<Diagnostic> {
        let Some(document) = self.documents.get(uri) else { return Vec::new() };
        let folder = document.path.parent().unwrap_or(Path::new("/")).to_owned();
        let settings = Settings::load_from(&folder, None).unwrap_or_default();
        let mut workspace = Workspace::beside(&document.path, &document.text);
        for other in self.documents.values() {
            workspace.replace(&collect::shown(&other.path), &other.text);
        }
        let input = workspace.input(&settings.config);
        let name = collect::shown(&document.path);
        let mut findings = super::lint(&input, &workspace).diagnostics;
        findings.retain(|found| found.file == name);
        findings
    }

    fn at<'s>(&'s self, params: &Value) -> Option<(&'s Document, usize)> {
        let document = self.documents.get(params["textDocument"]["uri"].as_str()?)?;
        Some((document, offset(&document.text, &params["position"])))
    }

    fn hover(&self, params: &Value) -> Value {
        let Some((document, at)) = self.at(params) else { return Value::Null };
        let found = document.findings.iter().filter(|found| found.span.start <= at && at <= found.span.end);
        let texts: Vec<String> = found
            .map(|found| {
                let rule = found.rule;
                let help = found.help.as_ref().map(|help| format!("\n\n{help}")).unwrap_or_default();
                format!("**{}** {}\n\n{}{help}\n\n[more]({})", rule.code, rule.summary, rule.why, rule.url())
            })
            .collect();
        match texts.is_empty() {
            true => Value::Null,
            false => json!({"contents": {"kind": "markdown", "value": texts.join("\n\n---\n\n")}}),
        }
    }

    fn actions(&self, params: &Value) -> Value {
        let uri = params["textDocument"]["uri"].as_str().unwrap_or_default();
        let Some(document) = self.documents.get(uri) else { return json!([]) };
        let (start, end) =
            (offset(&document.text, &params["range"]["start"]), offset(&document.text, &params["range"]["end"]));
        let near = |found: &&Diagnostic| found.span.start <= end && start <= found.span.end;
        let mut actions: Vec<Value> = Vec::new();
        for found in document.findings.iter().filter(near) {
            if let Some(fix) = &found.fix {
                let edits: Vec<Value> = fix
                    .edits
                    .iter()
                    .map(|edit| json!({"range": range(&document.text, edit.span.start, edit.span.end), "newText": edit.text}))
                    .collect();
                let note = if fix.safety == Safety::Unsafe { " (may change what the image does)" } else { "" };
                actions.push(json!({
                    "title": format!("{}: {}{note}", found.rule.code, fix.title),
                    "kind": "quickfix",
                    "isPreferred": fix.safety == Safety::Safe,
                    "diagnostics": [diagnostic(found, &document.text)],
                    "edit": {"changes": {uri: edits}},
                }));
            }
            actions.push(silence(found, &document.text, uri));
        }
        Value::Array(actions)
    }

    /// The pull model of 3.17.
    fn diagnostics_of(&self, params: &Value) -> Value {
        let document = self.documents.get(params["textDocument"]["uri"].as_str().unwrap_or_default());
        let items: Vec<Value> = document
            .map(|document| document.findings.iter().map(|found| diagnostic(found, &document.text)).collect())
            .unwrap_or_default();
        json!({"kind": "full", "items": items})
    }
}

impl Document {
    /// Takes a change over, of a part or of the whole.
    fn change(&mut self, change: &Value) {
        let text = change["text"].as_str().unwrap_or_default();
        if change["range"].is_null() {
            text.clone_into(&mut self.text);
            return;
        }
        let (start, end) = (offset(&self.text, &change["range"]["start"]), offset(&self.text, &change["range"]["end"]));
        self.text.replace_range(start..end.max(start), text);
    }
}

fn capabilities() -> Value {
    json!({
        "capabilities": {
            "positionEncoding": "utf-16",
            "textDocumentSync": {"openClose": true, "change": 2, "save": true},
            "hoverProvider": true,
            "codeActionProvider": {"codeActionKinds": ["quickfix"]},
        },
        "serverInfo": {"name": "drua lint", "version": env!("CARGO_PKG_VERSION")},
    })
}

fn publish(uri: &str, version: &Value, diagnostics: Vec<Value>) -> Value {
    let mut params = json!({"uri": uri, "diagnostics": diagnostics});
    if !version.is_null() {
        params["version"] = version.clone();
    }
    json!({"jsonrpc": "2.0", "method": "textDocument/publishDiagnostics", "params": params})
}

fn diagnostic(found: &Diagnostic, text: &str) -> Value {
    let severity = match found.severity {
        Severity::Error => 1,
        Severity::Warning => 2,
        Severity::Info => 3,
        Severity::Style => 4,
    };
    let message = match &found.help {
        Some(help) => format!("{}\n{help}", found.message),
        None => found.message.clone(),
    };
    let mut value = json!({
        "range": range(text, found.span.start, found.span.end), "severity": severity, "code": found.rule.code,
        "source": "drua", "message": message,
    });
    if found.rule.url().starts_with("https://") {
        value["codeDescription"] = json!({"href": found.rule.url()});
    }
    value
}

/// A comment above the line that silences a finding there.
fn silence(found: &Diagnostic, text: &str, uri: &str) -> Value {
    let line_start = text[..found.span.start].rfind('\n').map_or(0, |at| at + 1);
    let indent: String = text[line_start..].chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    let code = found.rule.code;
    let edit =
        json!({"range": range(text, line_start, line_start), "newText": format!("{indent}# drua ignore={code}\n")});
    json!({"title": format!("{code}: silence it here"), "kind": "quickfix", "edit": {"changes": {uri: [edit]}},
           "diagnostics": [diagnostic(found, text)]})
}

/// The byte of a position: lines from 0, columns in UTF-16 units from 0. Beyond a line is its end.
fn offset(text: &str, position: &Value) -> usize {
    let number = |key: &str| position[key].as_u64().and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
    let (line, column) = (number("line"), number("character"));
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let of_line = text[start..].split_inclusive('\n').next().unwrap_or_default().trim_end_matches(['\n', '\r']);
    let mut units = 0;
    for (at, c) in of_line.char_indices() {
        if units >= column {
            return start + at;
        }
        units += c.len_utf16();
    }
    start + of_line.len()
}

fn range(text: &str, start: usize, end: usize) -> Value {
    json!({"start": position(text, start), "end": position(text, end)})
}

fn position(text: &str, at: usize) -> Value {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let line = before.matches('\n').count();
    let character: usize = before[line_start..].chars().map(char::len_utf16).sum();
    json!({"line": line, "character": character})
}

/// `file:///a%20b` → `/a b`; other schemes have no place on disk.
fn path_of(uri: &str) -> PathBuf {
    let Some(rest) = uri.strip_prefix("file://") else { return PathBuf::from(uri) };
    let mut bytes = Vec::new();
    let mut rest = rest.bytes();
    while let Some(byte) = rest.next() {
        let hex = (byte == b'%').then(|| rest.clone().take(2).collect::<Vec<u8>>());
        match hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()) {
            Some(value) => {
                bytes.push(value);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    PathBuf::from(String::from_utf8_lossy(&bytes).into_owned())
}

/// The rules that exist, for a server's tests.
#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> (Server, Vec<Value>) {
        let mut server = Server::default();
        let uri = "file:///nowhere/at%20all/Dockerfile";
        let params = json!({"textDocument": {"uri": uri, "version": 1, "languageId": "dockerfile", "text": text}});
        let messages = server.message(&json!({"method": "textDocument/didOpen", "params": params}));
        (server, messages)
    }

    #[test]
    fn an_open_document_is_looked_at_and_mended() {
        let (mut server, messages) = open("FROM alpine:3.22\n# \u{1F980}\nENV A b\n");
        let found = &messages[0]["params"]["diagnostics"];
        let legacy = found.as_array().unwrap().iter().find(|found| found["code"] == "LegacyKeyValueFormat").unwrap();
        assert_eq!(legacy["range"]["start"], json!({"line": 2, "character": 0}));
        let document = json!({"uri": "file:///nowhere/at%20all/Dockerfile"});
        let params = json!({"textDocument": document, "range": legacy["range"], "context": {"diagnostics": []}});
        let answer = server.message(&json!({"id": 1, "method": "textDocument/codeAction", "params": params}));
        let action =
            answer[0]["result"].as_array().unwrap().iter().find(|action| action["isPreferred"] == true).unwrap();
        let edit = &action["edit"]["changes"]["file:///nowhere/at%20all/Dockerfile"][0];
        assert_eq!(edit["newText"], "=b");
        let params = json!({"textDocument": document, "position": {"line": 2, "character": 1}});
        let answer = server.message(&json!({"id": 2, "method": "textDocument/hover", "params": params}));
        assert!(answer[0]["result"]["contents"]["value"].as_str().unwrap().contains("LegacyKeyValueFormat"));
        let change = json!({"textDocument": {"uri": "file:///nowhere/at%20all/Dockerfile", "version": 2},
            "contentChanges": [{"range": edit["range"], "text": "=b"}]});
        let messages = server.message(&json!({"method": "textDocument/didChange", "params": change}));
        let found = messages[0]["params"]["diagnostics"].as_array().unwrap();
        assert!(found.iter().all(|found| found["code"] != "LegacyKeyValueFormat"), "{found:?}");
    }

    #[test]
    fn positions_are_in_utf_16_and_never_out_of_the_text() {
        let text = "a\u{1F980}b\r\nc";
        for (line, character, byte) in [(0, 0, 0), (0, 1, 1), (0, 3, 5), (0, 99, 6), (1, 0, 8), (1, 9, 9), (7, 7, 9)] {
            assert_eq!(offset(text, &json!({"line": line, "character": character})), byte, "{line}:{character}");
        }
        assert_eq!(position(text, 5), json!({"line": 0, "character": 3}));
    }

    #[test]
    fn unknown_methods_and_bad_messages_are_answered() {
        let mut server = Server::default();
        let answer = server.message(&json!({"id": 7, "method": "textDocument/rename", "params": {}}));
        assert_eq!(answer[0]["error"]["code"], -32601);
        assert!(server.message(&json!({"method": "$/cancelRequest"})).is_empty());
        assert!(server.message(&json!([1, 2])).is_empty());
        assert!(rules::all().count() > 100);
    }
}
