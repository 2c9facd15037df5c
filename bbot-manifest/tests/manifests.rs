//! The typed manifests: parsed and written.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use bbot_manifest::protocol::{
    AuxiliaryMachine, BootstrapManifest, InteractiveMode, MachineRole, MachineType, TaskEdit,
    TestKind, ToolchainManifest,
};
use bbot_manifest::{
    BootstrappedMachine, ErrorKind, Limits, Lines, MachineHeader, MachineManifest, Manifest,
    ResultManifest, ResultRequest, ResultStatus, TaskManifest, TaskRequest, TaskResponse,
};

#[track_caller]
fn round_trip<M: Manifest>(text: &str) -> M {
    let manifest = M::parse(text.as_bytes(), "test").unwrap();
    assert_eq!(manifest.to_text(Lines::Wrapped).unwrap(), text);
    manifest
}

#[track_caller]
fn check_error<M: Manifest>(text: &str, expected: &str) {
    let error = M::parse(text.as_bytes(), "test").err().expect("an error");
    assert_eq!(error.to_string(), expected);
}

const MACHINE: &str = ": 1\nid: 1\nname: linux-gcc\nsummary: Debian 12\nrole: auxiliary\n\
    ram-minimum: 1024\nram-maximum: 4096\ntype: kvm\nmac: 02:16:3e:00:00:01\n\
    options: -device \"virtio-net-pci,netdev=net0\" '-cpu' host\nchanges: a\nchanges: b\n";

#[test]
fn a_machine_has_all_its_values() {
    let machine: MachineManifest = round_trip(MACHINE);
    assert_eq!(machine.kind, MachineType::Kvm);
    assert_eq!(machine.header.effective_role(), MachineRole::Auxiliary);
    let words = machine.unquoted_options().unwrap().unwrap();
    assert_eq!(words, ["-device", "virtio-net-pci,netdev=net0", "-cpu", "host"]);
    assert_eq!(machine.changes, ["a", "b"]);
}

/// D8: a machine has no other values.
#[test]
fn invalid_machines_are_refused() {
    type M = MachineManifest;
    let machine = |rest: &str| format!(": 1\nid: 1\nname: a\nsummary: b\ntype: kvm\n{rest}");
    check_error::<M>(&machine("x: y\n"), "test:6:1: error: unknown name 'x' in machine manifest");
    check_error::<M>(&machine("type: kvm\n"), "test:6:1: error: type redefinition");
    check_error::<M>(&machine("options:\n"), "test:6:9: error: empty options");
    check_error::<M>(
        &machine("options: a 'b\n"),
        "test:6:10: error: invalid options: unterminated quoted string",
    );
    check_error::<M>(": 1\nname: a\n", "test:3:1: error: no id specified");
    check_error::<M>(
        ": 1\nid: 1\nname: a/b\n",
        "test:3:7: error: invalid name: '/' in machine name",
    );
    check_error::<M>("", "test:1:1: error: start of manifest expected");
    check_error::<MachineHeader>(
        ": 1\nid: 1\nname: a\nsummary: b\n:\n",
        "test:5:1: error: single manifest expected",
    );
}

/// D3.
#[test]
fn a_bootstrapped_machine_may_follow_an_empty_manifest() {
    let rest = "\nname: a\nsummary: b\ntype: kvm\nmac: 02:16:3e:00:00:01\n:\nid: gcc\n:\n\
        bbot-version: 0.16.0\nlibbutl-version: 0.16.0-a.0.20230401.ab\n\
        bbot-agent-version: 0.16.0\n";
    let text = format!(": 1\nid: 1{rest}");
    let machine: BootstrappedMachine = round_trip(&text);
    assert_eq!(machine.toolchain, ToolchainManifest::new("gcc"));
    assert_eq!(machine.bootstrap.versions.len(), 2);
    assert_eq!(machine.bootstrap.agent_version, Some("0.16.0".parse().unwrap()));
    let with_head = format!(": 1\n:\nid: 1{rest}");
    assert_eq!(BootstrappedMachine::parse(with_head.as_bytes(), "test").unwrap(), machine);
}

#[test]
fn a_bootstrapped_machine_has_a_mac() {
    let text = ": 1\nid: 1\nname: a\nsummary: b\ntype: kvm\n:\nid: gcc\n:\nbbot-version: 0.16.0\n";
    check_error::<BootstrappedMachine>(text, "test:6:1: error: no mac specified");
}

#[test]
fn a_newer_worker_may_report_more() {
    let text = ": 1\nbbot-version: 0.17.0\nplatform: arm\n";
    let bootstrap = BootstrapManifest::parse(text.as_bytes(), "test").unwrap();
    assert_eq!(bootstrap.versions["bbot"], "0.17.0".parse().unwrap());
}

#[test]
fn a_task_request_lists_machines() {
    let request: TaskRequest = round_trip(
        ": 1\nagent: host\ntoolchain-name: public\ntoolchain-version: 0.16.0\n\
         interactive-mode: both\ninteractive-login: 10.0.0.1:5900\nfingerprint: ab\n\
         auxiliary-ram: 1048576\n:\nid: 1\nname: a\nsummary: b\n:\nid: 2\nname: c\nsummary: d\n",
    );
    assert_eq!(request.effective_interactive_mode(), InteractiveMode::Both);
    assert_eq!(request.machines.len(), 2);
    let head = ": 1\nagent: host\ntoolchain-name: public\ntoolchain-version: 0.16.0\n";
    check_error::<TaskRequest>(head, "test:5:1: error: start of manifest expected");
    check_error::<TaskRequest>(
        &format!("{head}interactive-mode: true\n"),
        "test:6:1: error: no interactive-login specified",
    );
}

const TASK: &str = "name: libhello\nversion: 1.2.3+4\n\
    repository-url: https://git.example.org/hello.git#master\nrepository-type: git\n\
    trust: yes\nrequires: * linux | macos; comment\n\
    tests: * libhello-tests == 1.2.3 ? ($x == 'y') config.t=1\nexamples: libhello-examples\n\
    dependency-checksum: d\nmachine: linux-gcc\nauxiliary-machine: postgres\n\
    b-auxiliary-machine: mysql\ntarget: x86_64-linux-gnu\nenvironment: clean\n\
    auxiliary-environment: X=1\ntarget-config: 'a b' c\npackage-config: x\nhost: true\n\
    warning-regex: ^warning\ninteractive: error\nworker-checksum: w\nnew-value: kept\n";

/// D8: a task keeps values that are not known.
#[test]
fn a_task_has_all_its_values() {
    let task: TaskManifest = round_trip(&format!(": 1\n{TASK}"));
    assert_eq!(task.repository.canonical_name(), "git:example.org/hello#master");
    assert_eq!(task.tests[0].kind, TestKind::Tests);
    assert_eq!(task.tests[0].dependency.reflect.as_deref(), Some("config.t=1"));
    assert!(task.requires[0].alternatives().eq(["linux", "macos"]));
    assert_eq!(task.requires[0].comment(), "comment");
    let mut mysql = AuxiliaryMachine::new("mysql".parse().unwrap());
    mysql.environment = "b".to_owned();
    assert_eq!(task.auxiliary_machines[1], mysql);
    assert_eq!(task.unquoted_target_config().unwrap().unwrap(), ["a b", "c"]);
    assert_eq!(task.unknown, [("new-value".to_owned(), "kept".to_owned())]);
}

#[test]
fn an_invalid_task_is_refused_with_the_position() {
    let task = |from: &str, to: &str| format!(": 1\n{}", TASK.replacen(from, to, 1));
    check_error::<TaskManifest>(
        &task("trust: yes", "trust: no"),
        "test:6:8: error: invalid trust: SHA256 fingerprint expected",
    );
    check_error::<TaskManifest>(
        &task("https://git.example.org/hello.git#master", "hello"),
        "test:4:17: error: invalid repository-url: relative filesystem path",
    );
    check_error::<TaskManifest>(
        &task("host: true", "host: 1"),
        "test:19:7: error: invalid host: true or false expected",
    );
}

#[test]
fn a_response_keeps_the_text_of_its_task() {
    let task = format!(":\n# odd\n{}x:   as it is\n", TASK.replace("host: true", "host:   true"));
    let text = format!(
        ": 1\nsession: a/b\nchallenge: c\nresult-url: https://x/?r\n\
         bindist-upload-url: https://x/?u\n\
         agent-checksum: 2\nfuture: value\n{task}"
    );
    let response = TaskResponse::parse(text.as_bytes(), "test").unwrap();
    assert_eq!(response.task_text.as_deref(), Some(task.as_str()));
    assert_eq!(response.upload_urls["bindist"], "https://x/?u");
    assert_eq!(response.task.unwrap().host, Some(true));
}

#[test]
fn a_response_may_have_no_task() {
    let response: TaskResponse = round_trip(": 1\nsession:\n");
    assert_eq!(response, TaskResponse::default());
    check_error::<TaskResponse>(
        ": 1\nsession:\nresult-url: x\n",
        "test:4:1: error: values of a task without session",
    );
    check_error::<TaskResponse>(
        ": 1\nsession: a\nresult-url: x\n",
        "test:4:1: error: start of manifest expected",
    );
    check_error::<TaskResponse>(": 1\nsession: a\n", "test:3:1: error: no result-url specified");
}

/// D2, D7.
#[test]
fn a_result_has_statuses_before_logs() {
    let result: ResultManifest = round_trip(
        ": 1\nname: libhello\nversion: 1.2.3\nstatus: error\nupdate-status: success\n\
         test-installed-status: error\nworker-checksum: 1\ndependency-checksum: 2\n\
         update-log:\ntest-installed-log:\n\\\nline\n\nlast\n\n\\\n",
    );
    assert_eq!(result.results[1].operation, "test-installed");
    assert_eq!(result.results[1].log, "line\n\nlast\n");
    assert!(result.status.is_failure());
    let head = ": 1\nname: libhello\nversion: 1.2.3\n";
    check_error::<ResultManifest>(
        &format!("{head}update-status: error\n"),
        "test:4:1: error: status of an operation before that of the whole",
    );
    check_error::<ResultManifest>(
        &format!("{head}status: error\nupdate-log: x\n"),
        "test:5:1: error: log of an operation without its status before",
    );
}

/// D8.
#[test]
fn a_result_of_nothing_and_unknown_values_are_read() {
    let text = ": 1\nname: unknown\nversion: 0\nstatus: abnormal\nnew: x\n";
    let result = ResultManifest::parse(text.as_bytes(), "test").unwrap();
    assert_eq!(result.dropped, ["new"]);
    assert!(!result.to_text(Lines::Long).unwrap().contains("new"));
    let made = ResultManifest::new(result.name, result.version, ResultStatus::Abnormal);
    assert!(made.to_text(Lines::Long).unwrap().ends_with("version: 0\nstatus: abnormal\n"));
}

#[test]
fn a_challenge_is_base64_in_lines() {
    let signature: Vec<u8> = (0..=255).collect();
    let result = ResultManifest::new(
        "libhello".parse().unwrap(),
        "1.2.3".parse().unwrap(),
        ResultStatus::Abort,
    );
    let mut request = ResultRequest::new("s", result);
    request.challenge = Some(signature);
    request.agent_checksum = Some("2".to_owned());
    let text = request.to_text(Lines::Long).unwrap();
    let lines: Vec<usize> = text.lines().skip(4).take(5).map(str::len).collect();
    assert_eq!(lines, [76, 76, 76, 76, 40]);
    assert_eq!(ResultRequest::parse(text.as_bytes(), "test").unwrap(), request);
    let broken = text.replacen("AAEC", "AA\nEC", 1);
    let error = ResultRequest::parse(broken.as_bytes(), "test").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Invalid { .. }), "{error}");
}

fn edit(trust: Option<&[String]>, drop_worker_checksum: bool) -> TaskEdit<'_> {
    let mut edit = TaskEdit::default();
    edit.trust = trust;
    edit.drop_worker_checksum = drop_worker_checksum;
    edit
}

/// W24: only trust and worker-checksum change; everything else stays as it is, byte for byte.
#[test]
fn an_edit_changes_nothing_else() {
    let task = "  :\r\n# comment\nname:   a\ntrust: 1\nx: y\\\nz\n\ntrust:\n\\\n2\n\\\n\
        worker-checksum: w\nlast: \\";
    let trust = ["yes".to_owned(), "b".to_owned()];
    let apply = |edit: TaskEdit<'_>| edit.apply(task).unwrap();
    let both = edit(Some(&trust), true);
    assert_eq!(
        apply(both),
        ": 1\n# comment\nname:   a\ntrust: yes\ntrust: b\nx: y\\\nz\n\nlast: \\"
    );
    assert_eq!(apply(TaskEdit::default()), format!(": 1\n{}", &task["  :\r\n".len()..]));
    assert!(!apply(edit(Some(&[]), false)).contains("trust"));
}

#[test]
fn an_edit_puts_trust_where_it_belongs() {
    let trust = ["yes".to_owned()];
    let edit = edit(Some(&trust), true);
    let check = |task: &str, expected: &str| assert_eq!(edit.apply(task).unwrap(), expected);
    check(": 1\nname: a\nhost: true", ": 1\nname: a\ntrust: yes\nhost: true");
    check(": 1\nname: a\\", ": 1\ntrust: yes\nname: a\\");
    check(":\nworker-checksum: 1", ": 1\ntrust: yes\n");
    check(":", ": 1\ntrust: yes\n");
    assert!(edit.apply("name: a\n").is_err());
    assert!(edit.apply(":\n:\n").is_err());
}

#[test]
fn the_caller_sets_the_limits() {
    let text = ": 1\nsession: s\nresult-url: u\n:\nname: libhello\n";
    let check = |set: fn(&mut Limits), expected: &str| {
        let mut limits = Limits::default();
        set(&mut limits);
        let error = TaskResponse::parse_within(text.as_bytes(), "response", limits).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(|limits| limits.pairs = 1, "response:3:1: error: pairs are more than 1");
    check(|limits| limits.manifests = 1, "response:4:1: error: manifests are more than 1");
    check(|limits| limits.bytes = 10, "response:1:1: error: bytes of input are more than 10");
}
