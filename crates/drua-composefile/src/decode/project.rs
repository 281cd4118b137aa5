//! The top level.

use super::{Decoded, Decoder, Field, Fields, objects, resources, service};
use crate::names::{ServiceName, is_key};
use crate::yaml::Node;

/// Reads a whole file. What could not be read is left out and has been reported.
pub(crate) fn project(mut cx: Decoder<'_>, root: &Node) -> Decoded {
    let field = Field { path: String::new(), node: root, key_span: root.span };
    if field.entries().is_none() {
        cx.report.error(root.span, format!("a compose file must be a mapping, not {}", root.describe()));
        return Decoded::default();
    }
    let Some(mut fields) = Fields::open(&mut cx, &field) else { return Decoded::default() };
    let mut decoded = Decoded::default();
    if let Some(version) = fields.take_nullable("version") {
        cx.report.warning(version.key_span, "`version` is obsolete and has no effect").hint("remove the line");
    }
    if let Some(name) = fields.take("name") {
        decoded.name = cx.parsed::<crate::names::ProjectName>(&name).and_then(|name| name.parse().ok());
    }
    match fields.take("services") {
        Some(services) => read_services(&mut cx, &services, &mut decoded),
        None => {
            cx.report.error(root.span, "there are no `services`");
        }
    }
    if let Some(networks) = fields.take("networks") {
        let read = keyed(&mut cx, &networks);
        decoded.networks = read.into_iter().map(|(key, field)| (key, resources::network(&mut cx, &field))).collect();
    }
    if let Some(volumes) = fields.take("volumes") {
        let read = keyed(&mut cx, &volumes);
        decoded.volumes = read.into_iter().map(|(key, field)| (key, resources::volume(&mut cx, &field))).collect();
    }
    if let Some(secrets) = fields.take("secrets") {
        let read = keyed(&mut cx, &secrets);
        decoded.secrets =
            read.into_iter().map(|(key, field)| (key, objects::file_object(&mut cx, &field, false))).collect();
    }
    if let Some(configs) = fields.take("configs") {
        let read = keyed(&mut cx, &configs);
        decoded.configs =
            read.into_iter().map(|(key, field)| (key, objects::file_object(&mut cx, &field, true))).collect();
    }
    if let Some(models) = fields.take("models") {
        let read = keyed(&mut cx, &models);
        decoded.models = read.into_iter().map(|(key, field)| (key, objects::model(&mut cx, &field))).collect();
    }
    // Files have been included by now.
    fields.take("include");
    decoded.extensions = fields.extensions();
    fields.finish(&mut cx);
    decoded.places = cx.places;
    decoded
}

fn read_services(cx: &mut Decoder<'_>, field: &Field<'_>, decoded: &mut Decoded) {
    for (key, field) in keyed(cx, field) {
        let Ok(name) = key.parse::<ServiceName>() else { continue };
        if let Some(service) = service::service(cx, &field) {
            decoded.services.insert(name, service);
        }
    }
}

/// The entries of a mapping of names, extensions left out.
fn keyed<'n>(cx: &mut Decoder<'_>, field: &Field<'n>) -> Vec<(String, Field<'n>)> {
    let Some(entries) = field.entries() else {
        cx.expected(field, "a mapping");
        return Vec::new();
    };
    let mut read = Vec::new();
    for (key, entry) in entries.filter(|(key, _)| !key.starts_with("x-")) {
        if is_key(key) {
            cx.place(&entry.path, entry.key_span);
            read.push((key.to_owned(), entry));
        } else if let Err(error) = key.parse::<ServiceName>() {
            cx.report.error(entry.key_span, error.to_string());
        }
    }
    read
}
