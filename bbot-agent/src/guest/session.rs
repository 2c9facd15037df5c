//! One guest at work: its TFTP server, its network, its process; driven by [`run`](super::run).

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_manifest::MachineManifest;
use bbot_tftp::{Namespace, Server, ServerConfig, ServerHandle, WriteLimits};
use bbot_vm::{
    Accelerator, Guest, GuestConfig, GuestEvent, GuestExit, MacAddress, VmUser, VncAddress,
};

use super::console_log;
use super::disk_space::DiskSpace;
use super::network::GuestNetwork;
use super::run::{Action, End, Input, Job, Limits, Run};
use crate::config::Config;
use crate::diag;
use crate::event_loop::{Event, EventLoop};
use crate::fs::runtime_dir::{self, PRIVATE};
use crate::host::fault::OfHost;
use crate::machines::snapshot::WorkingSnapshot;

/// How long QEMU may take to exit after it was told to, before it is killed. It takes some 10 ms,
/// and its disk is thrown away (W40: a stop must not wait for a guest).
const FORCE_DOWN_LIMIT: Duration = Duration::from_millis(500);

/// How long a transfer whose data has all arrived may take to become durable after the guest's
/// exit.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// How many bytes of a guest's console are kept.
const CONSOLE_LIMIT: usize = 1 << 20;

/// What a guest is started with, apart from its disk.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) job: Job,
    pub(crate) limits: Limits,
    pub(crate) mac: MacAddress,
    pub(crate) cpus: u32,
    /// What executes its instructions, if that has been found out.
    pub(crate) accelerator: Option<Accelerator>,
    /// The address on which its screen is served.
    pub(crate) vnc: IpAddr,
    /// The folder from which it may read files.
    pub(crate) read: PathBuf,
    /// The folder into which it may write files.
    pub(crate) write: PathBuf,
}

/// The disk of one boot, and the manifest that came with it.
#[derive(Debug)]
pub(crate) struct Disk {
    pub(crate) snapshot: WorkingSnapshot,
    /// The manifest of the machine in it.
    pub(crate) machine: MachineManifest,
}

impl Disk {
    /// Deletes the snapshot, which has served its purpose; should it resist, the next start sweeps
    /// it.
    pub(crate) fn discard(self, keys: &[(&str, &str)]) {
        let start = Instant::now();
        match self.snapshot.delete() {
            Ok(()) => diag::phase("deleted", start.elapsed(), keys),
            Err(error) => diag::warn(format_args!("{:#}", anyhow::Error::new(error))),
        }
    }
}

/// A started guest and what it needs; ends by [`GuestSession::end`], or by force when dropped.
#[derive(Debug)]
pub(crate) struct GuestSession {
    pub(super) number: u64,
    job: Job,
    run: Run,
    pub(super) machine: String,
    /// The working snapshot.
    pub(super) directory: PathBuf,
    /// Where console logs are kept.
    state_dir: PathBuf,
    pub(super) guest: Guest,
    tftp: Option<ServerHandle>,
    network: GuestNetwork,
    started: Instant,
    first_request: Option<Instant>,
    space: DiskSpace,
    /// How the hypervisor ended, if it has, without what it wrote to standard error.
    exit: Option<GuestExit>,
}

impl GuestSession {
    /// Starts TFTP server, network and guest, which report to `events`.
    ///
    /// # Errors
    ///
    /// Whose trouble it is, [`fault::of`](crate::host::fault::of) decides.
    pub(crate) fn start(
        config: &Config,
        events: Sender<Event>,
        setup: &Setup,
        disk: &Disk,
    ) -> anyhow::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let machine = disk.machine.header.name.to_string();
        let keys: &[(&str, &str)] = &[("machine", &machine)];

        runtime_dir::create(&config.runtime_dir).context(OfHost::new("cannot start a guest"))?;
        let start = Instant::now();
        let tftp = start_tftp(config, setup, number, events.clone())?;
        diag::phase("tftp", start.elapsed(), keys);

        let start = Instant::now();
        let network = GuestNetwork::set_up(&config.network(), events.clone())?;
        diag::phase("network", start.elapsed(), keys);

        let start = Instant::now();
        let guest = Guest::start(
            &guest_config(config, setup, disk)?,
            network.attachment(),
            move |event| {
                // The loop is gone when the process is about to end; the guest is swept then.
                drop(events.send(Event::Guest { session: number, event }));
            },
        )?;
        let executed = guest.executed();
        diag::phase_at("qemu", executed.saturating_duration_since(start), executed, keys);

        Ok(Self {
            number,
            job: setup.job,
            run: Run::new(setup.job, setup.limits, executed),
            machine,
            directory: disk.snapshot.path().to_owned(),
            state_dir: config.state_dir.clone(),
            guest,
            tftp: Some(tftp),
            network,
            started: executed,
            first_request: None,
            space: DiskSpace::new(setup.write.clone(), config.upload_limit),
            exit: None,
        })
    }

    /// Waits until the job is done, one way or another.
    pub(crate) fn run(&mut self, events: &mut EventLoop) -> End {
        // The event of a signal that arrived since the interrupts were armed is in the channel, or
        // an earlier wait has taken it: so check the flags once.
        let mut action = self.handle_signal(events);
        loop {
            action = match action {
                Action::End(end) => return end,
                Action::PowerDown => {
                    if let Err(error) = self.guest.power_down() {
                        diag::warn(format_args!("cannot power down {}: {error}", self.machine));
                    }
                    self.wait(events)
                }
                Action::Drain => {
                    self.drain(&events.sender());
                    self.wait(events)
                }
                Action::Wait => self.wait(events),
            };
        }
    }

    fn wait(&mut self, events: &mut EventLoop) -> Action {
        match events.next(self.run.deadline()) {
            None => self.run.step(Input::Deadline, Instant::now()),
            Some(event) => self.handle(event, events),
        }
    }

    /// Lets the server finish, on a thread of its own: its events and signals are handled
    /// meanwhile.
    fn drain(&mut self, events: &Sender<Event>) {
        let Some(tftp) = self.tftp.take() else { return };
        let session = self.number;
        // The loop is gone when the process is about to end.
        let done = move |events: &Sender<Event>| drop(events.send(Event::Drained { session }));
        let sender = events.clone();
        let drain = move || {
            tftp.finish_uploads(DRAIN_LIMIT);
            done(&sender);
        };
        if let Err(error) = thread::Builder::new().name("drain".into()).spawn(drain) {
            diag::warn(format_args!("cannot wait for uploads: {error}"));
            // The server was stopped when the thread could not take it.
            done(events);
        }
    }

    fn handle(&mut self, event: Event, events: &EventLoop) -> Action {
        match event {
            Event::Signal => self.handle_signal(events),
            Event::HostChanged => self.restore_network(),
            Event::Tftp { session, event } if session == self.number => self.handle_tftp(&event),
            Event::Guest { session, event } if session == self.number => self.handle_guest(event),
            // It follows all events of the server: the result may have been among them.
            Event::Drained { session } if session == self.number => {
                self.run.step(Input::Drained, Instant::now())
            }
            // Events of an earlier session, and those that need no answer.
            _ => Action::Wait,
        }
    }

    /// W70: what was changed while the guest runs is put right at once, or the task is given back.
    fn restore_network(&mut self) -> Action {
        match self.network.restore(&self.machine) {
            Ok(()) => Action::Wait,
            Err(error) => {
                diag::error(format_args!("the network of {} is lost: {error:#}", self.machine));
                self.run.step(Input::NetworkLost, Instant::now())
            }
        }
    }

    fn handle_tftp(&mut self, event: &bbot_tftp::Event) -> Action {
        let now = Instant::now();
        if self.space.is_exhausted_by_upload(event) {
            return self.run.step(Input::DiskFull, now);
        }
        match event {
            bbot_tftp::Event::FirstRequest { .. } => {
                self.first_request = Some(now);
                diag::phase("first-request", now - self.started, &self.keys());
                self.run.step(Input::FirstRequest, now)
            }
            bbot_tftp::Event::Finished {
                direction: bbot_tftp::Direction::Put,
                file,
                bytes,
                ..
            } => {
                let action = self.run.step(Input::Stored { file, bytes: *bytes }, now);
                if action != Action::Wait {
                    let since = self.first_request.unwrap_or(self.started);
                    diag::phase(self.job.name(), now - since, &self.keys());
                }
                action
            }
            _ => Action::Wait,
        }
    }

    fn handle_guest(&mut self, event: GuestEvent) -> Action {
        let now = Instant::now();
        let GuestEvent::Exited(mut exit) = event else {
            return self.run.step(Input::Event(&event), now);
        };
        if !exit.stderr.is_empty() {
            diag::info(format_args!("{}: {}", self.machine, exit.stderr.trim_end()));
            exit.stderr.clear();
        }
        let (code, signal) = (exit.code, exit.signal);
        self.exit = Some(exit);
        self.run.step(Input::Exited { code, signal }, now)
    }

    fn handle_signal(&mut self, events: &EventLoop) -> Action {
        if events.signals().terminated() {
            self.run.step(Input::Terminate, Instant::now())
        } else if events.signals().take_interrupt() {
            self.run.step(Input::Interrupt, Instant::now())
        } else {
            Action::Wait
        }
    }

    fn keys(&self) -> [(&str, &str); 1] {
        [("machine", &self.machine)]
    }

    /// Reports what went wrong with a guest that is not held, and keeps its console log.
    pub(crate) fn report_failure(&self, what: &str) {
        let log = match self.keep_console() {
            Ok(log) => format!("console log kept in {}", log.display()),
            Err(error) => format!("cannot keep the console log: {error}"),
        };
        let exit = self.exit.as_ref().map(|exit| format!(" ({exit})")).unwrap_or_default();
        let (machine, mac) = (&self.machine, self.guest.mac());
        diag::error(format_args!("{what}{exit} on {machine}: mac {mac}, {log}"));
    }

    /// Copies the console log to where it stays, and returns that path.
    pub(super) fn keep_console(&self) -> io::Result<PathBuf> {
        console_log::keep(self.guest.console_path(), &self.state_dir, &self.machine)
    }

    /// Stops the TFTP server and the guest's processors.
    pub(super) fn suspend(&mut self) -> Result<(), bbot_vm::Error> {
        if let Some(tftp) = self.tftp.take() {
            tftp.stop();
        }
        self.network.stop_watching();
        self.guest.suspend()
    }

    /// Forces the guest down, calls `when_down`, and takes the network apart.
    ///
    /// `when_down` does not wait for the network, which only this instance uses.
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

fn start_tftp(
    config: &Config,
    setup: &Setup,
    session: u64,
    events: Sender<Event>,
) -> anyhow::Result<ServerHandle> {
    let (_, bridge) = bbot_vm::usable_bridge(&config.bridge)?;
    let address = SocketAddr::new(IpAddr::V4(bridge), config.network().tftp_port);
    let limits = WriteLimits::default().with_total_bytes(config.upload_limit);
    let namespace = Namespace::new().read(&setup.read).write(&setup.write).limits(limits);
    // The answers come from the port that was asked: the redirection and a guest's firewall let
    // them through without a helper.
    let server_config = ServerConfig::default().with_single_port(true);
    let server = Server::bind(address, namespace, server_config)
        .with_context(|| OfHost::new(format!("cannot serve TFTP at {address}")))?;
    let handle = server.spawn(move |event| {
        // The loop is gone when the process is about to end.
        drop(events.send(Event::Tftp { session, event }));
    })?;
    Ok(handle)
}

fn guest_config(config: &Config, setup: &Setup, disk: &Disk) -> anyhow::Result<GuestConfig> {
    let machine = &disk.machine;
    let options = machine.unquoted_options().context("cannot use the machine's options")?;
    let user = VmUser::resolve(config.vm_user.as_deref())?;
    Ok(GuestConfig::new(disk.snapshot.path(), user, config.runtime_dir.join(PRIVATE))
        .hypervisor(config.hypervisor())
        .name(format!("{}-{}", machine.header.name, config.instance_name()))
        .cpus(setup.cpus)
        .ram_kib(config.ram_kib)
        .mac(setup.mac)
        .options(options)
        .accelerator(setup.accelerator)
        .vnc(VncAddress::new(setup.vnc, config.offset))
        .console_limit(CONSOLE_LIMIT))
}
