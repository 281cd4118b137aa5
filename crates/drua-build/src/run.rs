//! RUN: the command line, its mounts, and the layer that it leaves.

use std::collections::BTreeMap;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use drua_dockerfile::{CacheSharing, CommandLine, Ignore, Instruction, Mount, MountKind, Run, RunNetwork, RunSecurity};
use drua_types::Digest;
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use serde_json::{Value, json};

use crate::cache::{Claim, Draft};
use crate::error::{BuildError, Result};
use crate::events::Event;
use crate::fsutil;
use crate::ports::{MountContent, Network, RunStep, StepMount};
use crate::solve::{BuildFailure, Chain, LayerRef, Origin};
use crate::stage::{StageBuild, one_line};

/// Variables that reach commands without ARG and change no key.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// A mount whose source is known and whose place on the host is made when the command runs.
struct Prepared {
    target: String,
    source: PreparedSource,
    /// What of it counts for the key.
    key: Value,
}

enum PreparedSource {
    Bind {
        chain: Option<(Chain, PathBuf)>,
        host: Option<PathBuf>,
        writable: bool,
    },
    Cache {
        id: String,
        chain: Option<(Chain, PathBuf)>,
        sharing: CacheSharing,
        readonly: bool,
        mode: u32,
        owner: (u32, u32),
    },
    Tmpfs {
        size: Option<u64>,
    },
    Secret {
        bytes: Vec<u8>,
        mode: u32,
        owner: (u32, u32),
    },
    Ssh {
        socket: PathBuf,
    },
}

impl Prepared {
    fn locked_id(&self) -> Option<&str> {
        match &self.source {
            PreparedSource::Cache { id, sharing: CacheSharing::Locked, .. } => Some(id),
            _ => None,
        }
    }
}

impl StageBuild<'_, '_> {
    pub(crate) fn run_command(
        &mut self,
        run: &Run,
        instruction: &Instruction,
    ) -> std::result::Result<(), Box<BuildFailure>> {
        let platform = &self.planned.platform;
        if platform.is_wasm() {
            let reason = "it has no shell and no programs; build in a stage `FROM --platform=$BUILDPLATFORM …` and COPY --from it";
            return Err(BuildError::CannotRun { platform: platform.to_string(), reason }.into());
        }
        let mut env_secrets = Vec::new();
        let mut mounts = Vec::new();
        for word in &run.mounts {
            mounts.extend(self.prepare(&self.expand(&word.text)?, &mut env_secrets)?);
        }
        Ok(self.run_prepared(run, instruction, &mounts, &env_secrets)?)
    }

    fn run_prepared(
        &mut self,
        run: &Run,
        instruction: &Instruction,
        mounts: &[Prepared],
        env_secrets: &[(String, String)],
    ) -> Result<()> {
        let solver = self.solving.solver;
        let network = self.network(run.network)?;
        let insecure = run.security == RunSecurity::Insecure;
        if insecure && !solver.request.entitlements.security_insecure {
            let text = "RUN --security=insecure is not allowed: build with `--allow security.insecure`";
            return Err(BuildError::NotAllowed(text.to_owned()));
        }
        if !run.devices.is_empty() {
            return Err(BuildError::NotAllowed("RUN --device is not supported".to_owned()));
        }
        let (args, script) = self.arguments(&run.command, instruction);
        if args.is_empty() {
            return Err(BuildError::Value("RUN needs a command".to_owned()));
        }
        let visible = self.state.visible_args();
        let visible: Vec<(String, String)> =
            visible.into_iter().filter(|(name, _)| !is_proxy(name) || self.is_declared(name)).collect();
        let mut env = self.state.env();
        env.extend(visible.iter().map(|(name, value)| format!("{name}={value}")));
        let hosts: Vec<&str> =
            solver.request.run.extra_hosts.iter().filter_map(|host| host.split([':', '=']).next()).collect();
        let operation = json!({
            "op": "run", "args": args, "script": script.as_ref().map(|(_, text)| text), "env": env,
            "cwd": self.state.cwd(), "user": self.state.user(), "network": format!("{network:?}"),
            "insecure": insecure, "platform": self.planned.platform.to_string(), "hosts": hosts,
            "mounts": mounts.iter().map(|mount| &mount.key).collect::<Vec<_>>(),
            "env_secrets": env_secrets.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        });
        let key = self.next_key(&operation);
        let text = one_line(instruction);
        let shown = shown_command(&args);
        let record = self.step(&key, &text, |build| {
            let mut env = env.clone();
            for (name, value) in build.proxies() {
                if !env.iter().any(|entry| entry.split('=').next() == Some(&name)) {
                    env.push(format!("{name}={value}"));
                }
            }
            env.extend(env_secrets.iter().map(|(name, value)| format!("{name}={value}")));
            let draft = solver.cache.begin()?;
            let step = RunStep {
                lowers: build.lowers()?,
                upper: draft.upper(),
                work: draft.work(),
                args: args.clone(),
                env,
                cwd: build.state.cwd().to_owned(),
                user: build.state.user().to_owned(),
                network: network.clone(),
                mounts: Vec::new(),
                insecure,
                options: solver.request.run.clone(),
            };
            build.execute(step, &draft, mounts, script.as_ref(), &shown)?;
            build.drop_unchanged(&draft.upper())?;
            solver.cache.keep(&key, &text, draft, &solver.uses)
        })?;
        let created = record.created;
        self.advance(key, record);
        self.state.note(format!("RUN {} # buildkit", shown_history(&args, &visible)), Some(created));
        Ok(())
    }

    fn execute(
        &mut self,
        mut step: RunStep,
        draft: &Draft,
        mounts: &[Prepared],
        script: Option<&(String, String)>,
        shown: &str,
    ) -> Result<()> {
        let solver = self.solving.solver;
        // Taken before a slot: a command that waits for a cache keeps no other from running. In one order, so that two
        // that want the same two do not wait for each other.
        let mut locked: Vec<&str> = mounts.iter().filter_map(Prepared::locked_id).collect();
        locked.sort_unstable();
        locked.dedup();
        let mut claims = Vec::new();
        for id in locked {
            claims.push(solver.cache.claim(&Digest::of(format!("mount\0{id}").as_bytes()), solver.cancel)?);
        }
        for (number, mount) in mounts.iter().enumerate() {
            step.mounts.push(self.place(mount, draft, number, &mut claims)?);
        }
        if let Some((path, text)) = script {
            let file = draft.extra("script");
            write_private(&file, text.as_bytes(), 0o755, (0, 0))?;
            let content = MountContent::Path(file);
            step.mounts.push(StepMount { target: path.clone(), content, readonly: true });
        }
        let stubs = self.missing_targets(&step)?;
        let _slot = solver.slots.take();
        solver.check_canceled()?;
        let number = self.step;
        let mut output = |stream, bytes: &[u8]| {
            self.remember_output(bytes);
            solver.listener.event(Event::Output(number, stream, bytes.to_vec()));
        };
        let exit = solver.runner.run(&step, &mut output, solver.cancel);
        drop(claims);
        solver.check_canceled()?;
        let exit = exit.map_err(|error| BuildError::Start { command: shown.to_owned(), source: Box::new(error) })?;
        if exit.code != 0 {
            let (code, out_of_memory) = (exit.code, exit.out_of_memory);
            return Err(BuildError::Command { command: shown.to_owned(), code, out_of_memory });
        }
        remove_stubs(&draft.upper(), &stubs).map_err(BuildError::io("clean", &draft.upper()))
    }

    fn lowers(&self) -> Result<Vec<PathBuf>> {
        let solver = self.solving.solver;
        let mut lowers = self.chain.lowers(solver.cache);
        if lowers.is_empty() {
            lowers.push(solver.cache.empty()?);
        }
        Ok(lowers)
    }

    /// The command line, and a script to mount when a heredoc begins with `#!`.
    fn arguments(&self, command: &CommandLine, instruction: &Instruction) -> (Vec<String>, Option<(String, String)>) {
        let CommandLine::Shell(word) = command else { return (self.command_line(command), None) };
        let mut args = self.state.shell();
        let alone = instruction.heredocs.first().filter(|_| {
            let text = word.text.trim();
            instruction.heredocs.len() == 1
                && text.starts_with("<<")
                && !text[2..].trim_start().contains([' ', '\t', '|', ';', '&', '>', '<'])
        });
        match alone {
            Some(heredoc) => {
                let text = heredoc.stripped();
                if text.starts_with("#!") {
                    let path = format!("/dev/pipes/{}", heredoc.name);
                    return (vec![path.clone()], Some((path, text)));
                }
                args.push(text);
            }
            None => {
                let mut text = word.text.clone();
                for heredoc in &instruction.heredocs {
                    text.push('\n');
                    text.push_str(&heredoc.content);
                    text.push_str(&heredoc.name);
                }
                if text.is_empty() {
                    return (Vec::new(), None);
                }
                args.push(text);
            }
        }
        (args, None)
    }

    fn network(&self, asked: RunNetwork) -> Result<Network> {
        let request = self.solving.solver.request;
        match asked {
            RunNetwork::None => Ok(Network::None),
            RunNetwork::Default => Ok(request.network.clone()),
            RunNetwork::Host if request.entitlements.network_host || request.network == Network::Host => {
                Ok(Network::Host)
            }
            RunNetwork::Host => {
                let text = "RUN --network=host is not allowed: build with `--allow network.host` or `--network host`";
                Err(BuildError::NotAllowed(text.to_owned()))
            }
        }
    }

    fn is_declared(&self, name: &str) -> bool {
        self.state.args.iter().any(|(known, _)| known == name)
    }

    /// Proxy settings among the build arguments that no ARG declares.
    fn proxies(&self) -> Vec<(String, String)> {
        let given = &self.solving.plan.given;
        given.iter().filter(|(name, _)| is_proxy(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Finds what a mount names.
    fn prepare(
        &mut self,
        text: &str,
        env_secrets: &mut Vec<(String, String)>,
    ) -> std::result::Result<Option<Prepared>, Box<BuildFailure>> {
        let mount = Mount::parse(text).map_err(BuildError::Mount)?;
        let request = self.solving.solver.request;
        let target = mount.target.as_deref().map(|target| self.absolute(target).trim_end_matches('/').to_owned());
        Ok(Some(match mount.kind {
            MountKind::Tmpfs { size } => {
                let target = target.unwrap_or_default();
                let key = json!({"tmpfs": target});
                Prepared { target, source: PreparedSource::Tmpfs { size }, key }
            }
            MountKind::Bind { from, source, writable } => {
                let (target, source) = (target.unwrap_or_default(), source.unwrap_or_default());
                let (chain, host, digest) = self.bound(from.as_deref(), &source)?;
                let key = json!({"bind": target, "content": digest, "writable": writable});
                Prepared { target, source: PreparedSource::Bind { chain, host, writable }, key }
            }
            MountKind::Cache { id, from, source, sharing, readonly, mode, uid, gid } => {
                let target = target.unwrap_or_default();
                let chain = match from.as_deref() {
                    Some(from) => self.bound(Some(from), source.as_deref().unwrap_or_default())?.0,
                    None => None,
                };
                let id = id.unwrap_or_else(|| target.clone());
                let namespace = request.args.get("BUILDKIT_CACHE_MOUNT_NS").cloned().unwrap_or_default();
                let id = format!("{namespace}{id}");
                let owner = (uid.unwrap_or(0), gid.unwrap_or(0));
                let key = json!({"cache": target, "readonly": readonly});
                let mode = mode.unwrap_or(0o755);
                Prepared { target, source: PreparedSource::Cache { id, chain, sharing, readonly, mode, owner }, key }
            }
            MountKind::Secret { id, env, required, mode, uid, gid } => {
                let id = id.unwrap_or_default();
                let bytes = match request.secrets.get(&id) {
                    Some(bytes) => bytes.clone(),
                    None if required => return Err(BuildError::NoSecret(id).into()),
                    None => return Ok(None),
                };
                if let Some(name) = &env {
                    let value = String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned();
                    env_secrets.push((name.clone(), value));
                    if target.is_none() {
                        return Ok(None);
                    }
                }
                let target = target.unwrap_or_else(|| format!("/run/secrets/{id}"));
                let owner = (uid.unwrap_or(0), gid.unwrap_or(0));
                let key = json!({"secret": target, "id": id});
                Prepared { target, source: PreparedSource::Secret { bytes, mode: mode.unwrap_or(0o400), owner }, key }
            }
            MountKind::Ssh { id, required, .. } => {
                let id = id.unwrap_or_else(|| "default".to_owned());
                let socket = match request.ssh.get(&id) {
                    Some(socket) => socket.clone(),
                    None if required => return Err(BuildError::NoSsh(id).into()),
                    None => return Ok(None),
                };
                let target = target.unwrap_or_else(|| "/run/buildkit/ssh_agent.0".to_owned());
                env_secrets.push(("SSH_AUTH_SOCK".to_owned(), target.clone()));
                let key = json!({"ssh": target, "id": id});
                Prepared { target, source: PreparedSource::Ssh { socket }, key }
            }
        }))
    }

    /// What a bind mount shows: files of a chain or of the host, and their digest.
    fn bound(
        &mut self,
        from: Option<&str>,
        source: &str,
    ) -> std::result::Result<(Option<(Chain, PathBuf)>, Option<PathBuf>, Digest), Box<BuildFailure>> {
        let solver = self.solving.solver;
        let digest = |tree: &crate::tree::Tree| -> Result<Digest> {
            let selected = tree.select(source, &Ignore::default(), false)?;
            match selected.first() {
                Some(selected) => solver.hashes.source(tree, selected),
                None => Err(BuildError::NotFound { path: source.to_owned(), ignored: false }),
            }
        };
        let inside = crate::tree::inside(source);
        match self.solving.origin(self.index, from)? {
            Origin::Files(tree) => {
                let content = digest(tree)?;
                // Mounted as a copy: the context has files that are excluded, and its owners mean nothing.
                let name = from.map_or_else(|| "context".to_owned(), str::to_owned);
                let key = Digest::of(format!("bind\0{content}").as_bytes());
                let _claim = solver.cache.claim(&key, solver.cancel)?;
                let record = match solver.cache.find(&key, &solver.uses) {
                    Some(record) => record,
                    None => {
                        let draft = solver.cache.begin()?;
                        let upper = draft.upper();
                        let dir = fsutil::open_dir(&upper).map_err(BuildError::io("open", &upper))?;
                        let root = drua_sys::root_fs::Root::from_fd(dir);
                        let options = crate::copy::CopyOptions::default();
                        for selected in tree.select(source, &Ignore::default(), false)? {
                            crate::copy::Target::new(&root, "/source", &options).copy(tree, &selected, false)?;
                        }
                        solver.cache.keep(&key, &format!("mount of {name}"), draft, &solver.uses)?
                    }
                };
                let layers = record.snapshot.map(|id| LayerRef::Snapshot { id }).into_iter().collect();
                Ok((Some((Chain { layers }, PathBuf::from("source"))), None, content))
            }
            Origin::Stage(stage) => {
                let content = digest(&solver.tree_of(&stage.chain)?)?;
                Ok((Some((stage.chain.clone(), inside)), None, content))
            }
        }
    }

    /// Makes a mount's source on the host.
    fn place(&self, mount: &Prepared, draft: &Draft, number: usize, claims: &mut Vec<Claim>) -> Result<StepMount> {
        let solver = self.solving.solver;
        let of = |source: Option<PathBuf>, readonly, size| {
            let source = source.map_or(MountContent::Tmpfs { size }, MountContent::Path);
            StepMount { target: mount.target.clone(), content: source, readonly }
        };
        Ok(match &mount.source {
            PreparedSource::Tmpfs { size } => of(None, false, *size),
            PreparedSource::Ssh { socket } => of(Some(socket.clone()), false, None),
            PreparedSource::Secret { bytes, mode, owner } => StepMount {
                target: mount.target.clone(),
                content: MountContent::Secret { bytes: bytes.clone(), mode: *mode, owner: *owner },
                readonly: true,
            },
            PreparedSource::Bind { chain, host, writable } => match (chain, host) {
                (Some((chain, inside)), _) => {
                    of(Some(self.view(chain, inside, draft, number, *writable)?), !writable, None)
                }
                (None, Some(path)) => of(Some(path.clone()), true, None),
                (None, None) => of(Some(solver.cache.empty()?), true, None),
            },
            PreparedSource::Cache { id, chain, sharing, readonly, mode, owner } => {
                let id = match sharing {
                    CacheSharing::Shared | CacheSharing::Locked => id.clone(),
                    CacheSharing::Private => {
                        // The first that nobody has.
                        let mut ids = std::iter::once(id.clone()).chain((1..).map(|n| format!("{id}#{n}")));
                        loop {
                            let Some(id) = ids.next() else { break id.clone() };
                            let key = Digest::of(format!("mount\0{id}").as_bytes());
                            if let Some(claim) = solver.cache.try_claim(&key) {
                                claims.push(claim);
                                break id;
                            }
                        }
                    }
                };
                let (path, name, fresh) = solver.cache.mount(&id)?;
                solver.uses.add(&name);
                if fresh {
                    if let Some((chain, inside)) = chain {
                        self.fill(chain, inside, &path)?;
                    }
                    let dir = fsutil::open_dir(&path).map_err(BuildError::io("open", &path))?;
                    let (uid, gid) = (rustix::fs::Uid::from_raw(owner.0), rustix::fs::Gid::from_raw(owner.1));
                    rustix::fs::fchown(&dir, Some(uid), Some(gid))
                        .and_then(|()| rustix::fs::fchmod(&dir, Mode::from_raw_mode(*mode)))
                        .map_err(BuildError::os("set the owner of", &path))?;
                }
                of(Some(path), *readonly, None)
            }
        })
    }

    /// Fills a new cache mount.
    fn fill(&self, chain: &Chain, inside: &Path, into: &Path) -> Result<()> {
        let tree = self.solving.solver.tree_of(chain)?;
        let dir = fsutil::open_dir(into).map_err(BuildError::io("open", into))?;
        let root = drua_sys::root_fs::Root::from_fd(dir);
        let options = crate::copy::CopyOptions::default();
        for selected in tree.select(&inside.to_string_lossy(), &Ignore::default(), false)? {
            crate::copy::Target::new(&root, "/", &options).copy(&tree, &selected, true)?;
        }
        Ok(())
    }

    /// A path on the host that shows a part of a root filesystem. What is written there is thrown away.
    fn view(&self, chain: &Chain, inside: &Path, draft: &Draft, number: usize, writable: bool) -> Result<PathBuf> {
        let lowers = chain.lowers(self.solving.solver.cache);
        let resolved = self.solving.solver.tree_of(chain)?;
        // One layer that is not written to can be shown as it is, if no link stands in the way.
        if let ([only], false) = (lowers.as_slice(), writable) {
            let found = resolved.root().open_no_links(inside, OFlags::PATH | OFlags::NOFOLLOW);
            if found.is_ok_and(|fd| rustix::fs::fstat(&fd).is_ok_and(|stat| fsutil::kind(&stat) != FileType::Symlink)) {
                return Ok(only.join(inside));
            }
        }
        let copy = draft.extra(&format!("bind-{number}"));
        fs_err::create_dir(&copy).map_err(BuildError::io("create", &copy))?;
        let dir = fsutil::open_dir(&copy).map_err(BuildError::io("open", &copy))?;
        let root = drua_sys::root_fs::Root::from_fd(dir);
        let options = crate::copy::CopyOptions::default();
        for selected in resolved.select(&inside.to_string_lossy(), &Ignore::default(), false)? {
            crate::copy::Target::new(&root, "/source", &options).copy(&resolved, &selected, false)?;
        }
        Ok(copy.join("source"))
    }

    /// Mount points that are not in the root filesystem: the runtime makes them, and they must not stay in the layer.
    fn missing_targets(&self, step: &RunStep) -> Result<Vec<PathBuf>> {
        let tree = self.solving.solver.tree_of(&self.chain)?;
        let standard = ["dev", "proc", "sys", "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/shm", "dev/pts"];
        let standard = standard.iter().map(PathBuf::from);
        let targets = standard.chain(step.mounts.iter().map(|mount| crate::tree::inside(&mount.target)));
        let mut missing = std::collections::BTreeSet::new();
        for target in targets {
            let mut here = PathBuf::new();
            for part in &target {
                here.push(part);
                if tree.root().open_at(&here, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty()).is_err() {
                    missing.insert(here.clone());
                }
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// Takes directories out of a layer that were only touched: overlay copies every directory up that something is made
    /// in, and when nothing of that is left it says nothing.
    pub(crate) fn drop_unchanged(&self, upper: &Path) -> Result<()> {
        if self.chain.layers.is_empty() {
            return Ok(());
        }
        let tree = self.solving.solver.tree_of(&self.chain)?;
        let dir = fsutil::open_dir(upper).map_err(BuildError::io("open", upper))?;
        prune_same(&dir, Path::new(""), &tree, 0).map_err(BuildError::io("clean", upper))
    }
}

fn prune_same(dir: &std::os::fd::OwnedFd, at: &Path, below: &crate::tree::Tree, depth: usize) -> std::io::Result<()> {
    if depth > 200 {
        return Ok(());
    }
    for name in fsutil::names(dir.as_fd())? {
        let stat = fsutil::stat(dir.as_fd(), &name)?;
        if fsutil::kind(&stat) != FileType::Directory {
            continue;
        }
        let path = at.join(&name);
        // Where nothing was before, everything is new.
        let Ok(old) = below.root().open_no_links(&path, OFlags::PATH | OFlags::NOFOLLOW) else { continue };
        let old = rustix::fs::fstat(&old)?;
        let child = fsutil::open_below(dir.as_fd(), &name)?;
        prune_same(&child, &path, below, depth + 1)?;
        let same = (old.st_mode, old.st_uid, old.st_gid) == (stat.st_mode, stat.st_uid, stat.st_gid);
        if same && !fsutil::is_opaque(child.as_fd()) && fsutil::xattrs(child.as_fd())?.is_empty() {
            // Fails when it is not empty, and that is right.
            let _ = rustix::fs::unlinkat(dir, &name, AtFlags::REMOVEDIR);
        }
    }
    Ok(())
}

/// Removes mount points that are still as the runtime made them: empty.
fn remove_stubs(upper: &Path, stubs: &[PathBuf]) -> std::io::Result<()> {
    let root = drua_sys::root_fs::Root::open(upper)?;
    for stub in stubs.iter().rev() {
        let Ok(Some((parent, name))) = root.parent(stub) else { continue };
        let Ok(stat) = fsutil::stat(parent.as_fd(), &name) else { continue };
        match fsutil::kind(&stat) {
            FileType::Directory => drop(rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR)),
            FileType::RegularFile if stat.st_size == 0 => drop(rustix::fs::unlinkat(&parent, &name, AtFlags::empty())),
            _ => {}
        }
    }
    Ok(())
}

fn write_private(path: &Path, bytes: &[u8], mode: u32, owner: (u32, u32)) -> Result<()> {
    use std::io::Write as _;
    let write = || -> std::io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::from_raw_mode(0o600))?;
        let mut file = std::fs::File::from(file);
        file.write_all(bytes)?;
        let (uid, gid) = (rustix::fs::Uid::from_raw(owner.0), rustix::fs::Gid::from_raw(owner.1));
        rustix::fs::fchown(&file, Some(uid), Some(gid))?;
        Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?)
    };
    write().map_err(BuildError::io("write", path))
}

fn is_proxy(name: &str) -> bool {
    PROXIES.iter().any(|proxy| proxy.eq_ignore_ascii_case(name))
}

/// The command as errors show it.
fn shown_command(args: &[String]) -> String {
    args.join(" ")
}

/// The command as the history shows it, with the ARGs that it saw.
fn shown_history(args: &[String], visible: &[(String, String)]) -> String {
    let visible: BTreeMap<&String, &String> = visible.iter().map(|(name, value)| (name, value)).collect();
    let mut words = Vec::new();
    if !visible.is_empty() {
        words.push(format!("|{}", visible.len()));
        words.extend(visible.iter().map(|(name, value)| format!("{name}={value}")));
    }
    words.extend(args.iter().cloned());
    words.join(" ")
}
