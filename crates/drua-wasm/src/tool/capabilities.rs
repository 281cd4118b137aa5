//! Imports in words: what a module can do to the world, for somebody who decides whether to let it.

/// What importing an interface, or a function of a core module, lets a guest do.
pub(super) fn of(module: &str, function: Option<&str>) -> &'static str {
    let interface = module.split('@').next().unwrap_or_default();
    match (interface, function) {
        ("wasi_snapshot_preview1" | "wasi_unstable", Some(function)) => preview1(function),
        ("wasi_ephemeral_nn", _) => "run machine-learning models",
        ("wasi", Some("thread-spawn")) => "start threads",
        _ => component(interface),
    }
}

fn preview1(function: &str) -> &'static str {
    match function {
        "args_get" | "args_sizes_get" => "read its arguments",
        "environ_get" | "environ_sizes_get" => "read its environment",
        "clock_time_get" | "clock_res_get" => "read clocks",
        "random_get" => "get random numbers",
        "proc_exit" => "end with an exit code",
        "sched_yield" => "give way",
        "poll_oneoff" | "epoll_oneoff" => "wait for time, files and sockets",
        "sock_getaddrinfo" => "look up names",
        "sock_bind" | "sock_listen" | "sock_accept" | "sock_accept_v2" => "accept connections",
        "sock_connect" => "open connections",
        _ if function.starts_with("sock_") => "send and receive over sockets",
        "path_unlink_file"
        | "path_remove_directory"
        | "path_rename"
        | "path_create_directory"
        | "path_symlink"
        | "path_link"
        | "path_filestat_set_times"
        | "fd_filestat_set_size"
        | "fd_filestat_set_times"
        | "fd_allocate" => "change files in its directories",
        "path_open" | "path_filestat_get" | "path_readlink" | "fd_readdir" => "open files in its directories",
        _ if function.starts_with("fd_") => "read and write open files, and its standard streams",
        _ => "use WASI preview 1",
    }
}

fn component(interface: &str) -> &'static str {
    match interface {
        "wasi:cli/environment" => "read its arguments and environment",
        "wasi:cli/exit" => "end with an exit code",
        "wasi:cli/stdin" => "read standard input",
        "wasi:cli/stdout" | "wasi:cli/stderr" => "write to its standard streams",
        _ if interface.starts_with("wasi:cli/terminal") => "tell whether a terminal is there",
        _ if interface.starts_with("wasi:clocks/") => "read clocks and wait",
        _ if interface.starts_with("wasi:random/") => "get random numbers",
        _ if interface.starts_with("wasi:filesystem/") => "read and write files in its directories",
        "wasi:sockets/ip-name-lookup" => "look up names",
        _ if interface.starts_with("wasi:sockets/") => "open and accept connections over TCP and UDP",
        "wasi:http/outgoing-handler" | "wasi:http/handler" | "wasi:http/client" => "send HTTP requests",
        "wasi:http/types" => "handle HTTP messages",
        _ if interface.starts_with("wasi:io/") => "wait, and move bytes",
        _ if interface.starts_with("wasi:keyvalue/") => "keep values in the container's store",
        _ if interface.starts_with("wasi:config/") => "read its configuration",
        _ if interface.starts_with("wasi:nn/") => "run machine-learning models",
        _ if interface.starts_with("fermyon:spin") || interface.starts_with("spin:") => "use a Spin host",
        _ if interface.starts_with("wasmcloud:") => "use a wasmCloud host",
        _ => "call something that drua does not know",
    }
}
