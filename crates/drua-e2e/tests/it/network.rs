//! Networks for both hulls: addresses, names, published ports, and what is wrong with them.

use std::net::TcpListener;

use drua_e2e::{Daemon, guest, http, residue::Residue, wait};

use crate::support::{SOON, busybox, daemon, inspect, load, published, wasm_image};

/// Fetches the URL that follows. The shell stays process 1, since that one ignores the signal of `timeout`.
const FETCH: &str = "timeout 5 wget -qO- $0; exit $?";

fn serve(daemon: &Daemon, name: &str, options: &[&str]) {
    let script = "mkdir -p /www; echo \"hello from $(hostname)\" > /www/index.html; exec httpd -f -p 80 -h /www";
    let run = daemon.docker(["run", "-d", "--name", name, "-h", name]).args(options);
    run.args(["busybox", "sh", "-c", script]).run().ok();
}

/// Asks for a page from inside a container on `network` until it comes.
#[track_caller]
fn fetch(daemon: &Daemon, network: &str, url: &str, expected: &str) {
    let mut last = String::new();
    let got = wait::poll(SOON, || {
        let run = daemon.docker(["run", "--rm", "--network", network, "busybox", "sh", "-c", FETCH, url]).run();
        last = run.to_string();
        run.stdout.contains(expected).then_some(())
    });
    assert!(got.is_some(), "no `{expected}` from {url}\n{last}");
}

#[test]
fn networks_can_be_created_listed_and_removed() {
    let Some(daemon) = daemon() else { return };
    let list = daemon.docker(["network", "ls", "--format", "{{.Name}} {{.Driver}}"]).run();
    let mut names: Vec<&str> = list.ok().lines().collect();
    names.sort_unstable();
    assert_eq!(names, ["bridge bridge", "host host", "none null"]);
    let run = daemon.docker(["network", "create", "--subnet", "10.253.7.0/24", "--label", "k=v", "mine"]).run();
    assert_eq!(run.ok().len(), 64);
    let subnet =
        daemon.docker(["network", "inspect", "-f", "{{(index .IPAM.Config 0).Subnet}} {{.Labels.k}}", "mine"]).run();
    assert_eq!(subnet.ok(), "10.253.7.0/24 v");
    daemon.docker(["network", "create", "mine"]).run().exits(1).complains("network with name mine already exists");
    daemon
        .docker(["network", "create", "--subnet", "10.253.7.128/25", "other"])
        .run()
        .exits(1)
        .complains("Pool overlaps");
    daemon.docker(["network", "create", "bridge"]).run().exits(1);
    daemon.docker(["network", "rm", "bridge"]).run().exits(1);
    daemon.docker(["network", "rm", "mine"]).run().prints("mine\n").ok();
}

#[test]
fn names_resolve_on_a_user_network() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["network", "create", "net"]).run().ok();
    serve(&daemon, "web", &["--network", "net", "--network-alias", "site"]);
    for host in ["web", "site"] {
        fetch(&daemon, "net", &format!("http://{host}/"), "hello from web");
    }
    let run = daemon.docker(["run", "--rm", "--network", "net", "busybox", "sh", "-c", FETCH, "http://nobody/"]).run();
    assert_ne!(run.code(), Some(0), "{run}");
}

#[test]
fn both_hulls_find_each_other() {
    let Some(daemon) = busybox() else { return };
    load(&daemon, &wasm_image("app", &guest::http().unwrap()));
    daemon.docker(["network", "create", "net"]).run().ok();
    daemon.docker(["run", "-d", "--name", "light", "--network", "net", "--platform", "wasi/wasm", "app"]).run().ok();
    fetch(&daemon, "net", "http://light:8080/", "Hello from Wasm");
}

#[test]
fn networks_are_apart_until_connected() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["network", "create", "one"]).run().ok();
    daemon.docker(["network", "create", "two"]).run().ok();
    serve(&daemon, "web", &["--network", "one"]);
    fetch(&daemon, "one", "http://web/", "hello");
    let address = inspect(&daemon, "web", "{{.NetworkSettings.Networks.one.IPAddress}}");
    let get = ["run", "--rm", "--network", "two", "busybox", "sh", "-c", FETCH];
    for host in ["web", &address] {
        let run = daemon.docker(get).arg(format!("http://{host}/")).run();
        assert_ne!(run.code(), Some(0), "{run}");
    }
    daemon.docker(["network", "connect", "--alias", "shop", "two", "web"]).run().ok();
    fetch(&daemon, "two", "http://shop/", "hello");
    let members = daemon.docker(["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "two"]).run();
    assert_eq!(members.ok(), "web");
    daemon.docker(["network", "rm", "two"]).run().exits(1).complains("has active endpoints");
    daemon.docker(["network", "disconnect", "two", "web"]).run().ok();
    daemon.docker(["network", "rm", "two"]).run().ok();
}

#[test]
fn published_ports_answer_on_every_address() {
    let Some(daemon) = busybox() else { return };
    serve(&daemon, "web", &["-p", "80"]);
    let local = published(&daemon, "web", "80/tcp");
    let port = local.rsplit(':').next().unwrap().to_owned();
    let gateway = inspect(&daemon, "web", "{{.NetworkSettings.Networks.bridge.Gateway}}");
    for address in [local, format!("{gateway}:{port}")] {
        let answer =
            wait::poll(SOON, || http::get(&address, "/").ok()).unwrap_or_else(|| panic!("{address} is silent"));
        assert_eq!(answer.body, "hello from web\n");
    }
    daemon.docker(["rm", "-f", "web"]).run().ok();
    assert!(http::get(&format!("127.0.0.1:{port}"), "/").is_err());
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let Some(daemon) = busybox() else { return };
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let publish = format!("{}:80", listener.local_addr().unwrap().port());
    let run = daemon.docker(["run", "--name", "box", "-p", &publish, "busybox", "true"]).run();
    run.exits(125).complains("address already in use");
    assert_eq!(inspect(&daemon, "box", "{{.State.Status}}"), "created");
    drop(listener);
    daemon.docker(["start", "-a", "box"]).run().exits(0);
}

#[test]
fn two_containers_cannot_share_a_port() {
    let Some(daemon) = busybox() else { return };
    serve(&daemon, "first", &["-p", "127.0.0.1::80"]);
    let address = published(&daemon, "first", "80/tcp");
    let run = daemon.docker(["run", "--rm", "-p", &format!("{address}:80"), "busybox", "true"]).run();
    run.exits(125).complains("port is already allocated");
    serve(&daemon, "second", &["-p", "127.0.0.1::80"]);
}

#[test]
fn the_other_network_modes() {
    let Some(daemon) = busybox() else { return };
    let links = |network: &str| {
        let run = daemon.docker(["run", "--rm", "--network", network, "busybox", "ls", "/sys/class/net"]).run();
        run.ok().to_owned()
    };
    assert_eq!(links("none"), "lo");
    assert_eq!(links("bridge"), "eth0\nlo");
    assert!(links("host").contains(&format!("{}0", daemon.options.prefix)), "the host's bridge is visible");
    serve(&daemon, "web", &[]);
    fetch(&daemon, "container:web", "http://127.0.0.1/", "hello from web");
    daemon.docker(["run", "--rm", "--network", "nowhere", "busybox"]).run().exits(125).complains("nowhere not found");
}

#[test]
fn hosts_and_resolver_files_are_right() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["network", "create", "net"]).run().ok();
    let show = ["busybox", "sh", "-c", "cat /etc/hosts /etc/resolv.conf; hostname"];
    let run =
        daemon.docker(["run", "--rm", "--network", "net", "-h", "me", "--add-host", "db:10.1.2.3"]).args(show).run();
    for expected in ["127.0.0.1\tlocalhost", "\tme\n", "10.1.2.3\tdb", "nameserver 127.0.0.11", "options ndots:0"] {
        assert!(run.stdout.contains(expected), "no {expected:?}\n{run}");
    }
}

#[test]
fn networks_come_back_after_a_restart() {
    let Some(mut daemon) = busybox() else { return };
    daemon.docker(["network", "create", "net"]).run().ok();
    serve(&daemon, "web", &["--network", "net", "-p", "127.0.0.1::80"]);
    let address = published(&daemon, "web", "80/tcp");
    wait::until("the page", SOON, || http::get(&address, "/").is_ok());
    let before = inspect(&daemon, "web", "{{.NetworkSettings.Networks.net.IPAddress}}");
    daemon.kill();
    // As after a firewall reload: the rules are gone, the new daemon makes them again.
    let table = Residue::find(&daemon.options.traces()).tables;
    for name in &table {
        drop(std::process::Command::new("nft").args(["delete", "table"]).args(name.split(' ')).output());
    }
    daemon.restart().unwrap();
    assert_eq!(inspect(&daemon, "web", "{{.NetworkSettings.Networks.net.IPAddress}}"), before);
    wait::until("the page after the restart", SOON, || http::get(&address, "/").is_ok());
    fetch(&daemon, "net", "http://web/", "hello from web");
}

#[test]
fn nothing_is_left_behind() {
    let Some(mut daemon) = busybox() else { return };
    daemon.docker(["network", "create", "net"]).run().ok();
    serve(&daemon, "web", &["--network", "net", "-p", "80"]);
    daemon.docker(["run", "--rm", "busybox", "true"]).run().ok();
    daemon.docker(["rm", "-f", "web"]).run().ok();
    daemon.docker(["network", "rm", "net"]).run().ok();
    daemon.stop();
    let traces = daemon.options.traces();
    let bridge = format!("{}0", traces.prefix);
    let mut found = Residue::find(&traces);
    // Interfaces go in the background. The default bridge stays for the next daemon.
    let clean = wait::poll(SOON, || {
        found = Residue::find(&traces);
        let endpoints = found.links.iter().any(|name| *name != bridge);
        (found.processes.is_empty() && found.mounts.is_empty() && !endpoints).then_some(())
    });
    assert!(clean.is_some(), "{found}");
}

#[test]
fn ipv6_networks_carry_names_ports_and_fixed_addresses() {
    let Some(daemon) = busybox() else { return };
    let subnet = format!("fd{:02x}:{:x}::/64", std::process::id() & 0xff, std::process::id() >> 8);
    let base = subnet.trim_end_matches("::/64").to_owned();
    daemon.docker(["network", "create", "--ipv6", "--subnet", &subnet, "six"]).run().ok();
    let run = daemon.docker(["network", "inspect", "-f", "{{.EnableIPv6}} {{len .IPAM.Config}}", "six"]).run();
    assert_eq!(run.ok(), "true 2");
    let script = "mkdir -p /www; echo six > /www/index.html; exec httpd -f -p '[::]:80' -h /www";
    daemon
        .docker(["run", "-d", "--name", "web", "--network", "six", "--ip6", &format!("{base}::77"), "-p", "80"])
        .args(["busybox", "sh", "-c", script])
        .run()
        .ok();
    let format = "{{.NetworkSettings.Networks.six.GlobalIPv6Address}} {{.NetworkSettings.Networks.six.IPv6Gateway}}";
    let run = daemon.docker(["inspect", "-f", format, "web"]).run();
    assert_eq!(run.ok(), format!("{base}::77 {base}::1"));
    fetch(&daemon, "six", &format!("http://[{base}::77]/"), "six");
    fetch(&daemon, "six", "http://web/", "six");
    let lookup = daemon.docker(["run", "--rm", "--network", "six", "busybox", "nslookup", "-type=aaaa", "web"]).run();
    assert!(lookup.ok().contains(&format!("{base}::77")), "{lookup}");
    let ports = daemon.docker(["port", "web"]).run();
    let numbers: Vec<&str> = ports.ok().lines().filter_map(|line| line.rsplit(':').next()).collect();
    assert!(ports.stdout.contains("80/tcp -> [::]:"), "{ports}");
    assert_eq!((numbers.len(), numbers[0]), (2, numbers[1]), "{ports}");
    // By the host's address in the network, since a fresh machine has no other IPv6 address.
    let url = format!("http://[{base}::1]:{}/", numbers[0]);
    let fetched = daemon.docker(["run", "--rm", "--network", "host", "busybox", "wget", "-qO-", &url]).run();
    assert_eq!(fetched.ok(), "six");
    // Without --ipv6 its subnet is not used, and that is said.
    let body = r#"{"Name":"four","IPAM":{"Config":[{"Subnet":"fd99:7::/64"}]}}"#;
    let created = daemon.api("POST", "/v1.50/networks/create", body).unwrap();
    assert!(created.body.contains("--ipv6"), "{created:?}");
}

#[test]
fn the_firewall_comes_back_after_a_foreign_flush() {
    let Some(daemon) = busybox() else { return };
    daemon.docker(["network", "create", "net"]).run().ok();
    serve(&daemon, "web", &["--network", "net", "-p", "80"]);
    let port = published(&daemon, "web", "80/tcp");
    assert!(http::get(&port, "/").unwrap().body.contains("hello from web"));
    // Only this daemon's table: other tests have theirs.
    let table = format!("drua-{}", daemon.options.prefix);
    let deleted = std::process::Command::new("nft").args(["delete", "table", "inet", &table]).status().unwrap();
    assert!(deleted.success());
    let got = wait::poll(SOON, || http::get(&port, "/").ok().filter(|page| page.body.contains("hello from web")));
    assert!(got.is_some(), "the published port did not come back");
}
