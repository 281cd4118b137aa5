//! Namespaces, containers, servers and clients for the tests.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use drua_types::{ContainerId, NetworkId, Protocol};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::config::{EndpointConfig, MacAddress, NetworkConfig, PublishedPort, Subnet};
use crate::netlink::{NewVeth, Route, route};
use crate::{Host, HostConfig, netns};

/// The host's address on the way to the outside, and the outside's.
pub(super) const UPLINK: &str = "10.99.0.1";
pub(super) const OUTSIDE: &str = "10.99.0.2";
/// What must answer has this long, what must not is given less.
const PATIENCE: Duration = Duration::from_secs(5);
const IMPATIENCE: Duration = Duration::from_millis(300);

/// A host with an uplink to an outside namespace.
pub(super) struct World {
    pub(super) host: Host,
    pub(super) outside: PathBuf,
    dir: PathBuf,
}

/// Runs a test on a thread of its own in the namespace of a fresh host.
pub(super) fn world(test: impl FnOnce(&World) + Send) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            unshare(CloneFlags::CLONE_NEWNS).unwrap();
            mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>).unwrap();
            let host = path.join("host");
            netns::create(&host).unwrap();
            netns::enter(&host, || test(&World::new(path))).unwrap();
        });
    });
}

impl World {
    fn new(dir: &Path) -> Self {
        let outside = dir.join("outside");
        netns::create(&outside).unwrap();
        let mut route = Route::open().unwrap();
        // A bridge without a port makes the uplink, since the crate knows how to make one.
        let bridge: crate::InterfaceName = "uplink0".parse().unwrap();
        let uplink = "up0".parse().unwrap();
        let mac = MacAddress::for_ipv4(UPLINK.parse().unwrap());
        route.apply(vec![route::create_bridge(&bridge, mac, 1500), route::claim(&bridge, "test", 1500)]).unwrap();
        let index = route.link(&bridge).unwrap().unwrap().index;
        let namespace = std::fs::File::open(&outside).unwrap();
        let veth = NewVeth {
            name: &uplink,
            bridge: index,
            mtu: 1500,
            peer_name: &"eth0".parse().unwrap(),
            peer_mac: MacAddress::for_ipv4(OUTSIDE.parse().unwrap()),
            peer_netns: std::os::fd::AsFd::as_fd(&namespace),
        };
        let address = format!("{UPLINK}/24").parse().unwrap();
        route
            .apply(vec![
                route::create_veth(&veth),
                route::claim(&uplink, "test", 1500),
                route::add_address("uplink0", index, address),
            ])
            .unwrap();
        netns::enter(&outside, || {
            let mut route = Route::open().unwrap();
            let index = route.link(&"eth0".parse().unwrap()).unwrap().unwrap().index;
            let address = format!("{OUTSIDE}/24").parse().unwrap();
            let requests = vec![
                route::bring_up("eth0", index),
                route::add_address("eth0", index, address),
                // The outside knows the way to the containers, and must not get in by it.
                route::default_route("eth0", index, UPLINK.parse().unwrap()),
            ];
            route.apply(requests).unwrap();
        })
        .unwrap();
        let host = Host::open(HostConfig { table: "drua-test".to_owned(), iface_prefix: "t".to_owned() }).unwrap();
        Self { host, outside, dir: dir.to_owned() }
    }

    /// A network `10.<n>.0.0/24`, not created yet.
    pub(super) fn network(&self, n: u8) -> NetworkConfig {
        let id = NetworkId::random();
        let net = format!("10.{n}.0.0/24").parse().unwrap();
        NetworkConfig {
            bridge: self.host.bridge_name(&id),
            id,
            subnets: vec![Subnet { net, gateway: Ipv4Addr::new(10, n, 0, 1).into() }],
            internal: false,
            masquerade: true,
            icc: true,
            mtu: 1500,
        }
    }

    /// A new container's place in a network, `10.<n>.0.<host>`, not attached yet.
    pub(super) fn endpoint(&self, network: &NetworkConfig, host: u8) -> EndpointConfig {
        let container = ContainerId::random();
        let netns = self.dir.join(container.short());
        netns::create(&netns).unwrap();
        let IpAddr::V4(gateway) = network.subnets[0].gateway else { panic!("IPv4") };
        let [a, b, c, _] = gateway.octets();
        let address = Ipv4Addr::new(a, b, c, host);
        EndpointConfig {
            network: network.id.clone(),
            container,
            netns,
            ifname: "eth0".parse().unwrap(),
            mac: MacAddress::for_ipv4(address),
            addresses: vec![format!("{address}/24").parse().unwrap()],
            default_route: true,
            publish: Vec::new(),
        }
    }

    /// A created network with attached containers.
    pub(super) fn populated(&self, n: u8, containers: u8) -> (NetworkConfig, Vec<EndpointConfig>) {
        let network = self.network(n);
        self.host.create_network(&network).unwrap();
        let endpoints: Vec<_> = (0..containers).map(|c| self.endpoint(&network, c + 2)).collect();
        for endpoint in &endpoints {
            self.host.attach(endpoint).unwrap();
        }
        (network, endpoints)
    }
}

pub(super) fn address(endpoint: &EndpointConfig) -> IpAddr {
    endpoint.addresses[0].addr()
}

pub(super) fn publish(host_ip: &str, host_port: u16, number: u16, protocol: Protocol) -> PublishedPort {
    let container_port = drua_types::Port { number, protocol };
    PublishedPort { host_ip: host_ip.parse().unwrap(), host_port, container_port }
}

/// A TCP server in a namespace that tells everybody its label and their address.
pub(super) struct Server {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(netns: &Path, port: u16, label: &'static str) -> Self {
        Self::start_at(netns, (Ipv4Addr::UNSPECIFIED, port).into(), label)
    }

    pub(super) fn start_at(netns: &Path, at: SocketAddr, label: &'static str) -> Self {
        let listener = netns::enter(netns, || TcpListener::bind(at)).unwrap().unwrap();
        let listener = Arc::new(listener);
        let accepting = Arc::clone(&listener);
        let thread = std::thread::spawn(move || {
            while let Ok((mut stream, peer)) = accepting.accept() {
                let _ = write!(stream, "{label} {}", peer.ip());
            }
        });
        Self { listener, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn ask(to: SocketAddr, patience: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&to, patience)?;
    stream.set_read_timeout(Some(patience))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// What a server answers to somebody in a namespace.
#[track_caller]
pub(super) fn answer(from: &Path, ip: impl ToString, port: u16) -> String {
    let to = SocketAddr::new(ip.to_string().parse().unwrap(), port);
    netns::enter(from, || ask(to, PATIENCE)).unwrap().unwrap_or_else(|error| panic!("no answer from {to}: {error}"))
}

/// What a server answers to the host itself.
#[track_caller]
pub(super) fn host_answer(ip: impl ToString, port: u16) -> String {
    let to = SocketAddr::new(ip.to_string().parse().unwrap(), port);
    ask(to, PATIENCE).unwrap_or_else(|error| panic!("no answer from {to}: {error}"))
}

/// Makes sure that somebody in a namespace does not get through.
#[track_caller]
pub(super) fn no_answer(from: &Path, ip: impl ToString, port: u16) {
    let to = SocketAddr::new(ip.to_string().parse().unwrap(), port);
    let answer = netns::enter(from, || ask(to, IMPATIENCE)).unwrap();
    assert!(answer.is_err(), "{to} must not be reachable, but said {answer:?}");
}

/// Makes sure that nobody in a namespace can even connect.
#[track_caller]
pub(super) fn no_connection(from: &Path, ip: impl ToString, port: u16) {
    let to = SocketAddr::new(ip.to_string().parse().unwrap(), port);
    let connected = netns::enter(from, || TcpStream::connect_timeout(&to, IMPATIENCE).map(drop)).unwrap();
    assert!(connected.is_err(), "{to} must not accept connections");
}

/// One UDP question and its answer.
pub(super) fn udp_exchange(from: Option<&Path>, to: SocketAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let exchange = || {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(to)?;
        socket.send(question)?;
        let mut buffer = vec![0; 2048];
        let len = socket.recv(&mut buffer)?;
        buffer.truncate(len);
        Ok(buffer)
    };
    match from {
        Some(netns) => netns::enter(netns, exchange).unwrap(),
        None => exchange(),
    }
}

/// Waits for a condition.
#[track_caller]
pub(super) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::yield_now();
    }
}
