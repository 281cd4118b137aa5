//! The server's tasks: one for each container, which ends when the container is taken off or the server is dropped.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use drua_types::ContainerId;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::answer::{Decision, Transport, decide, server_failure};
use super::forward::{ask, read_framed, write_framed};
use super::resolv_conf::PORT;
use super::zone::Zone;
use crate::{NetError, netns};

/// Where containers find us.
const ADDRESS: (Ipv4Addr, u16) = (Ipv4Addr::new(127, 0, 0, 11), 53);
/// Questions that wait for the host's name servers at any moment: all of them, and those of one container.
const CONCURRENT: usize = 1024;
const CONCURRENT_OF_ONE: usize = 256;
/// Larger than any question that a resolver asks.
const QUESTION_LEN: usize = 2048;
/// How long a TCP connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// Keeps a socket that only ever fails from taking a whole core.
const BACK_OFF: Duration = Duration::from_millis(100);

/// The sockets at 127.0.0.11:53 in a container's network namespace.
#[derive(Debug)]
pub struct DnsSockets {
    udp: StdUdpSocket,
    tcp: StdTcpListener,
    /// Whom this container's unknown names go to; `None` is the server's own list.
    upstreams: Option<Vec<SocketAddr>>,
}

impl DnsSockets {
    /// Binds them in the namespace pinned at `netns`, where `lo` must be up.
    ///
    /// # Errors
    /// [`NetError::Netns`], [`NetError::BindDns`].
    pub fn bind(netns: &Path) -> Result<Self, NetError> {
        let bind = || -> io::Result<Self> {
            let (udp, tcp) = (StdUdpSocket::bind(ADDRESS)?, StdTcpListener::bind(ADDRESS)?);
            let sockets = Self { udp, tcp, upstreams: None };
            sockets.udp.set_nonblocking(true)?;
            sockets.tcp.set_nonblocking(true)?;
            Ok(sockets)
        };
        netns::enter(netns, bind)?.map_err(|source| NetError::BindDns { path: netns.to_owned(), source })
    }

    /// Sends this container's unknown names to these name servers instead of the server's (`--dns`).
    pub fn asking(self, nameservers: &[IpAddr]) -> Self {
        Self { upstreams: Some(nameservers.iter().map(|&ip| SocketAddr::new(ip, PORT)).collect()), ..self }
    }
}

/// The embedded DNS server.
#[derive(Debug)]
pub struct DnsServer {
    runtime: Handle,
    shared: Arc<Shared>,
    tasks: Mutex<HashMap<ContainerId, Task>>,
}

#[derive(Debug)]
struct Shared {
    zone: RwLock<Arc<Zone>>,
    upstreams: Vec<SocketAddr>,
    forwards: Semaphore,
    turn: AtomicUsize,
}

/// A task that ends when it is dropped, and all that it spawned with it.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl DnsServer {
    /// A server without names, whose tasks run on `runtime` and ask `upstreams` from the namespace of its threads.
    pub fn new(runtime: Handle, upstreams: Vec<SocketAddr>) -> Self {
        let shared = Shared {
            zone: RwLock::default(),
            upstreams,
            forwards: Semaphore::new(CONCURRENT),
            turn: AtomicUsize::new(0),
        };
        Self { runtime, shared: Arc::new(shared), tasks: Mutex::default() }
    }

    /// Replaces all names.
    pub fn set_zone(&self, zone: Zone) {
        *self.shared.zone.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(zone);
    }

    /// Answers a container's questions from now on, in place of an earlier call for it.
    ///
    /// # Errors
    /// When the runtime's reactor takes no more sockets.
    pub fn serve(&self, container: &ContainerId, sockets: DnsSockets) -> io::Result<()> {
        let _context = self.runtime.enter();
        let udp = UdpSocket::from_std(sockets.udp)?;
        let tcp = TcpListener::from_std(sockets.tcp)?;
        let upstreams = sockets.upstreams.unwrap_or_else(|| self.shared.upstreams.clone());
        let client = Arc::new(Client { container: container.clone(), upstreams, shared: Arc::clone(&self.shared) });
        let task = Task(self.runtime.spawn(client.run(udp, tcp)));
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).insert(container.clone(), task);
        Ok(())
    }

    /// Stops answering a container and closes its sockets.
    pub fn stop(&self, container: &ContainerId) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).remove(container);
    }
}

/// One container as its task sees it.
#[derive(Debug)]
struct Client {
    container: ContainerId,
    upstreams: Vec<SocketAddr>,
    shared: Arc<Shared>,
}

impl Client {
    async fn run(self: Arc<Self>, udp: UdpSocket, tcp: TcpListener) {
        let udp = Arc::new(udp);
        let mut waiting = JoinSet::new();
        let mut buffer = vec![0; QUESTION_LEN];
        loop {
            tokio::select! {
                received = udp.recv_from(&mut buffer) => match received {
                    Ok((len, asker)) => self.datagram(&udp, &buffer[..len], asker, &mut waiting).await,
                    Err(error) => self.trouble(&error).await,
                },
                accepted = tcp.accept() => match accepted {
                    Ok((stream, _)) if waiting.len() < CONCURRENT_OF_ONE => {
                        waiting.spawn(Arc::clone(&self).connection(stream));
                    }
                    Ok(_) => {}
                    Err(error) => self.trouble(&error).await,
                },
                Some(_) = waiting.join_next() => {}
            }
        }
    }

    /// Answers at once what can be; the rest waits in a task of its own.
    async fn datagram(
        self: &Arc<Self>,
        udp: &Arc<UdpSocket>,
        packet: &[u8],
        asker: SocketAddr,
        waiting: &mut JoinSet<()>,
    ) {
        let answer = match self.decide(packet, Transport::Udp) {
            Decision::Reply(answer) => Some(answer),
            Decision::Ignore => None,
            Decision::Forward if waiting.len() < CONCURRENT_OF_ONE => {
                let (client, udp, packet) = (Arc::clone(self), Arc::clone(udp), packet.to_vec());
                waiting.spawn(async move {
                    if let Some(answer) = client.forward(&packet, Transport::Udp).await {
                        let _ = udp.send_to(&answer, asker).await;
                    }
                });
                None
            }
            Decision::Forward => server_failure(packet),
        };
        if let Some(answer) = answer {
            // Whoever asked over UDP asks again.
            let _ = udp.send_to(&answer, asker).await;
        }
    }

    async fn connection(self: Arc<Self>, mut stream: TcpStream) {
        while let Ok(Ok(packet)) = timeout(IDLE, read_framed(&mut stream)).await {
            let answer = match self.decide(&packet, Transport::Tcp) {
                Decision::Reply(answer) => Some(answer),
                Decision::Forward => self.forward(&packet, Transport::Tcp).await,
                Decision::Ignore => None,
            };
            let Some(answer) = answer else { return };
            if !matches!(timeout(IDLE, write_framed(&mut stream, &answer)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    fn decide(&self, packet: &[u8], transport: Transport) -> Decision {
        let zone = Arc::clone(&self.shared.zone.read().unwrap_or_else(PoisonError::into_inner));
        let turn = self.shared.turn.fetch_add(1, Ordering::Relaxed);
        decide(&zone, &self.container, packet, transport, turn)
    }

    async fn forward(&self, packet: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let Ok(_permit) = self.shared.forwards.try_acquire() else {
            tracing::debug!(container.id = %self.container, "too many questions wait for the host's name servers");
            return server_failure(packet);
        };
        match ask(&self.upstreams, packet, transport).await {
            Some(answer) => Some(answer),
            None => server_failure(packet),
        }
    }

    async fn trouble(&self, error: &io::Error) {
        tracing::debug!(container.id = %self.container, %error, "a DNS socket failed");
        sleep(BACK_OFF).await;
    }
}
