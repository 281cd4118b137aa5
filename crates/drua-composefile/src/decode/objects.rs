//! Secrets, configs, models, devices and other things that services refer to.

use std::collections::BTreeMap;

use super::{Decoder, Field, Fields, resources};
use crate::model::{
    CredentialSpec, Device, DeviceRequest, FileMode, FileObject, FileReference, Labels, Logging, Model, ModelUse,
    Provider,
};

/// `secrets` or `configs` of a service; `folder` is where a short form is mounted.
pub(super) fn references(cx: &mut Decoder<'_>, field: &Field<'_>, folder: Option<&str>) -> Vec<FileReference> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    let target = |source: &Option<String>| Some(format!("{}/{}", folder?, source.as_deref()?));
    let mut references = Vec::new();
    for item in items {
        if item.entries().is_none() {
            if let Some(source) = cx.string(&item) {
                cx.place(&format!("{}#{source}", field.path), item.node.span);
                let source = Some(source);
                references.push(FileReference { target: target(&source), source, ..FileReference::default() });
            }
            continue;
        }
        let Some(mut fields) = Fields::open(cx, &item) else { continue };
        let source = fields.string(cx, "source");
        cx.place(&format!("{}#{}", field.path, source.as_deref().unwrap_or_default()), item.node.span);
        let reference = FileReference {
            target: fields.string(cx, "target").or_else(|| target(&source)),
            source,
            uid: fields.string(cx, "uid"),
            gid: fields.string(cx, "gid"),
            mode: fields.take("mode").and_then(|field| mode(cx, &field)),
        };
        fields.finish(cx);
        references.push(reference);
    }
    references
}

/// Permission bits: a number (which YAML reads as octal when it starts with 0), or octal text.
fn mode(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<FileMode> {
    let Some(text) = field.text() else { return cx.integer_as(field).map(FileMode) };
    let mode = u32::from_str_radix(text.trim_start_matches("0o"), 8).ok();
    if mode.is_none() {
        cx.invalid(field, format!("`{text}` is not a mode such as `0440`"));
    }
    mode.map(FileMode)
}

/// A top-level secret or config.
pub(super) fn file_object(cx: &mut Decoder<'_>, field: &Field<'_>, has_content: bool) -> FileObject {
    if field.node.is_null() {
        return FileObject::default();
    }
    let Some(mut fields) = Fields::open(cx, field) else { return FileObject::default() };
    let (external, name) = resources::external_and_name(cx, &mut fields);
    let object = FileObject {
        name,
        file: fields.string(cx, "file"),
        environment: fields.string(cx, "environment"),
        content: if has_content { fields.string(cx, "content") } else { None },
        external,
        labels: fields.labels(cx, "labels"),
        driver: if has_content { None } else { fields.string(cx, "driver") },
        driver_opts: if has_content { Labels::new() } else { fields.labels(cx, "driver_opts") },
        template_driver: fields.string(cx, "template_driver"),
        value: None,
        extensions: fields.extensions(),
    };
    fields.finish(cx);
    let sources = [&object.file, &object.environment, &object.content].into_iter().flatten().count();
    let kinds = if has_content { "`file`, `environment` or `content`" } else { "`file` or `environment`" };
    match (external, sources) {
        (true, 0) | (false, 1) => {}
        (true, _) => {
            let message = format!("`{}` is external, so that it takes no option but `name`", field.path);
            cx.report.error(field.key_span, message);
        }
        (false, 0) if object.driver.is_some() => {}
        (false, 0) => {
            cx.report.error(field.key_span, format!("`{}` must have {kinds}", field.path));
        }
        (false, _) => {
            cx.report.error(field.key_span, format!("`{}` must have one of {kinds}, not several", field.path));
        }
    }
    object
}

pub(super) fn model(cx: &mut Decoder<'_>, field: &Field<'_>) -> Model {
    if field.node.is_null() {
        return Model::default();
    }
    let Some(mut fields) = Fields::open(cx, field) else { return Model::default() };
    let model = Model {
        name: fields.string(cx, "name"),
        model: fields.required(cx, field, "model").and_then(|field| cx.string(&field)).unwrap_or_default(),
        context_size: fields.integer(cx, "context_size"),
        runtime_flags: fields.strings(cx, "runtime_flags"),
    };
    fields.finish(cx);
    model
}

/// `models` of a service.
pub(super) fn model_uses(cx: &mut Decoder<'_>, field: &Field<'_>) -> BTreeMap<String, Option<ModelUse>> {
    let mut uses = BTreeMap::new();
    if field.items().is_some() {
        for name in cx.string_set(field) {
            uses.insert(name, None);
        }
    } else if let Some(entries) = field.entries() {
        for (key, entry) in entries.filter(|(key, _)| !key.starts_with("x-")) {
            cx.place(&entry.path, entry.key_span);
            let mut model_use = None;
            if !entry.node.is_null()
                && let Some(mut fields) = Fields::open(cx, &entry)
            {
                let endpoint_var = fields.string(cx, "endpoint_var");
                model_use = Some(ModelUse { endpoint_var, model_var: fields.string(cx, "model_var") });
                fields.finish(cx);
            }
            uses.insert(key.to_owned(), model_use);
        }
    } else {
        cx.expected(field, "a list or a mapping");
    }
    uses
}

/// `HOST[:CONTAINER[:PERMISSIONS]]`, a CDI name, or a mapping.
pub(super) fn devices(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<Device> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    let mut devices = Vec::new();
    for item in items {
        if item.entries().is_none() {
            let Some(text) = cx.string(&item) else { continue };
            let parts: Vec<&str> = text.split(':').collect();
            let (source, target, permissions) = match parts.as_slice() {
                [source] => (*source, *source, "rwm"),
                [source, target] => (*source, *target, "rwm"),
                [source, target, permissions] => (*source, *target, *permissions),
                _ => {
                    cx.invalid(&item, format!("`{text}` is not `host[:container[:permissions]]`"));
                    continue;
                }
            };
            if let Some(odd) = permissions.chars().find(|c| !"rwm".contains(*c)) {
                cx.invalid(&item, format!("`{odd}` is not one of the permissions `r`, `w` and `m`"));
            }
            let text = |text: &str| text.to_owned();
            devices.push(Device { source: text(source), target: text(target), permissions: text(permissions) });
            continue;
        }
        let Some(mut fields) = Fields::open(cx, &item) else { continue };
        let source = fields.required(cx, &item, "source").and_then(|field| cx.string(&field)).unwrap_or_default();
        let target = fields.string(cx, "target").unwrap_or_default();
        let permissions = fields.string(cx, "permissions").unwrap_or_default();
        fields.finish(cx);
        devices.push(Device { source, target, permissions });
    }
    devices
}

/// `gpus`: `all`, or a list of requests.
pub(super) fn gpus(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<DeviceRequest> {
    if field.text().is_some() {
        let all = cx.one_of(field, &["all"]).map(|_| DeviceRequest { count: -1, ..DeviceRequest::default() });
        return all.into_iter().collect();
    }
    requests(cx, field)
}

pub(super) fn requests(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<DeviceRequest> {
    let Some(items) = field.items() else {
        cx.expected(field, "a list");
        return Vec::new();
    };
    items.filter_map(|item| request(cx, &item)).collect()
}

fn request(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<DeviceRequest> {
    let mut fields = Fields::open(cx, field)?;
    let gpus = field.path.contains(".gpus[");
    let capabilities = if gpus { fields.take("capabilities") } else { fields.required(cx, field, "capabilities") };
    let count = fields.take("count");
    let mut request = DeviceRequest {
        capabilities: capabilities.map(|field| cx.string_set(&field)).unwrap_or_default(),
        driver: fields.string(cx, "driver"),
        count: count
            .as_ref()
            .and_then(|field| match field.text() {
                Some(text) if text.eq_ignore_ascii_case("all") => Some(-1),
                _ => cx.integer(field),
            })
            .unwrap_or_default(),
        device_ids: fields.strings(cx, "device_ids"),
        options: fields.labels(cx, "options"),
    };
    fields.finish(cx);
    match (count.is_some(), request.device_ids.is_empty()) {
        (true, false) => cx.invalid(field, "`count` and `device_ids` exclude each other"),
        (false, true) => request.count = -1,
        (true, true) | (false, false) => {}
    }
    Some(request)
}

pub(super) fn logging(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Logging> {
    let mut fields = Fields::open(cx, field)?;
    let logging = Logging { driver: fields.string(cx, "driver"), options: fields.labels(cx, "options") };
    fields.finish(cx);
    Some(logging)
}

pub(super) fn credential_spec(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<CredentialSpec> {
    let mut fields = Fields::open(cx, field)?;
    let config = fields.string(cx, "config");
    let file = fields.string(cx, "file");
    let spec = CredentialSpec { config, file, registry: fields.string(cx, "registry") };
    fields.finish(cx);
    Some(spec)
}

pub(super) fn provider(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Provider> {
    let mut fields = Fields::open(cx, field)?;
    let kind = fields.required(cx, field, "type").and_then(|field| cx.string(&field));
    let mut options = BTreeMap::new();
    if let Some(given) = fields.take("options") {
        match given.entries() {
            None => cx.expected(&given, "a mapping"),
            Some(entries) => {
                for (key, entry) in entries {
                    let values = match entry.items() {
                        Some(items) => items.filter_map(|item| cx.scalar_text(&item, "a value")).collect(),
                        None => cx.scalar_text(&entry, "a value or a list").into_iter().collect(),
                    };
                    options.insert(key.to_owned(), values);
                }
            }
        }
    }
    fields.finish(cx);
    Some(Provider { kind: kind?, options })
}
