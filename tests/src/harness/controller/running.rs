//! A controller, as the test that runs it uses it.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};

use super::exchange::{Exchange, Outcome};
use super::fault::{Fault, FaultInjection};
use super::http::{Handler, Server};
use super::message::Request;
use super::queue::{Package, Verdict};
use super::service::{ControllerConfig, Service};
use crate::harness::farm::Namespaces;
use crate::harness::limits::LIMIT;

/// A running controller; it ends when dropped.
#[derive(Debug)]
pub struct Controller {
    server: Server,
    service: Arc<Service>,
}

impl Controller {
    /// Starts a controller on a free port of the address `host` in these namespaces.
    ///
    /// # Errors
    /// If there is no such address.
    pub fn start(namespaces: &Namespaces, host: IpAddr, config: ControllerConfig) -> Result<Self> {
        let listener = namespaces
            .run(|| TcpListener::bind((host, 0)))?
            .with_context(|| format!("the controller cannot listen on {host}"))?;
        Self::on(listener, config)
    }

    /// Starts a controller on a listener.
    ///
    /// # Errors
    /// If a thread cannot be made.
    pub fn on(listener: TcpListener, config: ControllerConfig) -> Result<Self> {
        let address = listener.local_addr()?;
        let service = Arc::new(Service::new(address, config));
        let server = Server::start(listener, Arc::clone(&service) as Arc<dyn Handler>)
            .context("cannot start the controller")?;
        Ok(Controller { server, service })
    }

    /// The URL for the agent's command line.
    pub fn url(&self) -> String {
        format!("http://{}/?build-task", self.server.address())
    }

    /// The URL of its package repository.
    pub fn repository_url(&self) -> String {
        self.service.repository_url()
    }

    /// Adds a package to be built.
    pub fn add(&self, package: Package) {
        self.service.queue().add(package);
    }

    /// Has a package that is built already built again.
    pub fn rebuild(&self, name: &str) {
        self.service.queue().rebuild(name);
    }

    /// From now on fails to answer each request for which `rule` returns a fault.
    pub fn inject_faults(&self, rule: impl Fn(&Request) -> Option<Fault> + Send + 'static) {
        *self.service.faults() = FaultInjection::new(usize::MAX, rule);
    }

    /// Fails to answer the next `count` requests for which `rule` returns a fault.
    pub fn inject_some_faults(
        &self,
        count: usize,
        rule: impl Fn(&Request) -> Option<Fault> + Send + 'static,
    ) {
        *self.service.faults() = FaultInjection::new(count, rule);
    }

    /// From now on answers all requests again.
    pub fn stop_faults(&self) {
        *self.service.faults() = FaultInjection::default();
    }

    /// Whether all packages are built.
    pub fn is_done(&self) -> bool {
        self.service.queue().is_done()
    }

    /// How many packages are neither built nor assigned.
    pub fn unbuilt(&self) -> usize {
        self.service.queue().unbuilt()
    }

    /// All requests until now, in the order of their answers.
    pub fn exchanges(&self) -> Vec<Exchange> {
        self.service.log.all()
    }

    /// Waits until `find` returns something for the requests, `limit` at most.
    pub fn wait<T>(
        &self,
        limit: Duration,
        find: impl FnMut(&[Exchange]) -> Option<T>,
    ) -> Option<T> {
        self.service.log.wait(limit, find)
    }

    /// Waits for the first request.
    ///
    /// # Errors
    /// If it does not come within [`LIMIT`].
    pub fn wait_for_request(&self) -> Result<Exchange> {
        let first = |all: &[Exchange]| all.first().cloned();
        self.wait(LIMIT, first).context("no request came")
    }

    /// Waits for the `count`th post of a result, whatever the controller did with it.
    ///
    /// # Errors
    /// If it does not come within [`LIMIT`].
    pub fn wait_for_post(&self, count: usize) -> Result<Exchange> {
        let find = |all: &[Exchange]| {
            let mut results = all.iter().filter(|exchange| exchange.request.is_result());
            results.nth(count - 1).cloned()
        };
        self.wait(LIMIT, find).with_context(|| format!("no post {count} of a result"))
    }

    /// Waits for the `count`th verdict on a result, `limit` at most; returns the post, too.
    ///
    /// # Errors
    /// If it does not come.
    pub fn wait_for_verdict(&self, count: usize, limit: Duration) -> Result<(Verdict, Exchange)> {
        let verdict = |exchange: &Exchange| match &exchange.outcome {
            Outcome::Result { verdict, .. } => Some((verdict.clone(), exchange.clone())),
            _ => None,
        };
        let find = |all: &[Exchange]| all.iter().filter_map(verdict).nth(count - 1);
        self.wait(limit, find).with_context(|| format!("no result {count}"))
    }

    /// Waits until all packages are built, `limit` at most.
    ///
    /// # Errors
    /// If they are not.
    pub fn wait_until_done(&self, limit: Duration) -> Result<()> {
        let done = self.wait(limit, |_| self.is_done().then_some(()));
        done.context("not all packages are built")
    }

    /// How many tasks have been assigned until now.
    pub fn tasks(&self) -> usize {
        count_tasks(&self.exchanges())
    }

    /// Waits until `count` tasks have been assigned, `limit` at most.
    ///
    /// # Errors
    /// If fewer have been.
    pub fn wait_for_tasks(&self, count: usize, limit: Duration) -> Result<()> {
        let are_assigned = |all: &[Exchange]| (count_tasks(all) >= count).then_some(());
        self.wait(limit, are_assigned).with_context(|| format!("no {count} tasks were assigned"))
    }

    /// How many requests for a task there were until now.
    pub fn task_requests(&self) -> usize {
        self.exchanges().iter().filter(|exchange| exchange.request.is_task_request()).count()
    }
}

fn count_tasks(exchanges: &[Exchange]) -> usize {
    let is_task = |one: &&Exchange| matches!(one.outcome, Outcome::Task { .. });
    exchanges.iter().filter(is_task).count()
}
