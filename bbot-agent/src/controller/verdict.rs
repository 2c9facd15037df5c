//! Whether a task is accepted (W22, W23). Pure.

use std::collections::BTreeMap;

use bbot_manifest::protocol::InteractiveMode;
use bbot_manifest::{
    Event, PackageName, PackageVersion, Parser, ResultStatus, TaskManifest, TaskResponse,
};
use ureq::http::Uri;

use crate::diag::quoted;

/// The tasks that this agent accepts; `O` identifies an offered machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a, O> {
    /// The most bytes of a challenge that it can sign; `None` if it cannot sign.
    pub(crate) challenge_max: Option<usize>,
    pub(crate) interactive: InteractiveMode,
    /// Whether the task is the operator's own (`--fake-request`): its repository may be local, and
    /// it may be interactive or not (W42).
    pub(crate) is_operators: bool,
    /// The machines that it has offered, with their names.
    pub(crate) offers: &'a [(&'a str, O)],
}

/// How a response is judged.
#[derive(Debug)]
pub(crate) enum Verdict<O> {
    /// The controller has no task.
    NoTask,
    /// The task is accepted, for the machine of this offer.
    Accept(Box<AcceptedTask>, O),
    Refuse(Box<Refusal>),
}

/// A task that is accepted.
#[derive(Debug)]
pub(crate) struct AcceptedTask {
    /// The session that the result refers to.
    pub(crate) session: String,
    /// The challenge to sign.
    pub(crate) challenge: Option<String>,
    /// The URL to post the result to; http or https.
    pub(crate) result_url: String,
    /// The host of that URL, if it is not the controller's (W23: used, with a warning).
    pub(crate) foreign_result_host: Option<String>,
    /// The URLs to post artifacts to, by their type (W33).
    pub(crate) upload_urls: BTreeMap<String, String>,
    /// The agent checksum of the last result.
    pub(crate) agent_checksum: Option<String>,
    pub(crate) task: TaskManifest,
    /// The task as the controller wrote it.
    pub(crate) task_text: String,
}

/// Why a task is not accepted.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// For the log.
    pub(crate) reason: String,
    /// The answer to the controller, if one is possible.
    pub(crate) answer: Option<Answer>,
}

/// The answer to a task that is not accepted, so that the controller does not wait for a result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The session of the task.
    pub(crate) session: String,
    /// The URL to post it to; http or https.
    pub(crate) result_url: String,
    /// The challenge to sign.
    pub(crate) challenge: Option<String>,
    pub(crate) name: PackageName,
    pub(crate) version: PackageVersion,
    /// `interrupt` if another agent may perform the task, `abort` if none can.
    pub(crate) status: ResultStatus,
}

/// Judges the response of the controller `url`.
pub(crate) fn verdict<O: Copy>(
    response: TaskResponse,
    url: &str,
    terms: &Terms<'_, O>,
) -> Verdict<O> {
    if response.session.is_empty() {
        return Verdict::NoTask;
    }
    let refuse = |reason, answer| Verdict::Refuse(Box::new(Refusal { reason, answer }));
    if let Some(reason) =
        response.challenge.as_deref().and_then(|c| unanswerable(c, terms.challenge_max))
    {
        return refuse(reason, None);
    }
    let (Some(task), Some(task_text)) = (response.task, response.task_text) else {
        return refuse("there is a session but no task".to_owned(), None);
    };
    let Some(result_url) = response.result_url else {
        return refuse("there is a session but no result-url".to_owned(), None);
    };
    let Some(result_host) = host(&result_url) else {
        return refuse(format!("result-url {} is not an http URL", quoted(&result_url)), None);
    };
    let offer = match offer(&task, terms) {
        Ok(offer) => offer,
        Err((reason, status)) => {
            let answer = Answer {
                session: response.session,
                result_url,
                challenge: response.challenge,
                name: task.name,
                version: task.version,
                status,
            };
            return refuse(reason, Some(answer));
        }
    };
    let task = AcceptedTask {
        session: response.session,
        challenge: response.challenge,
        foreign_result_host: Some(result_host)
            .filter(|host_name| host(url).as_ref() != Some(host_name)),
        result_url,
        upload_urls: response.upload_urls,
        agent_checksum: response.agent_checksum,
        task,
        task_text,
    };
    Verdict::Accept(Box::new(task), offer)
}

/// Returns the offer that the task uses; or why it is not for this agent, and the status of the
/// answer.
fn offer<O: Copy>(task: &TaskManifest, terms: &Terms<'_, O>) -> Result<O, (String, ResultStatus)> {
    if task.repository.is_local() && !terms.is_operators {
        let location = quoted(&task.repository.to_string());
        return Err((format!("local repository {location}"), ResultStatus::Abort));
    }
    match (&task.interactive, terms.interactive) {
        _ if terms.is_operators => {}
        (Some(breakpoint), InteractiveMode::False) => {
            let reason = format!("interactive task (breakpoint {})", quoted(breakpoint));
            return Err((reason, ResultStatus::Interrupt));
        }
        (None, InteractiveMode::True) => {
            return Err(("non-interactive task".to_owned(), ResultStatus::Interrupt));
        }
        _ => {}
    }
    let machine = task.machine.as_str();
    let offer = terms.offers.iter().find(|(name, _)| *name == machine);
    offer.map(|(_, offer)| *offer).ok_or_else(|| {
        (format!("machine {} was not offered", quoted(machine)), ResultStatus::Interrupt)
    })
}

/// Returns why a challenge cannot be answered. A controller rejects a result without the answer,
/// and a failure when it is to be signed would be taken for a broken key (W37).
fn unanswerable(challenge: &str, max: Option<usize>) -> Option<String> {
    match max {
        None => Some(format!("unexpected challenge {}", quoted(challenge))),
        Some(_) if challenge.is_empty() => Some("empty challenge".to_owned()),
        Some(max) if challenge.len() > max => {
            Some(format!("challenge of {} bytes, the key signs {max}", challenge.len()))
        }
        Some(_) => None,
    }
}

/// Returns the host of an http URL, in lower case.
fn host(url: &str) -> Option<String> {
    let url: Uri = url.parse().ok()?;
    let host = url.host().filter(|host| !host.is_empty())?;
    matches!(url.scheme_str(), Some("http" | "https")).then(|| host.to_ascii_lowercase())
}

/// Finds the values in a malformed response that are needed to answer `abort`.
///
/// Pairs are used up to the first syntax error, if their lines are complete.
pub(crate) fn salvage<O>(response: &[u8], terms: &Terms<'_, O>) -> Option<Answer> {
    let end = response.iter().rposition(|byte| *byte == b'\n')?;
    let response = &response[..=end];
    let [mut session, mut result_url, mut challenge, mut name, mut version] = [const { None }; 5];
    let mut manifest = 0;
    for event in Parser::new(response).map_while(Result::ok) {
        match event {
            Event::Start { .. } => manifest += 1,
            Event::Pair(pair) => {
                let field = match (manifest, pair.name) {
                    (1, "session") => &mut session,
                    (1, "result-url") => &mut result_url,
                    (1, "challenge") => &mut challenge,
                    (2, "name") => &mut name,
                    (2, "version") => &mut version,
                    _ => continue,
                };
                field.get_or_insert_with(|| pair.value.into_owned());
            }
            _ => {}
        }
    }
    let unanswerable = |challenge| unanswerable(challenge, terms.challenge_max).is_some();
    if challenge.as_deref().is_some_and(unanswerable) {
        return None;
    }
    Some(Answer {
        session: session.filter(|session| !session.is_empty())?,
        result_url: result_url.filter(|url| host(url).is_some())?,
        challenge,
        name: name?.parse().ok()?,
        version: version?.parse().ok()?,
        status: ResultStatus::Abort,
    })
}

#[cfg(test)]
mod tests {
    use bbot_manifest::Manifest;

    use super::*;

    const URL: &str = "https://ci.example.org/?build-task";
    const HEAD: &str = ": 1\nsession: a/b\nresult-url: https://ci.example.org/?build-result\n";
    const TASK: &str = ":\nname: foo\nversion: 1.2.3\n\
                        repository-url: https://pkg.example.org/1\nrepository-type: pkg\n\
                        machine: linux\ntarget: x86_64-linux-gnu\n";

    const TERMS: Terms<'_, u8> = Terms {
        challenge_max: None,
        interactive: InteractiveMode::False,
        is_operators: false,
        offers: &[("bsd", 1), ("linux", 2)],
    };

    fn judge(text: &str, terms: &Terms<'_, u8>) -> Verdict<u8> {
        verdict(TaskResponse::parse(text.as_bytes(), "response").unwrap(), URL, terms)
    }

    #[track_caller]
    fn check_refused(
        text: &str,
        terms: &Terms<'_, u8>,
        reason: &str,
        status: Option<ResultStatus>,
    ) {
        let Verdict::Refuse(refusal) = judge(text, terms) else { panic!("not refused: {text}") };
        assert_eq!(refusal.reason, reason);
        assert_eq!(refusal.answer.as_ref().map(|answer| answer.status), status);
        if let Some(answer) = refusal.answer {
            assert_eq!(answer.session, "a/b");
            assert_eq!(answer.result_url, "https://ci.example.org/?build-result");
            assert_eq!((answer.name.to_string(), answer.version.to_string()), package());
        }
    }

    fn package() -> (String, String) {
        ("foo".to_owned(), "1.2.3".to_owned())
    }

    #[test]
    fn empty_session_is_no_task() {
        assert!(matches!(judge(": 1\nsession:\n", &TERMS), Verdict::NoTask));
    }

    #[test]
    fn a_fitting_task_is_accepted_unchanged() {
        let head = format!("{HEAD}agent-checksum: 2\n");
        let task = format!("{TASK}worker-checksum: 1\nfuture-value: x\n");
        let Verdict::Accept(accepted, 2) = judge(&format!("{head}{task}"), &TERMS) else {
            panic!("not accepted")
        };
        assert_eq!(accepted.session, "a/b");
        assert_eq!(accepted.challenge, None);
        assert_eq!(accepted.agent_checksum.as_deref(), Some("2"));
        assert_eq!(accepted.task.machine.as_str(), "linux");
        assert_eq!(accepted.task_text, task);
        assert_eq!(accepted.foreign_result_host, None);
    }

    /// W22: nothing is sent for a challenge that was not requested.
    #[test]
    fn challenge_without_a_key_is_refused() {
        let text = format!("{HEAD}challenge: c\n{TASK}");
        check_refused(&text, &TERMS, "unexpected challenge 'c'", None);
        let can_sign = Terms { challenge_max: Some(245), ..TERMS };
        let Verdict::Accept(task, _) = judge(&text, &can_sign) else { panic!("not accepted") };
        assert_eq!(task.challenge.as_deref(), Some("c"));
    }

    /// W22, W37: a challenge that the key cannot sign is refused at once, and does not count as a
    /// failure of the key.
    #[test]
    fn a_challenge_that_is_too_long_is_refused() {
        let terms = Terms { challenge_max: Some(245), ..TERMS };
        let text = |length| format!("{HEAD}challenge: {}\n{TASK}", "c".repeat(length));
        let reason = "challenge of 246 bytes, the key signs 245";
        check_refused(&text(246), &terms, reason, None);
        assert!(matches!(judge(&text(245), &terms), Verdict::Accept(..)));
        let broken = |length| text(length).replace("machine: linux\n", "");
        assert_eq!(salvage(broken(246).as_bytes(), &terms), None);
        assert!(salvage(broken(245).as_bytes(), &terms).is_some());
        assert_eq!(salvage(broken(0).as_bytes(), &terms), None, "empty");
    }

    /// W22
    #[test]
    fn a_local_repository_is_refused() {
        let task = TASK.replace("https://pkg.example.org/1", "/var/pkg/1");
        let reason = "local repository '/var/pkg/1'";
        check_refused(&format!("{HEAD}{task}"), &TERMS, reason, Some(ResultStatus::Abort));
    }

    /// W22: the requested mode decides; `both` accepts every task.
    #[test]
    fn interactivity_must_fit() {
        let plain = format!("{HEAD}{TASK}");
        let interactive = format!("{HEAD}{TASK}interactive: error\n");
        let terms = |interactive| Terms { interactive, ..TERMS };
        let interrupt = Some(ResultStatus::Interrupt);
        let reason = "interactive task (breakpoint 'error')";
        check_refused(&interactive, &terms(InteractiveMode::False), reason, interrupt);
        check_refused(&plain, &terms(InteractiveMode::True), "non-interactive task", interrupt);
        for (text, mode) in [
            (&plain, InteractiveMode::False),
            (&interactive, InteractiveMode::True),
            (&plain, InteractiveMode::Both),
            (&interactive, InteractiveMode::Both),
        ] {
            assert!(matches!(judge(text, &terms(mode)), Verdict::Accept(..)), "{mode}");
        }
    }

    /// W22
    #[test]
    fn a_machine_that_was_not_offered_is_refused() {
        let operators = Terms { is_operators: true, offers: &[], ..TERMS };
        let reason = "machine 'linux' was not offered";
        check_refused(&format!("{HEAD}{TASK}"), &operators, reason, Some(ResultStatus::Interrupt));
        let terms = Terms { offers: &[("bsd", 1), ("linux-2", 2)], ..TERMS };
        let reason = "machine 'linux' was not offered";
        check_refused(&format!("{HEAD}{TASK}"), &terms, reason, Some(ResultStatus::Interrupt));
    }

    /// W23
    #[test]
    fn result_url_must_be_http() {
        let text = |url: &str| format!(": 1\nsession: a/b\nresult-url: {url}\n{TASK}");
        for url in ["ftp://ci.example.org/", "ci.example.org", "file:///etc/passwd", "http:///x"] {
            // The manifest's own parser may refuse some of them.
            let Ok(response) = TaskResponse::parse(text(url).as_bytes(), "r") else { continue };
            let Verdict::Refuse(refusal) = verdict(response, URL, &TERMS) else { panic!("{url}") };
            assert_eq!(refusal.reason, format!("result-url '{url}' is not an http URL"));
            assert_eq!(refusal.answer, None);
        }
        for (url, foreign) in [
            ("http://ci.example.org:8080/", None),
            ("https://CI.example.org/", None),
            ("https://Example.org/", Some("example.org")),
        ] {
            let Verdict::Accept(task, _) = judge(&text(url), &TERMS) else { panic!("{url}") };
            assert_eq!(task.foreign_result_host.as_deref(), foreign, "{url}");
        }
    }

    /// W22: `abort` for a malformed task whose name and version parse.
    #[test]
    fn a_malformed_task_is_answered_if_it_can_be() {
        let broken = TASK.replace("machine: linux\n", "");
        let answer = salvage(format!("{HEAD}{broken}").as_bytes(), &TERMS).unwrap();
        assert_eq!(answer.status, ResultStatus::Abort);
        assert_eq!(answer.session, "a/b");
        assert_eq!((answer.name.to_string(), answer.version.to_string()), package());
        let cut = b"\xff\n";
        assert!(salvage(&[HEAD.as_bytes(), TASK.as_bytes(), cut].concat(), &TERMS).is_some());

        for text in [
            format!("{HEAD}challenge: c\n{broken}"),
            format!("{HEAD}{}", broken.replace("name: foo\n", "")),
            format!("{HEAD}{}", broken.replace("1.2.3", "1 2")),
            broken.replacen(':', ": 1", 1),
            format!("{}{broken}", HEAD.replace("https:", "ftp:")),
            format!("{}{broken}", HEAD.replace("a/b", "")),
            HEAD.to_owned(),
            String::new(),
        ] {
            assert_eq!(salvage(text.as_bytes(), &TERMS), None, "{text}");
        }
        let challenged = format!("{HEAD}challenge: c\n{broken}");
        let terms = Terms { challenge_max: Some(245), ..TERMS };
        let answer = salvage(challenged.as_bytes(), &terms).unwrap();
        assert_eq!(answer.challenge.as_deref(), Some("c"));
    }

    /// W22: of a truncated response only complete lines are used.
    #[test]
    fn half_a_line_is_not_salvaged() {
        let text = format!("{HEAD}{TASK}");
        let version = text.find("1.2.3").unwrap() + "1.2.3".len();
        assert_eq!(salvage(&text.as_bytes()[..version], &TERMS), None);
        assert!(salvage(&text.as_bytes()[..=version], &TERMS).is_some());
    }
}
