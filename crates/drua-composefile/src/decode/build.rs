//! `build`, `develop` and the hooks of a service.

use super::{Decoder, Field, Fields, attachment, objects, service};
use crate::model::{Build, Develop, Hook, SshKey, WatchAction, WatchRule};

pub(super) fn build(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Build> {
    if let Some(context) = field.text() {
        return Some(Build { context: Some(context.to_owned()), ..Build::default() });
    }
    let mut fields = Fields::open(cx, field)?;
    let f = &mut fields;
    let build = Build {
        context: f.string(cx, "context"),
        dockerfile: f.string(cx, "dockerfile"),
        dockerfile_inline: f.string(cx, "dockerfile_inline"),
        entitlements: f.strings(cx, "entitlements"),
        args: f.take("args").map(|field| cx.dictionary(&field)).unwrap_or_default(),
        provenance: f.take("provenance").and_then(|field| cx.scalar_text(&field, "a string or a boolean")),
        sbom: f.take("sbom").and_then(|field| cx.scalar_text(&field, "a string or a boolean")),
        ssh: f.take("ssh").map(|field| ssh(cx, &field)).unwrap_or_default(),
        labels: f.labels(cx, "labels"),
        cache_from: f.strings(cx, "cache_from"),
        cache_to: f.strings(cx, "cache_to"),
        no_cache: f.boolean(cx, "no_cache"),
        no_cache_filter: f.string_or_strings(cx, "no_cache_filter"),
        additional_contexts: f.labels(cx, "additional_contexts"),
        pull: f.boolean(cx, "pull"),
        extra_hosts: f.take("extra_hosts").map(|field| attachment::extra_hosts(cx, &field)).unwrap_or_default(),
        isolation: f.string(cx, "isolation"),
        network: f.string(cx, "network"),
        target: f.string(cx, "target"),
        secrets: f.take("secrets").map(|field| objects::references(cx, &field, None)).unwrap_or_default(),
        shm_size: f.take("shm_size").and_then(|field| cx.bytes(&field)),
        tags: f.strings(cx, "tags"),
        ulimits: f.take("ulimits").map(|field| service::ulimits(cx, &field)).unwrap_or_default(),
        platforms: f.strings(cx, "platforms"),
        privileged: f.boolean(cx, "privileged"),
        extensions: f.extensions(),
    };
    fields.finish(cx);
    if build.dockerfile.is_some() && build.dockerfile_inline.is_some() {
        cx.invalid(field, "`dockerfile` and `dockerfile_inline` exclude each other");
    }
    Some(build)
}

fn ssh(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<SshKey> {
    let values = cx.dictionary(field);
    let keys = values.into_iter().map(|(id, path)| SshKey { id, path: path.filter(|path| !path.is_empty()) });
    keys.collect()
}

pub(super) fn develop(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Develop> {
    let mut fields = Fields::open(cx, field)?;
    let rules = fields.take("watch");
    let mut develop = Develop { watch: Vec::new(), extensions: fields.extensions() };
    fields.finish(cx);
    if let Some(rules) = rules {
        match rules.items() {
            Some(items) => develop.watch.extend(items.filter_map(|item| rule(cx, &item))),
            None => cx.expected(&rules, "a list"),
        }
    }
    Some(develop)
}

fn rule(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<WatchRule> {
    let mut fields = Fields::open(cx, field)?;
    let path = fields.required(cx, field, "path").and_then(|field| cx.string(&field));
    let names = WatchAction::ALL.map(|(name, _)| name);
    let action = fields.required(cx, field, "action").and_then(|field| cx.one_of(&field, &names));
    let target = fields.string(cx, "target");
    let hook = fields.take("exec").and_then(|field| hook(cx, &field));
    let include = fields.string_or_strings(cx, "include");
    let ignore = fields.string_or_strings(cx, "ignore");
    let late = fields.boolean(cx, "x-initialSync");
    let initial_sync = fields.boolean(cx, "initial_sync") || late;
    fields.finish(cx);
    let action =
        WatchAction::ALL.into_iter().find(|(name, _)| Some(*name) == action.as_deref()).map(|(_, action)| action)?;
    if action.syncs() && target.is_none() {
        cx.invalid(field, "a rule that syncs needs a `target`, the path in the container");
    }
    if let Some(target) = target.as_deref().filter(|target| !target.starts_with('/')) {
        cx.invalid(field, format!("the target `{target}` is not an absolute path in the container"));
    }
    Some(WatchRule { path: path?, action, target, exec: hook.unwrap_or_default(), include, ignore, initial_sync })
}

pub(super) fn hooks(cx: &mut Decoder<'_>, field: &Field<'_>) -> Vec<Hook> {
    match field.items() {
        Some(items) => items.filter_map(|item| hook(cx, &item)).collect(),
        None => {
            cx.expected(field, "a list");
            Vec::new()
        }
    }
}

fn hook(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Hook> {
    let mut fields = Fields::open(cx, field)?;
    let starts = field.path.contains(".pre_start[");
    let command = if starts { fields.take("command") } else { fields.required(cx, field, "command") };
    let hook = Hook {
        command: command.and_then(|field| cx.command(&field)),
        image: if starts { fields.string(cx, "image") } else { None },
        user: fields.string(cx, "user"),
        privileged: fields.boolean(cx, "privileged"),
        working_dir: fields.string(cx, "working_dir"),
        environment: fields.take("environment").map(|field| cx.dictionary(&field)).unwrap_or_default(),
        per_replica: starts && fields.boolean(cx, "per_replica"),
    };
    fields.finish(cx);
    Some(hook)
}
