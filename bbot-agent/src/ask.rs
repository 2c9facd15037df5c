//! Asks controllers for a task, one after the other, under the host lock (W21).
//!
//! One attempt for each URL and round, never a retry: a second request would take a second task
//! and leave the first unanswered. The request itself runs on a thread of its own, so that a
//! signal ends the wait.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bbot_manifest::protocol::InteractiveMode;
use bbot_manifest::{Manifest, ResultManifest, TaskManifest, TaskRequest, TaskResponse};

use crate::config::{Config, Controller};
use crate::controller::auth::{Key, Signer};
use crate::controller::client::{Client, ClientError};
use crate::controller::result_request::AGENT_CHECKSUM;
use crate::controller::verdict::{AcceptedTask, Answer, Refusal, Terms, Verdict, salvage, verdict};
use crate::diag;
use crate::event_loop::{Event, EventLoop};
use crate::machines::enumerate::Machine;
use crate::machines::offer::Offer;
use crate::observe::status::{ContactOutcome, Status};
use crate::outbox::Entry;
use crate::reports::Reports;
use crate::schedule::backoff::Backoff;
use crate::schedule::plan::PlannedRequest;
use crate::task::unstored::Unstored;

/// How long an aborted request may take to report that it was.
const ABORT_LIMIT: Duration = Duration::from_secs(1);

/// How asking ended.
#[derive(Debug)]
pub(crate) enum AskOutcome<'a> {
    Task {
        controller: &'a Controller,
        offer: Offer<'a>,
        task: Box<AcceptedTask>,
        /// The fingerprint of the key that its challenge was made for (W63).
        fingerprint: Option<String>,
    },
    NoTask,
    /// The round's time is over, as some controllers failed; others have not been asked.
    RoundExpired,
    /// There is no room for a task's record and answer (W48).
    NoRoom,
    Stop,
}

/// How controllers are reached, and what is known of them from one round to the next.
#[derive(Debug)]
pub(crate) struct Controllers {
    client: Arc<Client>,
    signer: Option<Arc<Signer>>,
    /// The key when it was last looked at.
    key: Option<Key>,
    /// The hosts that receive the results of a controller's tasks, by its URL, where they are not
    /// the controller's own (W23).
    foreign_result_hosts: HashMap<String, String>,
}

impl Controllers {
    /// Challenges are answered by `signer`, if `--auth-key` is given.
    pub(crate) fn new(client: Client, signer: Option<Arc<Signer>>) -> Self {
        let key = signer.as_deref().and_then(Signer::key);
        Self { client: Arc::new(client), signer, key, foreign_result_hosts: HashMap::new() }
    }

    /// Looks at the key again, and returns whether it is another one (W63).
    pub(crate) fn look_at_key(&mut self) -> bool {
        let key = self.signer.as_deref().and_then(Signer::key);
        let is_other = key != self.key;
        self.key = key;
        is_other
    }

    /// Warns of a result that goes to another host than the controller's: once, until it is again
    /// another one (W23).
    fn warn_of_foreign_host(&mut self, url: &str, task: &AcceptedTask) {
        let Some(host) = &task.foreign_result_host else { return };
        let known = self.foreign_result_hosts.insert(url.to_owned(), host.clone());
        if known.as_ref() != Some(host) {
            diag::warn(format_args!("results of tasks from {url} go to {}", task.result_url));
        }
    }
}

/// One round of asking.
#[derive(Debug)]
pub(crate) struct AskRound<'a> {
    pub(crate) config: &'a Config,
    pub(crate) controllers: &'a mut Controllers,
    pub(crate) events: &'a mut EventLoop,
    pub(crate) status: &'a mut Status,
    pub(crate) backoff: &'a mut Backoff<String>,
}

impl AskRound<'_> {
    /// Asks the controllers in order until one has a task for one of the machines that it is
    /// offered.
    pub(crate) fn ask<'q>(
        mut self,
        questions: &[PlannedRequest<&'q Controller, &'q Machine>],
    ) -> anyhow::Result<AskOutcome<'q>> {
        let round_end = Instant::now() + self.config.timeouts.request;
        let mut has_failure = false;
        for PlannedRequest { controller, machines } in questions {
            let url = controller.url.as_str();
            let start = Instant::now();
            // W40: SIGHUP, too, ends the asking; a task that has been given is the task at hand.
            if self.events.signals().is_stopping() {
                break;
            }
            if !self.has_room() {
                return Ok(AskOutcome::NoRoom);
            }
            if start >= round_end {
                // The controllers that failed are left alone now, so that they cannot take the next
                // round's time as well.
                let expired = AskOutcome::RoundExpired;
                return Ok(if has_failure { expired } else { AskOutcome::NoTask });
            }
            let offers = machines.iter().filter_map(|machine| Offer::of(machine));
            let named = |offer: Offer<'q>| (offer.header().name.as_str(), offer);
            let offers: Vec<_> = offers.map(named).collect();
            let (request, key) = self.request(&offers);
            let Some(response) = self.response(url, &request, round_end)? else {
                return Ok(AskOutcome::Stop);
            };
            let terms = self.terms(key.as_ref(), &offers);
            let fingerprint = key.as_ref().map(|key| key.fingerprint.clone());
            match response.map(|response| verdict(response, url, &terms)) {
                Ok(Verdict::NoTask) => self.succeeded(url, ContactOutcome::NoTask),
                Ok(Verdict::Accept(task, offer)) => {
                    self.succeeded(url, ContactOutcome::Task);
                    self.controllers.warn_of_foreign_host(url, &task);
                    diag::phase("task", start.elapsed(), &[("session", &task.session)]);
                    return Ok(AskOutcome::Task { controller, offer, task, fingerprint });
                }
                Ok(Verdict::Refuse(refusal)) => {
                    self.refuse(url, *refusal, fingerprint)?;
                    // W42: as the original agent; what was refused cannot be printed.
                    if self.config.dump_task {
                        return Ok(AskOutcome::Stop);
                    }
                    if let Some(file) = &self.config.fake_request {
                        bail!("fake request {} is refused", file.display());
                    }
                }
                Err(error) => {
                    self.failed(url, error, &terms, fingerprint)?;
                    has_failure = true;
                }
            }
        }
        let is_stopping = self.events.signals().is_stopping();
        Ok(if is_stopping { AskOutcome::Stop } else { AskOutcome::NoTask })
    }

    /// W48: returns whether the task that may be given finds room for its record and an answer.
    fn has_room(&self) -> bool {
        let made = self.events.reports.as_ref().map(|reports| reports.outbox.make_room());
        made.is_none_or(|made| made.is_ok())
    }

    fn succeeded(&mut self, url: &str, outcome: ContactOutcome) {
        self.backoff.record_success(&url.to_owned());
        self.status.record_contact(url, outcome);
    }

    /// Reports why a task is not taken, and answers it (W22).
    fn refuse(
        &mut self,
        url: &str,
        Refusal { reason, answer }: Refusal,
        fingerprint: Option<String>,
    ) -> anyhow::Result<()> {
        diag::error(format_args!("task from {url} refused: {reason}"));
        self.status.record_contact(url, ContactOutcome::TaskRefused(reason));
        self.back_off(url);
        answer.map_or(Ok(()), |answer| self.send_answer(answer, fingerprint))
    }

    /// Reports what went wrong, and answers a task that came but cannot be read (W22).
    fn failed<O>(
        &mut self,
        url: &str,
        error: ClientError,
        terms: &Terms<'_, O>,
        fingerprint: Option<String>,
    ) -> anyhow::Result<()> {
        let answer = match &error {
            ClientError::Malformed { response, .. } | ClientError::TooLong { response } => {
                salvage(response, terms)
            }
            _ => None,
        };
        let error = anyhow::Error::new(error);
        diag::error(format_args!("unable to request task from {url}: {error:#}"));
        self.status.record_contact(url, ContactOutcome::Failed(format!("{error:#}")));
        self.back_off(url);
        answer.map_or(Ok(()), |answer| self.send_answer(answer, fingerprint))
    }

    fn back_off(&mut self, url: &str) {
        self.backoff.record_failure(url.to_owned(), Instant::now(), fastrand::f64());
    }

    /// Returns a request, and the key that it shows.
    fn request(&mut self, offers: &[(&str, Offer<'_>)]) -> (TaskRequest, Option<Key>) {
        let config = self.config;
        let is_interactive = config.interactive != InteractiveMode::False;
        let login = |address| SocketAddr::new(address, 5900 + config.offset).to_string();
        // W37: a controller that is shown no key sends no challenge.
        let can_sign = !self.events.reports.as_ref().is_some_and(Reports::cannot_sign);
        self.controllers.look_at_key();
        let key = self.controllers.key.clone().filter(|_| can_sign);
        let mut request = TaskRequest::new(
            config.hostname.clone(),
            offers.iter().map(|(_, offer)| offer.header().clone()).collect(),
            config.toolchain.name.to_string(),
            config.toolchain.version.clone(),
        );
        request.interactive_mode = is_interactive.then_some(config.interactive);
        request.interactive_login =
            config.interactive_address.filter(|_| is_interactive).map(login);
        request.fingerprint = key.as_ref().map(|key| key.fingerprint.clone());
        (request, key)
    }

    /// Returns what this agent takes in answer to a request: a challenge is accepted if that showed
    /// a key.
    fn terms<'o, O>(&self, key: Option<&Key>, offers: &'o [(&'o str, O)]) -> Terms<'o, O> {
        Terms {
            challenge_max: key.map(|key| key.challenge_max),
            interactive: self.config.interactive,
            is_operators: self.config.fake_request.is_some(),
            offers,
        }
    }

    /// Returns the controller's answer; `None` if the agent is to stop meanwhile.
    fn response(
        &mut self,
        url: &str,
        request: &TaskRequest,
        deadline: Instant,
    ) -> anyhow::Result<Option<Result<TaskResponse, ClientError>>> {
        if let Some(file) = &self.config.fake_request {
            return Ok(Some(Ok(fake_response(file)?)));
        }
        let number = self.send(url, request, deadline)?;
        // The client keeps the deadline itself; the margin is for its report.
        let mut wait_end = deadline + ABORT_LIMIT;
        let mut is_aborted = false;
        loop {
            match self.events.next(wait_end) {
                // W40: a task that was given in spite of the signal must be answered.
                Some(Event::Answer { request, result }) if request == number => {
                    return Ok((!is_aborted || result.is_ok()).then_some(*result));
                }
                Some(Event::Signal) if self.events.signals().terminated() && !is_aborted => {
                    self.controllers.client.abort();
                    is_aborted = true;
                    wait_end = Instant::now() + ABORT_LIMIT;
                }
                Some(_) => {}
                None if is_aborted => return Ok(None),
                // Name resolution that hangs, for example: the thread is left to itself.
                None => {
                    self.controllers.client.abort();
                    return Ok(Some(Err(ClientError::Late)));
                }
            }
        }
    }

    /// Sends a request on a thread of its own, and returns the number that its answer will bear.
    fn send(&self, url: &str, request: &TaskRequest, deadline: Instant) -> anyhow::Result<u64> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (client, events) = (Arc::clone(&self.controllers.client), self.events.sender());
        let (url, request) = (url.to_owned(), request.clone());
        thread::Builder::new().name("ask".into()).spawn(move || {
            let result = Box::new(client.request_task(&url, &request, deadline));
            // The loop may have stopped waiting.
            drop(events.send(Event::Answer { request: number, result }));
        })?;
        Ok(number)
    }

    /// Tells the controller that its task is not taken, so that it does not wait three hours for
    /// the result in vain (W22).
    fn send_answer(&mut self, answer: Answer, fingerprint: Option<String>) -> anyhow::Result<()> {
        let Some(reports) = &self.events.reports else { return Ok(()) };
        let entry = Entry {
            session: answer.session,
            result_url: answer.result_url,
            challenge: answer.challenge,
            fingerprint,
            artifacts: Vec::new(),
            result: ResultManifest::new(answer.name, answer.version, answer.status),
        };
        if let Err(error) = reports.outbox.store(&entry) {
            return Err(Unstored::plain(entry, error).into());
        }
        self.events.post_due();
        Ok(())
    }
}

/// Returns the response that `--fake-request` stands for.
fn fake_response(file: &Path) -> anyhow::Result<TaskResponse> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("cannot read fake request {}", file.display()))?;
    let task = TaskManifest::parse(text.as_bytes(), &file.display().to_string())?;
    let mut response = TaskResponse::new("fake-session", task, "https://example.org");
    response.agent_checksum = Some(AGENT_CHECKSUM.into());
    response.task_text = Some(text);
    Ok(response)
}
