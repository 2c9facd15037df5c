//! One guest at work: its TFTP server, its network, its process; driven by [`run`](super::run).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bbot_manifest::MachineManifest;
use bbot_tftp::{Namespace, Server, ServerConfig, ServerHandle};
use bbot_vm::{Guest, GuestConfig, GuestEvent, Network, NetworkConfig, VmUser, VncAddress};

use super::console_log;
use super::disk_space::Room;
use super::hold::{Hold, News, Over};
use super::run::{Action, End, Input, Job, Limits, Run};
use crate::agent::Agent;
use crate::diag;
use crate::event_loop::Event;
use crate::fs::runtime_dir::{self, PRIVATE};
use crate::observe::held::Held;

/// How long QEMU may take to go after it was told to, before it is killed. It takes some 10 ms, and
/// its disk is thrown away (W40: a stop must not wait for a guest).
const FORCE_DOWN_LIMIT: Duration = Duration::from_millis(500);

/// How long a transfer whose data is all here may take to become durable after the guest's exit.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// What is said of [`End::DiskFull`].
pub(crate) const NO_SPACE: &str = "no space is left on the host's disk";

/// How much of a guest's console is kept, in bytes.
const CONSOLE_LIMIT: usize = 1 << 20;

/// What a guest is started with.
#[derive(Debug)]
pub(crate) struct Setup<'a> {
    /// What for.
    pub(crate) job: Job,
    /// For how long.
    pub(crate) limits: Limits,
    /// The working snapshot that holds its disk.
    pub(crate) directory: &'a Path,
    /// The machine.
    pub(crate) machine: &'a MachineManifest,
    /// Its hardware address.
    pub(crate) mac: &'a str,
    /// Its hardware threads.
    pub(crate) cpus: u32,
    /// The address its screen is shown on.
    pub(crate) vnc: IpAddr,
    /// What it may GET.
    pub(crate) read: PathBuf,
    /// Where its PUTs go.
    pub(crate) write: PathBuf,
}

/// A started guest and what it needs; ends by [`Sitting::end`], or by force when dropped.
#[derive(Debug)]
pub(crate) struct Sitting {
    number: u64,
    job: Job,
    limits: Limits,
    machine: String,
    directory: PathBuf,
    guest: Guest,
    tftp: Option<ServerHandle>,
    network: Network,
    started: Instant,
    first_request: Option<Instant>,
    room: Room,
}

impl Sitting {
    /// Starts TFTP server, network and guest.
    ///
    /// # Errors
    ///
    /// What fails here is the host's trouble, not the machine's.
    pub(crate) fn start(agent: &Agent, setup: &Setup<'_>) -> anyhow::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let config = &agent.config;
        let network_config = network_config(agent);
        let keys: &[(&str, &str)] = &[("machine", setup.machine.header.name.as_str())];

        runtime_dir::create(&config.runtime_dir)?;
        let start = Instant::now();
        let bridge = bbot_vm::bridge_address(&config.bridge)
            .with_context(|| format!("cannot use bridge {}", config.bridge))?;
        let tftp = start_tftp(agent, setup, bridge, network_config.tftp_port, number)?;
        diag::phase("tftp", start.elapsed(), keys);

        let start = Instant::now();
        let network = Network::set_up(&network_config)?;
        diag::phase("network", start.elapsed(), keys);

        let start = Instant::now();
        let sender = agent.events.sender();
        let guest = Guest::start(&guest_config(agent, setup)?, &network, move |event| {
            // The loop is gone when the process is about to end; the guest is swept then.
            drop(sender.send(Event::Guest { sitting: number, event }));
        })?;
        let executed = guest.executed();
        diag::phase_at("qemu", executed.saturating_duration_since(start), executed, keys);

        Ok(Self {
            number,
            job: setup.job,
            limits: setup.limits,
            machine: setup.machine.header.name.to_string(),
            directory: setup.directory.to_owned(),
            guest,
            tftp: Some(tftp),
            network,
            started: executed,
            first_request: None,
            room: Room::new(setup.write.clone(), config.upload_limit),
        })
    }

    /// Waits until the job is done, one way or another.
    pub(crate) fn drive(&mut self, agent: &mut Agent) -> End {
        let mut run = Run::new(self.job, self.limits, self.started);
        // A signal that came since the interrupts were armed has its event in the channel, or
        // had it taken by an earlier wait: look at the flags once.
        let mut action = Self::signalled(agent, &mut run);
        loop {
            action = match action {
                Action::End(end) => return end,
                Action::PowerDown => {
                    if let Err(error) = self.guest.power_down() {
                        diag::warn(format_args!("cannot power down {}: {error}", self.machine));
                    }
                    self.wait(agent, &mut run)
                }
                Action::Drain => {
                    self.drain(agent);
                    self.wait(agent, &mut run)
                }
                Action::Wait => self.wait(agent, &mut run),
            };
        }
    }

    fn wait(&mut self, agent: &mut Agent, run: &mut Run) -> Action {
        match agent.next_event(run.deadline()) {
            None => run.step(Input::Deadline, Instant::now()),
            Some(event) => self.handle(event, agent, run),
        }
    }

    /// Lets the server finish, on a thread of its own: its news and signals are seen meanwhile.
    fn drain(&mut self, agent: &Agent) {
        let Some(tftp) = self.tftp.take() else { return };
        let (sender, sitting) = (agent.events.sender(), self.number);
        let drain = move || {
            tftp.drain(DRAIN_LIMIT);
            // The loop is gone when the process is about to end.
            drop(sender.send(Event::Drained { sitting }));
        };
        if let Err(error) = thread::Builder::new().name("drain".into()).spawn(drain) {
            diag::warn(format_args!("cannot wait for uploads: {error}"));
            // The server was stopped when the thread could not take it.
            drop(agent.events.sender().send(Event::Drained { sitting }));
        }
    }

    fn handle(&mut self, event: Event, agent: &Agent, run: &mut Run) -> Action {
        let now = Instant::now();
        match event {
            Event::Signal => Self::signalled(agent, run),
            Event::Tftp { sitting, event } if sitting == self.number => {
                self.handle_tftp(event, run, now)
            }
            Event::Guest { sitting, event } if sitting == self.number => {
                self.handle_guest(event, run, now)
            }
            // It comes after all news of the server: the result may have been among them.
            Event::Drained { sitting } if sitting == self.number => run.step(Input::Drained, now),
            // News of an earlier sitting, and what needs no answer.
            _ => Action::Wait,
        }
    }

    fn handle_tftp(&mut self, event: bbot_tftp::Event, run: &mut Run, now: Instant) -> Action {
        if self.room.is_lacking_for_upload(&event) {
            return run.step(Input::DiskFull, now);
        }
        match event {
            bbot_tftp::Event::FirstRequest { .. } => {
                self.first_request = Some(now);
                diag::phase("first-request", now - self.started, &self.keys());
                run.step(Input::FirstRequest, now)
            }
            bbot_tftp::Event::Finished {
                direction: bbot_tftp::Direction::Put,
                file,
                bytes,
                ..
            } => {
                let action = run.step(Input::Stored { file: &file, bytes }, now);
                if action != Action::Wait {
                    let since = self.first_request.unwrap_or(self.started);
                    let name = if self.job == Job::Build { "build" } else { "bootstrap" };
                    diag::phase(name, now - since, &self.keys());
                }
                action
            }
            _ => Action::Wait,
        }
    }

    fn handle_guest(&mut self, event: GuestEvent, run: &mut Run, now: Instant) -> Action {
        if self.room.is_lacking_for_disk(&event) {
            return run.step(Input::DiskFull, now);
        }
        let GuestEvent::Exited(exit) = event else { return Action::Wait };
        if !exit.stderr.is_empty() {
            diag::info(format_args!("{}: {}", self.machine, exit.stderr.trim_end()));
        }
        run.step(Input::Exited { by_signal: exit.signal.is_some() }, now)
    }

    fn signalled(agent: &Agent, run: &mut Run) -> Action {
        let now = Instant::now();
        if agent.events.signals.terminated() {
            return run.step(Input::Terminate, now);
        }
        if agent.events.signals.take_interrupt() {
            return run.step(Input::Interrupt, now);
        }
        Action::Wait
    }

    fn keys(&self) -> [(&str, &str); 1] {
        [("machine", &self.machine)]
    }

    /// Says what went wrong with a guest that is not held, and keeps its console log.
    pub(crate) fn report_failure(&self, what: &str, agent: &Agent) {
        let log = match self.keep_console(agent) {
            Ok(log) => format!("console log kept in {}", log.display()),
            Err(error) => format!("cannot keep the console log: {error}"),
        };
        diag::error(format_args!("{what} on {}: mac {}, {log}", self.machine, self.guest.mac()));
    }

    fn keep_console(&self, agent: &Agent) -> io::Result<PathBuf> {
        console_log::keep(self.guest.console_path(), &agent.config.state_dir, &self.machine)
    }

    /// Stops the guest's processors and keeps it as it is until `hold` is over (W27). What else is
    /// due is done meanwhile: results are posted, the service manager hears of us.
    pub(crate) fn hold(&mut self, agent: &mut Agent, hold: &Hold, reason: &str) {
        if let Some(tftp) = self.tftp.take() {
            tftp.stop();
        }
        if let Err(error) = self.guest.suspend() {
            // Most likely it has just exited.
            diag::warn(format_args!("cannot hold the guest of {}: {error}", self.machine));
            return self.report_failure(reason, agent);
        }
        let place = self.held(agent, hold, reason);
        let log = self.report_hold(agent, &place);
        agent.status.hold(place);
        let over = self.wait_for_end_of(hold, agent);
        // An operator may have let it go on.
        if let Some(log) = log
            && let Err(error) = fs::copy(self.guest.console_path(), &log)
        {
            diag::warn(format_args!("cannot keep the console log: {error}"));
        }
        diag::info(format_args!("the hold of {} is over: {over}", self.machine));
    }

    fn wait_for_end_of(&self, hold: &Hold, agent: &mut Agent) -> Over {
        // A signal that came before has its event in the channel, or had it taken already.
        let mut news = Self::signal_news(agent);
        loop {
            let now = Instant::now();
            if let Some(over) = news.and_then(|news| hold.step(news, now)) {
                return over;
            }
            news = match agent.next_event(hold.deadline(now)) {
                None => Some(News::Deadline),
                Some(Event::Signal) => Self::signal_news(agent),
                Some(Event::Guest { sitting, event: GuestEvent::Exited(_) })
                    if sitting == self.number =>
                {
                    Some(News::Exited)
                }
                Some(_) => None,
            };
        }
    }

    fn signal_news(agent: &Agent) -> Option<News> {
        if agent.is_stopping() {
            return Some(News::Stop);
        }
        agent.events.signals.take_interrupt().then_some(News::Interrupt)
    }

    fn held(&self, agent: &Agent, hold: &Hold, reason: &str) -> Held {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let until = |until: Instant| epoch + until.saturating_duration_since(Instant::now());
        Held {
            reason: reason.to_owned(),
            machine: self.machine.clone(),
            package: agent.status.package().map(str::to_owned),
            until: hold.until().map(|instant| until(instant).as_secs()),
            qemu_pid: self.guest.pid(),
            vnc: self.guest.vnc().to_string(),
            monitor: self.guest.monitor_path().to_owned(),
            console_log: self.guest.console_path().to_owned(),
            mac: self.guest.mac().to_string(),
            snapshot: self.directory.clone(),
        }
    }

    /// Says where to look, and keeps that beside the console log; returns where that is kept.
    fn report_hold(&self, agent: &Agent, held: &Held) -> Option<PathBuf> {
        let kept = self.keep_console(agent);
        let report = || {
            let log = kept.as_ref().map_err(ToString::to_string)?;
            let text = held.to_text().map_err(|error| error.to_string())?;
            console_log::add_report(log, &text).map_err(|error| error.to_string())
        };
        let place = match report() {
            Ok(path) => format!("report in {}", path.display()),
            Err(error) => format!("cannot keep a report: {error}"),
        };
        diag::error(format_args!("{held}; {place}"));
        kept.ok()
    }

    /// Forces the guest down, calls `when_down`, and takes the network apart.
    ///
    /// What waits for the machine to be free need not wait for what is this instance's alone.
    pub(crate) fn end(self, when_down: impl FnOnce()) {
        let start = Instant::now();
        if let Some(tftp) = self.tftp {
            tftp.stop();
        }
        let console = self.guest.console_path().to_owned();
        if let Err(error) = self.guest.force_down(FORCE_DOWN_LIMIT) {
            diag::warn(format_args!("cannot force {} down: {error}", self.machine));
        }
        diag::phase("guest-down", start.elapsed(), &[("machine", &self.machine)]);
        when_down();
        let start = Instant::now();
        if let Err(error) = self.network.tear_down() {
            diag::warn(format_args!("cannot take the network of {} apart: {error}", self.machine));
        }
        if let Err(error) = fs::remove_file(&console)
            && error.kind() != io::ErrorKind::NotFound
        {
            diag::warn(format_args!("cannot remove {}: {error}", console.display()));
        }
        diag::phase("network-down", start.elapsed(), &[("machine", &self.machine)]);
    }
}

/// The network names and numbers of this instance.
pub(crate) fn network_config(agent: &Agent) -> NetworkConfig {
    let config = &agent.config;
    let tftp_port = config.tftp_port + config.offset;
    NetworkConfig::new(config.bridge.clone(), config.offset, config.instance_name(), tftp_port)
}

fn start_tftp(
    agent: &Agent,
    setup: &Setup<'_>,
    bridge: Ipv4Addr,
    port: u16,
    number: u64,
) -> anyhow::Result<ServerHandle> {
    let address = SocketAddr::new(IpAddr::V4(bridge), port);
    let namespace = Namespace::new()
        .read(&setup.read)
        .write(&setup.write)
        .upload_limit(agent.config.upload_limit);
    // The answers come from the port that was asked: the redirection and a guest's firewall let
    // them through without a helper.
    let config = ServerConfig::default().with_single_port(true);
    let server = Server::bind(address, namespace, config)
        .with_context(|| format!("cannot serve TFTP at {address}"))?;
    let sender = agent.events.sender();
    let handle = server.spawn(move |event| {
        // The loop is gone when the process is about to end.
        drop(sender.send(Event::Tftp { sitting: number, event }));
    })?;
    Ok(handle)
}

fn guest_config(agent: &Agent, setup: &Setup<'_>) -> anyhow::Result<GuestConfig> {
    let config = &agent.config;
    let options = setup.machine.unquoted_options().context("cannot use the machine's options")?;
    let user = VmUser::resolve(config.vm_user.as_deref())?;
    let mac = setup.mac.parse().context("cannot use the machine's MAC address")?;
    Ok(GuestConfig::new(setup.directory, user, config.runtime_dir.join(PRIVATE))
        .hypervisor(config.hypervisor())
        .name(format!("{}-{}", setup.machine.header.name, config.instance_name()))
        .cpus(setup.cpus)
        .ram_kib(config.ram_kib)
        .mac(mac)
        .options(options)
        .vnc(VncAddress::new(setup.vnc, config.offset))
        .console_limit(CONSOLE_LIMIT))
}
