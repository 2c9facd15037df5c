//! From the command line to an instance that can work.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bbot_lock::{Acquired, InstanceLock};

use crate::agent::{Agent, Role};
use crate::ask::Controllers;
use crate::config::Config;
use crate::controller::auth::Signer;
use crate::controller::client::Client;
use crate::diag;
use crate::event_loop::{Event, EventChannel, EventLoop};
use crate::fs::runtime_dir;
use crate::fs::storage::REAL;
use crate::host::monitor::Monitor;
use crate::machines::view::HostView;
use crate::observe::status::{Identity, Status};
use crate::observe::systemd::ServiceManager;
use crate::outbox::Outbox;
use crate::reports::Reports;
use crate::reports::delivery::PosterContext;
use crate::reports::foreign_answers::ForeignAnswers;
use crate::reports::poster::Poster;
use crate::schedule::backoff::Backoff;

/// A started instance. The lock is dropped last: the next process that gets it finds nothing of
/// this one in use.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) agent: Agent,
    _lock: Option<InstanceLock>,
    _state_lock: Option<InstanceLock>,
}

/// Starts the instance: key, instance lock, directories, outbox.
pub(crate) fn start(config: Config, channel: EventChannel) -> anyhow::Result<Started> {
    let (openssl, options) = (config.openssl.clone(), config.openssl_options.clone());
    let signer = config.auth_key.clone().map(|key| Signer::new(openssl, options, key));
    let signer = signer.transpose()?.map(Arc::new);
    if config.systemd {
        let key = signer.as_ref().and_then(|signer| signer.key());
        let fingerprint = key.as_ref().map(|key| key.fingerprint.as_str());
        config.banner(fingerprint).into_iter().for_each(diag::info);
    }
    let lock = lock_instance(&config)?;
    let role = match lock {
        _ if config.is_fake() => Role::Fake,
        None => Role::Onlooker,
        Some(_) => Role::Instance,
    };
    let state_lock = if has_outbox(&config) { Some(lock_state(&config)?) } else { None };
    let manager = Arc::new(ServiceManager::from_env());
    let reports = open_reports(&config, signer.as_ref(), &channel)?;
    let agent = Agent {
        host: HostView::new(&config),
        status: Status::new(status_place(&config, role)?, Arc::clone(&manager)),
        role,
        events: EventLoop::new(channel, manager, reports),
        monitor: Monitor::new(&config, Instant::now()),
        machine_backoff: Backoff::new(),
        controller_backoff: Backoff::new(),
        controllers: Controllers::new(Client::new(&config.timeouts), signer),
        unstored: Vec::new(),
        config,
    };
    Ok(Started { agent, _lock: lock, _state_lock: state_lock })
}

/// Where the status of the instance is shown; nowhere if this process is not the instance.
fn status_place(config: &Config, role: Role) -> anyhow::Result<Option<(PathBuf, Identity)>> {
    if role != Role::Instance {
        return Ok(None);
    }
    runtime_dir::create(&config.runtime_dir)?;
    let identity = Identity {
        instance: config.instance_name(),
        state_dir: config.state_dir.clone(),
        lock: config.instance_lock.clone(),
    };
    Ok(Some((config.runtime_dir.clone(), identity)))
}

/// W2: one process for each toolchain name and instance number, whatever it fakes (W46). `None` if
/// no lock is needed: to print the machines beside the process that has it (W47), and to fake what
/// needs no rights, where no such process can be, because the file of the lock cannot even be
/// created.
fn lock_instance(config: &Config) -> anyhow::Result<Option<InstanceLock>> {
    let path = &config.instance_lock;
    let acquire = || {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot create {}", parent.display()))?;
        }
        Ok(InstanceLock::try_acquire(path)?)
    };
    match acquire() {
        Ok(Acquired::Lock(lock)) => Ok(Some(lock)),
        Ok(Acquired::Busy(_)) if config.dump_machines => Ok(None),
        Err(_) if config.is_fake() && matches!(path.try_exists(), Ok(false)) => Ok(None),
        Err(error) => Err(error),
        Ok(Acquired::Busy(_)) => bail!(
            "instance {} of toolchain {} is already running: {} is locked",
            config.instance,
            config.toolchain.name,
            path.display()
        ),
    }
}

/// W46: two processes with one outbox would lose results, also if their instance locks are not the
/// same file. The lock is on the folder itself.
fn lock_state(config: &Config) -> anyhow::Result<InstanceLock> {
    let path = &config.state_dir;
    REAL.create_folders(path)?;
    match InstanceLock::try_acquire(path)? {
        Acquired::Lock(lock) => Ok(lock),
        Acquired::Busy(_) => {
            bail!("state directory {} is used by another process", path.display())
        }
    }
}

/// Returns whether results are posted: not for a fake request, nor for a list of machines.
fn has_outbox(config: &Config) -> bool {
    config.fake_request.is_none() && !config.dump_machines
}

/// Opens the outbox, unless nothing will be posted: for a fake request, or a list of machines.
fn open_reports(
    config: &Config,
    signer: Option<&Arc<Signer>>,
    channel: &EventChannel,
) -> anyhow::Result<Option<Reports>> {
    if !has_outbox(config) {
        return Ok(None);
    }
    let outbox = Arc::new(Outbox::new(&config.state_dir));
    let foreign_answers = ForeignAnswers::open(&config.state_dir);
    // Without the entries nothing is known to be obsolete; they are there when W48 is met.
    if let Ok(entries) = outbox.make_ready().and_then(|()| outbox.entries()) {
        foreign_answers.retain(&entries);
    }
    let context = PosterContext {
        outbox: Arc::clone(&outbox),
        // Its own: to abort the request for a task breaks no post.
        client: Arc::new(Client::new(&config.timeouts)),
        signer: signer.cloned(),
        limit: config.timeouts.request,
        lifetime: Duration::from_secs(u64::from(config.outbox_days) * 24 * 3600),
        foreign_answers: Arc::new(foreign_answers),
    };
    let events = channel.sender();
    // The loop is gone when the process is about to end.
    let report = move |posted| drop(events.send(Event::Posted(posted)));
    let poster = Poster::start(context, report).context("cannot start a thread")?;
    Ok(Some(Reports::new(outbox, poster, config.outbox_limit)))
}
