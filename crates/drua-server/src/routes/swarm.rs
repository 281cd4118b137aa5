//! Swarm's routes, answered as by a node that is in no swarm.

use hyper::StatusCode;

use crate::http::{Failure, Reply};

pub(crate) fn answer(path: &[&str]) -> Reply {
    let message = if path == ["swarm", "leave"] {
        "This node is not part of a swarm"
    } else {
        "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node to swarm and try again."
    };
    Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message))
}
