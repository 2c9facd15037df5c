//! Asks controllers for a task, one after the other, under the host lock (W21).
//!
//! One attempt for each URL and round, never a retry: a second request would take a second task
//! and leave the first unanswered. The request itself runs on a thread of its own, so that a
//! signal ends the wait.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use bbot_manifest::protocol::InteractiveMode;
use bbot_manifest::{
    MachineHeader, Manifest, ResultManifest, TaskManifest, TaskRequest, TaskResponse,
};

use crate::agent::Agent;
use crate::controller::client::ClientError;
use crate::controller::result_request::AGENT_CHECKSUM;
use crate::controller::verdict::{AcceptedTask, Answer, Terms, Verdict, salvage, verdict};
use crate::diag;
use crate::event_loop::Event;
use crate::observe::status::ContactOutcome;
use crate::outbox::Entry;
use crate::schedule::plan::PlannedRequest;

/// Tells the answers of one request from those of an earlier one.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// How long an aborted request may take to report that it was.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

/// What asking came to.
#[derive(Debug)]
pub(crate) enum Asked {
    /// This controller (an index) has a task.
    Task {
        /// The controller's index in the configuration.
        controller: usize,
        /// What it wants done.
        task: Box<AcceptedTask>,
    },
    /// Nobody has one.
    Nothing,
    /// Who failed has taken all the time: some have not been asked.
    Late,
    /// The agent is to stop.
    Stop,
}

/// Asks the controllers in order until one has a task for one of the machines that it is offered;
/// `header` gives the header of each machine.
pub(crate) fn ask(
    agent: &mut Agent,
    questions: &[PlannedRequest],
    header: impl Fn(usize) -> MachineHeader,
) -> anyhow::Result<Asked> {
    let round_end = Instant::now() + agent.config.timeouts.request;
    let mut somebody_failed = false;
    for &PlannedRequest { controller, ref machines } in questions {
        let url = agent.config.controllers[controller].url.clone();
        let start = Instant::now();
        // W40: SIGHUP, too, ends the asking; what is answered already is the task at hand.
        if agent.is_stopping() {
            break;
        }
        if start >= round_end {
            // Who failed rests now, so that it cannot take the next round's time as well.
            return Ok(if somebody_failed { Asked::Late } else { Asked::Nothing });
        }
        let request = request(agent, machines.iter().map(|&machine| header(machine)).collect());
        let response = match response(agent, &url, &request, round_end)? {
            None => return Ok(Asked::Stop),
            Some(Ok(response)) => response,
            Some(Err(error)) => {
                failed(agent, url, error, &request)?;
                somebody_failed = true;
                continue;
            }
        };
        match judge(agent, &url, response, &request) {
            Verdict::NoTask => {
                agent.url_rests.record_success(&url);
                agent.status.record_contact(&url, ContactOutcome::NoTask);
            }
            Verdict::Accept(task) => {
                agent.url_rests.record_success(&url);
                agent.status.record_contact(&url, ContactOutcome::Task);
                warn_of_elsewhere(agent, &url, &task);
                diag::phase("task", start.elapsed(), &[("session", &task.session)]);
                return Ok(Asked::Task { controller, task });
            }
            Verdict::Refuse(refusal) => {
                diag::error(format_args!("task from {url} refused: {}", refusal.reason));
                agent.status.record_contact(&url, ContactOutcome::TaskRefused(refusal.reason));
                rest(agent, url);
                if let Some(answer) = refusal.answer {
                    send_answer(agent, answer)?;
                }
                if agent.config.dump_task || agent.config.fake_request.is_some() {
                    return Ok(Asked::Stop);
                }
            }
        }
    }
    Ok(if agent.is_stopping() { Asked::Stop } else { Asked::Nothing })
}

/// Warns of a result that goes to another host than the controller's: once, until it is again
/// another one (W23).
fn warn_of_elsewhere(agent: &mut Agent, url: &str, task: &AcceptedTask) {
    let Some(host) = &task.foreign_result_host else { return };
    if agent.result_hosts.insert(url.to_owned(), host.clone()).as_ref() != Some(host) {
        diag::warn(format_args!("results of tasks from {url} go to {}", task.result_url));
    }
}

/// Says what went wrong, and answers for a task that came but cannot be read (W22).
fn failed(
    agent: &mut Agent,
    url: String,
    error: ClientError,
    request: &TaskRequest,
) -> anyhow::Result<()> {
    let answer = match &error {
        ClientError::Malformed { response, .. } | ClientError::TooLong { response } => {
            with_terms(agent, request, |terms| salvage(response, terms))
        }
        _ => None,
    };
    let error = anyhow::Error::new(error);
    diag::error(format_args!("unable to request task from {url}: {error:#}"));
    agent.status.record_contact(&url, ContactOutcome::Failed(format!("{error:#}")));
    rest(agent, url);
    answer.map_or(Ok(()), |answer| send_answer(agent, answer))
}

fn rest(agent: &mut Agent, url: String) {
    agent.url_rests.record_failure(url, Instant::now(), fastrand::f64());
}

fn request(agent: &Agent, machines: Vec<MachineHeader>) -> TaskRequest {
    let config = &agent.config;
    let interactive = config.interactive != InteractiveMode::False;
    let login = config
        .interactive_address
        .map(|address| std::net::SocketAddr::new(address, 5900 + config.offset).to_string());
    let toolchain = &config.toolchain;
    let mut request = TaskRequest::new(
        config.hostname.clone(),
        machines,
        toolchain.name.to_string(),
        toolchain.version.clone(),
    );
    request.interactive_mode = interactive.then_some(config.interactive);
    request.interactive_login = if interactive { login } else { None };
    // W37: who is not shown a key gives no challenge.
    request.fingerprint = agent.able_signer().map(|signer| signer.fingerprint().to_owned());
    request
}

/// What the controller answers; `None` if the agent is to stop meanwhile.
fn response(
    agent: &mut Agent,
    url: &str,
    request: &TaskRequest,
    deadline: Instant,
) -> anyhow::Result<Option<Result<TaskResponse, ClientError>>> {
    if let Some(file) = &agent.config.fake_request {
        return Ok(Some(Ok(fake_response(file)?)));
    }
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let (client, sender) = (Arc::clone(&agent.client), agent.events.sender());
    let (url, request) = (url.to_owned(), request.clone());
    thread::Builder::new().name("ask".into()).spawn(move || {
        let result = Box::new(client.request_task(&url, &request, deadline));
        // The loop may have stopped waiting.
        drop(sender.send(Event::Answer { request: number, result }));
    })?;
    // The client keeps the deadline itself; the margin is for its report.
    let mut wait_end = deadline + ABORT_LIMIT;
    let mut aborted = false;
    loop {
        match agent.next_event(wait_end) {
            // W40: what was answered in spite of the signal is still a task to answer for.
            Some(Event::Answer { request, result }) if request == number => {
                return Ok((!aborted || result.is_ok()).then_some(*result));
            }
            Some(Event::Signal) if agent.events.signals.terminated() && !aborted => {
                agent.client.abort();
                aborted = true;
                wait_end = Instant::now() + ABORT_LIMIT;
            }
            Some(_) => {}
            None if aborted => return Ok(None),
            // A name server that hangs, say: nobody waits for that thread any more.
            None => {
                agent.client.abort();
                return Ok(Some(Err(ClientError::Late)));
            }
        }
    }
}

/// The response that `--fake-request` stands for.
fn fake_response(file: &Path) -> anyhow::Result<TaskResponse> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read fake request {}", file.display()))?;
    let task = TaskManifest::parse(text.as_bytes(), &file.display().to_string())?;
    let mut response = TaskResponse::new("fake-session", task, "https://example.org");
    response.agent_checksum = Some(AGENT_CHECKSUM.into());
    response.task_text = Some(text);
    Ok(response)
}

fn judge(agent: &Agent, url: &str, response: TaskResponse, request: &TaskRequest) -> Verdict {
    with_terms(agent, request, |terms| verdict(response, url, terms))
}

/// What this agent takes in answer to `request`: a challenge is welcome if that showed a key.
fn with_terms<T>(agent: &Agent, request: &TaskRequest, act: impl FnOnce(&Terms<'_>) -> T) -> T {
    let offered: Vec<&str> = request.machines.iter().map(|m| m.name.as_str()).collect();
    let signer = agent.signer.as_ref().filter(|_| request.fingerprint.is_some());
    act(&Terms {
        challenge_max: signer.map(|signer| signer.challenge_max()),
        interactive: agent.config.interactive,
        machines: &offered,
    })
}

/// Tells who offered a task that it is not taken, so that it does not wait three hours for nothing
/// (W22).
fn send_answer(agent: &mut Agent, answer: Answer) -> anyhow::Result<()> {
    let Some(reports) = &agent.reports else { return Ok(()) };
    reports.outbox.store(&Entry {
        session: answer.session,
        result_url: answer.result_url,
        challenge: answer.challenge,
        fingerprint: agent.signer.as_ref().map(|signer| signer.fingerprint().to_owned()),
        artifacts: Vec::new(),
        result: ResultManifest::new(answer.name, answer.version, answer.status),
    })?;
    agent.hand_out_results();
    Ok(())
}
