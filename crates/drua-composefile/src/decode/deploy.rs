//! `deploy` and what else limits a service's resources.

use super::{Decoder, Field, Fields, objects};
use crate::model::{
    Blkio, Bytes, Cpus, Deploy, DiscreteResource, GenericResource, Placement, Preference, Resource, Resources,
    RestartPolicy, ThrottleDevice, UpdateConfig, WeightDevice,
};

pub(super) fn deploy(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Deploy> {
    let mut fields = Fields::open(cx, field)?;
    let f = &mut fields;
    let deploy = Deploy {
        mode: f.string(cx, "mode"),
        replicas: f.take("replicas").and_then(|field| {
            cx.place(&field.path, field.node.span);
            cx.integer_as(&field)
        }),
        labels: f.labels(cx, "labels"),
        update_config: f.take("update_config").and_then(|field| update(cx, &field)),
        rollback_config: f.take("rollback_config").and_then(|field| update(cx, &field)),
        resources: f.take("resources").and_then(|field| resources(cx, &field)).unwrap_or_default(),
        restart_policy: f.take("restart_policy").and_then(|field| restart_policy(cx, &field)),
        placement: f.take("placement").and_then(|field| placement(cx, &field)).unwrap_or_default(),
        endpoint_mode: f.string(cx, "endpoint_mode"),
        extensions: f.extensions(),
    };
    fields.finish(cx);
    Some(deploy)
}

fn update(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<UpdateConfig> {
    let mut fields = Fields::open(cx, field)?;
    let config = UpdateConfig {
        parallelism: fields.take("parallelism").and_then(|field| cx.integer_as(&field)),
        delay: fields.take("delay").and_then(|field| cx.duration(&field)),
        failure_action: fields.string(cx, "failure_action"),
        monitor: fields.take("monitor").and_then(|field| cx.duration(&field)),
        max_failure_ratio: fields.take("max_failure_ratio").and_then(|field| cx.number(&field)).map(|n| Cpus(n as f32)),
        order: fields.take("order").and_then(|field| cx.one_of(&field, &["start-first", "stop-first"])),
    };
    fields.finish(cx);
    Some(config)
}

fn resources(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Resources> {
    let mut fields = Fields::open(cx, field)?;
    let resources = Resources {
        limits: fields.take("limits").and_then(|field| resource(cx, &field, Side::Limit)),
        reservations: fields.take("reservations").and_then(|field| resource(cx, &field, Side::Reservation)),
    };
    fields.finish(cx);
    Some(resources)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Limit,
    Reservation,
}

fn resource(cx: &mut Decoder<'_>, field: &Field<'_>, side: Side) -> Option<Resource> {
    let mut fields = Fields::open(cx, field)?;
    let mut resource = Resource {
        cpus: fields.take("cpus").and_then(|field| cpus(cx, &field)),
        memory: fields.take("memory").and_then(|field| cx.bytes(&field)),
        ..Resource::default()
    };
    if side == Side::Limit {
        resource.pids = fields.integer(cx, "pids");
    } else {
        resource.devices = fields.take("devices").map(|field| objects::requests(cx, &field)).unwrap_or_default();
        resource.generic_resources = fields.list(cx, "generic_resources", generic);
    }
    fields.finish(cx);
    Some(resource)
}

pub(super) fn cpus(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Cpus> {
    let cpus = cx.number(field)?;
    if !(0.0..=1e6).contains(&cpus) {
        cx.invalid(field, format!("{cpus} is out of range"));
        return None;
    }
    // Go leaves a zero out.
    (cpus != 0.0).then_some(Cpus(cpus as f32))
}

fn generic(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<GenericResource> {
    let mut fields = Fields::open(cx, field)?;
    let discrete = fields.take("discrete_resource_spec").and_then(|field| {
        let mut fields = Fields::open(cx, &field)?;
        let kind = fields.string(cx, "kind").unwrap_or_default();
        let value = fields.integer(cx, "value");
        fields.finish(cx);
        Some(DiscreteResource { kind, value })
    });
    fields.finish(cx);
    Some(GenericResource { discrete_resource_spec: discrete })
}

fn restart_policy(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<RestartPolicy> {
    let mut fields = Fields::open(cx, field)?;
    let policy = RestartPolicy {
        condition: fields.string(cx, "condition"),
        delay: fields.take("delay").and_then(|field| cx.duration(&field)),
        max_attempts: fields.take("max_attempts").and_then(|field| cx.integer_as(&field)),
        window: fields.take("window").and_then(|field| cx.duration(&field)),
    };
    fields.finish(cx);
    Some(policy)
}

fn placement(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Placement> {
    let mut fields = Fields::open(cx, field)?;
    let constraints = fields.strings(cx, "constraints");
    let preferences = fields.list(cx, "preferences", |cx, field| {
        let mut fields = Fields::open(cx, field)?;
        let spread = fields.string(cx, "spread");
        fields.finish(cx);
        Some(Preference { spread })
    });
    let most = fields.take("max_replicas_per_node").and_then(|field| cx.integer_as(&field));
    fields.finish(cx);
    Some(Placement { constraints, preferences, max_replicas_per_node: most.unwrap_or_default() })
}

pub(super) fn blkio(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<Blkio> {
    let mut fields = Fields::open(cx, field)?;
    let blkio = Blkio {
        weight: fields.take("weight").and_then(|field| cx.integer_as(&field)).unwrap_or_default(),
        weight_device: fields.list(cx, "weight_device", |cx, field| {
            let mut fields = Fields::open(cx, field)?;
            let path = fields.string(cx, "path").unwrap_or_default();
            let weight = fields.take("weight").and_then(|field| cx.integer_as(&field)).unwrap_or_default();
            fields.finish(cx);
            Some(WeightDevice { path, weight })
        }),
        device_read_bps: fields.list(cx, "device_read_bps", throttle),
        device_read_iops: fields.list(cx, "device_read_iops", throttle),
        device_write_bps: fields.list(cx, "device_write_bps", throttle),
        device_write_iops: fields.list(cx, "device_write_iops", throttle),
    };
    fields.finish(cx);
    Some(blkio)
}

fn throttle(cx: &mut Decoder<'_>, field: &Field<'_>) -> Option<ThrottleDevice> {
    let mut fields = Fields::open(cx, field)?;
    let path = fields.string(cx, "path").unwrap_or_default();
    let rate = fields.take("rate").and_then(|field| cx.bytes(&field)).unwrap_or(Bytes(0));
    fields.finish(cx);
    Some(ThrottleDevice { path, rate })
}
