//! The manifests of the protocol as JSON.
#![allow(clippy::unwrap_used, reason = "all of this is test code, also outside of #[test]")]

use std::collections::BTreeMap;
use std::fmt::Debug;

use bbot_manifest::protocol::{
    AuxiliaryMachine, BootstrapManifest, InteractiveMode, MacAddress, MachineRole, MachineType,
    OperationResult, TestKind, TestPackage, ToolchainManifest,
};
use bbot_manifest::{
    BootstrappedMachine, Lines, MachineHeader, MachineManifest, MachineName, Manifest, PackageName,
    PackageVersion, ResultManifest, ResultRequest, ResultStatus, StandardVersion, TaskManifest,
    TaskRequest, TaskResponse,
};
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Checks that a manifest is the same after it was JSON, as text and as a value; returns the value.
#[track_caller]
fn round_trip<M: Serialize + DeserializeOwned + PartialEq + Debug>(manifest: &M) -> Value {
    let text = serde_json::to_string(manifest).unwrap();
    assert_eq!(serde_json::from_str::<M>(&text).unwrap(), *manifest, "{text}");
    let value = serde_json::to_value(manifest).unwrap();
    assert_eq!(serde_json::from_value::<M>(value.clone()).unwrap(), *manifest, "{text}");
    value
}

#[track_caller]
fn check_error<M: DeserializeOwned + Debug>(json: Value, expected: &str) {
    let error = serde_json::from_value::<M>(json).unwrap_err().to_string();
    assert!(error.starts_with(expected), "{error}");
}

const TASK: &str = ": 1\nname: libhello\nversion: 1.2.3+4\n\
    repository-url: https://git.example.org/hello.git#master\nrepository-type: git\n\
    trust: yes\nrequires: * linux | macos; comment\n\
    tests: * libhello-tests == 1.2.3 ? ($x == 'y') config.t=1\nexamples: libhello-examples\n\
    tests: libhello-more\ndependency-checksum: d\nmachine: linux-gcc\n\
    auxiliary-machine: postgres\nb-auxiliary-machine: mysql\ntarget: x86_64-linux-gnu\n\
    environment: clean\nauxiliary-environment: X=1\ntarget-config: 'a b' c\npackage-config: x\n\
    host: true\nwarning-regex: ^warning\ninteractive: error\nworker-checksum: w\n\
    new-value: kept\nnew-value: twice\n";

#[test]
fn a_task_has_the_fields_of_its_values() {
    let task = TaskManifest::parse(TASK.as_bytes(), "task").unwrap();
    let expected = json!({
        "name": "libhello", "version": "1.2.3+4",
        "repository-url": "https://git.example.org/hello.git#master", "repository-type": "git",
        "trust": ["yes"], "requires": ["* linux | macos; comment"],
        "tests": [
            {
                "kind": "tests",
                "dependency": "* libhello-tests == 1.2.3 ? ($x == 'y') config.t=1",
            },
            { "kind": "examples", "dependency": "libhello-examples" },
            { "kind": "tests", "dependency": "libhello-more" },
        ],
        "dependency-checksum": "d", "machine": "linux-gcc",
        "auxiliary-machines":
            [{ "machine": "postgres" }, { "environment": "b", "machine": "mysql" }],
        "target": "x86_64-linux-gnu", "environment": "clean", "auxiliary-environment": "X=1",
        "target-config": "'a b' c", "package-config": "x", "host": true,
        "warning-regex": ["^warning"], "interactive": "error", "worker-checksum": "w",
        "unknown": [["new-value", "kept"], ["new-value", "twice"]],
    });
    assert_eq!(round_trip(&task), expected);
    assert_eq!(task.to_text(Lines::Wrapped).unwrap(), TASK);
}

#[test]
fn requests_and_responses_contain_their_manifests() {
    let mut machine = MachineHeader::new("1", "linux".parse().unwrap(), "Debian 12");
    machine.ram_minimum = Some(1024);
    let version = "0.16.0".parse().unwrap();
    let request = TaskRequest::new("host", vec![machine], "public", version);
    let expected = json!({
        "agent": "host", "toolchain-name": "public", "toolchain-version": "0.16.0",
        "machines":
            [{ "id": "1", "name": "linux", "summary": "Debian 12", "ram-minimum": 1024 }],
    });
    assert_eq!(round_trip(&request), expected);

    let task = TASK.replacen(": 1", ":", 1);
    let text = format!(": 1\nsession: s\nresult-url: u\nx-upload-url: v\n{task}");
    let response = TaskResponse::parse(text.as_bytes(), "response").unwrap();
    let value = round_trip(&response);
    assert_eq!(value["upload-urls"], json!({ "x": "v" }));
    assert_eq!(value["task"]["name"], "libhello");
    assert!(value["task-text"].as_str().unwrap().starts_with(":\nname: libhello\n"));
    assert_eq!(round_trip(&TaskResponse::default()), json!({ "session": "" }));

    let (name, version) = ("libhello".parse().unwrap(), "1".parse().unwrap());
    let mut result = ResultManifest::new(name, version, ResultStatus::Error);
    result.results.push(OperationResult::new("update", ResultStatus::Error));
    result.results[0].log = "a\nb\n".to_owned();
    result.dropped.push("future".to_owned());
    let mut request = ResultRequest::new("s", result);
    request.challenge = Some((0..100).collect());
    let value = round_trip(&request);
    assert!(value["challenge"].as_str().unwrap().ends_with("XV5fYGFiYw=="), "{value}");
    assert_eq!(
        value["result"],
        json!({
            "name": "libhello", "version": "1", "status": "error",
            "results": [{ "operation": "update", "status": "error", "log": "a\nb\n" }],
            "dropped": ["future"],
        })
    );
}

#[test]
fn machines_and_toolchains_are_as_in_their_manifests() {
    let text = ": 1\nid: 1\nname: a\nsummary: b\ntype: kvm\nmac: 02:16:3e:00:00:01\nchanges: c\n\
        :\nid: gcc\n:\nbbot-version: 0.16.0\nbbot-agent-version: 0.16.1\n";
    let machine = BootstrappedMachine::parse(text.as_bytes(), "machine").unwrap();
    let expected = json!({
        "machine": {
            "id": "1", "name": "a", "summary": "b", "type": "kvm", "mac": "02:16:3e:00:00:01",
            "changes": ["c"],
        },
        "toolchain": { "id": "gcc" },
        "bootstrap": { "versions": { "bbot": "0.16.0" }, "agent-version": "0.16.1" },
    });
    assert_eq!(round_trip(&machine), expected);
    // One whose fields are all values is the same manifest in the data format, too.
    let text = machine.machine.to_text(Lines::Wrapped).unwrap();
    assert_eq!(bbot_manifest::to_string(&machine.machine).unwrap(), text);
    assert_eq!(bbot_manifest::from_str::<MachineManifest>(&text).unwrap(), machine.machine);
}

#[test]
fn what_a_manifest_refuses_json_refuses() {
    let with = |mut value: Value, field: &str, new: Value| {
        value[field] = new;
        value
    };
    let machine = json!({ "id": "1", "name": "a", "summary": "b", "type": "kvm" });
    let check = |field: &str, new: Value, expected: &str| {
        check_error::<MachineManifest>(with(machine.clone(), field, new), expected);
    };
    check("odd", json!("x"), "unknown field `odd`");
    check("id", json!(""), "empty id");
    check("id", json!(null), "invalid type: null");
    check("name", json!("a/b"), "'/' in machine name");
    check("type", json!("qemu"), "kvm or nspawn expected");
    check("options", json!("'a"), "invalid options: unterminated quoted string");
    check("changes", json!([""]), "empty changes");
    check("summary", json!("a\u{7}"), "invalid value: invalid Unicode codepoint (control)");
    check("summary", json!("a\rb"), "a value has a CR, or a name that stands for another value");

    let task = TaskManifest::parse(TASK.as_bytes(), "task").unwrap();
    let task = serde_json::to_value(task).unwrap();
    let check = |field: &str, new: Value, expected: &str| {
        check_error::<TaskManifest>(with(task.clone(), field, new), expected);
    };
    check("odd", json!("x"), "unknown field `odd`");
    check("trust", json!(["no"]), "invalid trust: SHA256 fingerprint expected");
    check("host", json!("true"), "invalid type: string");
    check("repository-url", json!("x"), "invalid repository-url: relative filesystem path");
    check("target-config", json!("'"), "invalid target-config: unterminated quoted string");
    check("unknown", json!([["host", "true"]]), "host redefinition");
    check("unknown", json!([["requires", "x"]]), "a value has a CR, or a name");
    check("unknown", json!([["", "1"]]), "single manifest expected");
    check("unknown", json!([["a b", "1"]]), "name contains whitespace");
    check("auxiliary-machines", json!([{ "machine": "a", "odd": 1 }]), "unknown field `odd`");

    let result = json!({ "name": "libhello", "version": "1", "status": "error" });
    let twice = json!([
        { "operation": "a", "status": "error" }, { "operation": "a", "status": "error" },
    ]);
    check_error::<ResultManifest>(with(result.clone(), "odd", json!(1)), "unknown field");
    check_error::<ResultManifest>(with(result, "results", twice), "a-status redefinition");

    let response = json!({ "session": "s" });
    check_error::<TaskResponse>(response.clone(), "no result-url specified");
    let response = with(with(response, "result-url", json!("u")), "task", task);
    let other = with(response.clone(), "task-text", json!(TASK.replace("clean", "other")));
    check_error::<TaskResponse>(other, "a value has a CR, or a name");
    // As in the text form, unknown values of a response are ignored.
    serde_json::from_value::<TaskResponse>(with(response, "future", json!(1))).unwrap();

    let request = json!({ "agent": "a", "toolchain-name": "b", "toolchain-version": "0.1.0" });
    let request = with(request, "machines", json!([]));
    check_error::<TaskRequest>(request, "start of manifest expected");
    let challenge = json!({ "session": "s", "challenge": "?", "result": {} });
    check_error::<ResultRequest>(challenge, "base64 expected");
}

/// Text of one line or several.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9:#\\\\; \u{e9}-]{1,20}", "[a-z\\\\\n ]{1,100}"]
}

fn machine_name() -> impl Strategy<Value = MachineName> {
    "[a-z][a-z0-9._+-]{0,9}".prop_map(|name| name.parse().unwrap())
}

fn package() -> impl Strategy<Value = (PackageName, PackageVersion)> {
    let (name, version) = ("[a-z]{3,9}", "[0-9]\\.[a-z0-9]{1,3}(-[a-z]{1,3})?(\\+[1-9])?");
    (name, version).prop_filter_map("reserved", |(name, version)| {
        Some((name.parse().ok()?, version.parse().ok()?))
    })
}

fn standard_version() -> impl Strategy<Value = StandardVersion> {
    "0\\.[1-9]\\.[0-9](-[ab]\\.[1-9](\\.[1-9]{1,9}\\.[0-9a-f]{1,9})?)?"
        .prop_map(|version| version.parse().unwrap())
}

prop_compose! {
    fn machine_header()(
        id in text(), name in machine_name(), summary in text(),
        role in of(select(vec![MachineRole::Build, MachineRole::Auxiliary])),
        ram_minimum in of(any::<u64>()), ram_maximum in of(any::<u64>()),
    ) -> MachineHeader {
        let mut header = MachineHeader::new(id, name, summary);
        (header.role, header.ram_minimum, header.ram_maximum) = (role, ram_minimum, ram_maximum);
        header
    }
}

prop_compose! {
    fn machine()(
        header in machine_header(), mac in of(any::<[u8; 6]>()),
        kind in select(vec![MachineType::Kvm, MachineType::Nspawn]),
        options in of("[a-z ]{1,9}( 'a b')?"), changes in prop::collection::vec(text(), 0..3),
    ) -> MachineManifest {
        let mut machine = MachineManifest::new(header, kind);
        (machine.mac, machine.options, machine.changes) = (mac.map(MacAddress), options, changes);
        machine
    }
}

prop_compose! {
    fn bootstrapped()(
        mut machine in machine(), mac: [u8; 6], id in text(),
        versions in prop::collection::btree_map("[a-z]{1,9}", standard_version(), 0..4),
        agent_version in of(standard_version()),
    ) -> BootstrappedMachine {
        machine.mac = Some(MacAddress(mac));
        let mut bootstrap = BootstrapManifest::new(versions);
        bootstrap.agent_version = agent_version;
        BootstrappedMachine::new(machine, ToolchainManifest::new(id), bootstrap)
    }
}

fn tests() -> impl Strategy<Value = Vec<TestPackage>> {
    let kinds = vec![TestKind::Tests, TestKind::Examples, TestKind::Benchmarks];
    let dependency = "(\\* )?[a-z]{3,9}( >= 1\\.[0-9])?( \\? \\([a-z]{1,5}\\))?( x=[a-z])?";
    let test = (select(kinds), dependency).prop_filter_map("reserved", |(kind, dependency)| {
        Some(TestPackage::new(kind, dependency.parse().ok()?))
    });
    prop::collection::vec(test, 0..4)
}

fn auxiliary_machines() -> impl Strategy<Value = Vec<AuxiliaryMachine>> {
    let machine = ("([a-z]{1,5})?", machine_name()).prop_map(|(environment, machine)| {
        let mut machine = AuxiliaryMachine::new(machine);
        machine.environment = environment;
        machine
    });
    prop::collection::vec(machine, 0..3)
}

prop_compose! {
    fn task()(
        (name, version) in package(), machine in machine_name(),
        url in "https://example\\.org/[a-z]{1,5}\\.git(#[a-z]{1,5})?",
        trust in prop::collection::vec("yes|(0A:){31}0B", 0..3),
        requires in prop::collection::vec(text(), 0..3), tests in tests(),
        auxiliary_machines in auxiliary_machines(),
        texts in prop::array::uniform7(of(text())), target_config in of("[a-z=. ]{1,20}"),
        host: Option<bool>, warning_regex in prop::collection::vec(text(), 0..3),
        unknown in prop::collection::vec(("x-[a-z]{1,5}", text()), 0..3),
    ) -> TaskManifest {
        let (url, target) = (url.parse().unwrap(), "x86_64-linux-gnu".parse().unwrap());
        let mut task = TaskManifest::new(name, version, url, machine, target);
        (task.trust, task.tests) = (trust, tests);
        task.requires = requires.iter().map(|text| text.parse().unwrap()).collect();
        (task.auxiliary_machines, task.unknown) = (auxiliary_machines, unknown);
        (task.host, task.warning_regex, task.target_config) = (host, warning_regex, target_config);
        [
            task.dependency_checksum, task.environment, task.auxiliary_environment,
            task.package_config, task.interactive, task.worker_checksum, _,
        ] = texts;
        task
    }
}

fn statuses() -> impl Strategy<Value = ResultStatus> {
    use ResultStatus::{Abnormal, Abort, Error, Interrupt, Skip, Success, Warning};
    select(vec![Skip, Success, Warning, Error, Abort, Abnormal, Interrupt])
}

prop_compose! {
    fn result()(
        (name, version) in package(), status in statuses(),
        operations in prop::collection::btree_map("[a-z-]{0,5}[a-z]", (statuses(), text()), 0..4),
        worker_checksum in of(text()), dependency_checksum in of(text()),
        dropped in prop::collection::vec("x[a-z]{1,5}", 0..3),
    ) -> ResultManifest {
        let mut result = ResultManifest::new(name, version, status);
        result.results = operations.into_iter().map(|(operation, (status, log))| {
            let mut result = OperationResult::new(operation, status);
            result.log = log;
            result
        }).collect();
        result.worker_checksum = worker_checksum;
        result.dependency_checksum = dependency_checksum;
        result.dropped = dropped;
        result
    }
}

prop_compose! {
    fn task_request()(
        agent in text(), machines in prop::collection::vec(machine_header(), 1..4), name in text(),
        version in standard_version(), fingerprint in of(text()), auxiliary_ram: Option<u64>,
        mode in of(select(vec![InteractiveMode::False, InteractiveMode::True])), login in text(),
    ) -> TaskRequest {
        let mut request = TaskRequest::new(agent, machines, name, version);
        (request.fingerprint, request.auxiliary_ram) = (fingerprint, auxiliary_ram);
        (request.interactive_mode, request.interactive_login) = (mode, mode.map(|_| login));
        request
    }
}

prop_compose! {
    fn task_response()(
        session in text(), task in task(), url in text(), with_text: bool,
        challenge in of(text()), agent_checksum in of(text()),
        upload_urls in prop::collection::btree_map("[a-z]{1,5}", text(), 0..3),
    ) -> TaskResponse {
        let mut response = TaskResponse::new(session, task, url);
        (response.challenge, response.agent_checksum) = (challenge, agent_checksum);
        response.upload_urls = upload_urls;
        if with_text {
            let task = response.task.as_ref().unwrap();
            response.task_text = Some(task.to_text(Lines::Wrapped).unwrap());
        }
        response
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..Default::default()
    })]

    #[test]
    fn machines_are_the_same(machine in machine(), bootstrapped in bootstrapped()) {
        round_trip(&machine);
        round_trip(&machine.header);
        round_trip(&bootstrapped);
    }

    #[test]
    fn tasks_are_the_same(task in task(), request in task_request()) {
        round_trip(&task);
        round_trip(&request);
    }

    #[test]
    fn responses_are_the_same(response in task_response()) {
        round_trip(&response);
    }

    #[test]
    fn results_are_the_same(
        result in result(),
        session in text(),
        challenge in of(prop::collection::vec(any::<u8>(), 1..100)),
    ) {
        round_trip(&result);
        let mut request = ResultRequest::new(session, result);
        request.challenge = challenge;
        round_trip(&request);
    }

    /// Values that a manifest cannot hold are refused; all others come back.
    #[test]
    fn any_texts_are_the_same_or_refused(
        id in any::<String>(),
        summary in "[a \t\r\n\\\\\u{7}]{0,5}",
        versions in prop::collection::btree_map("[a :#]{0,3}", standard_version(), 0..3),
    ) {
        let header = MachineHeader::new(id, "a".parse().unwrap(), summary);
        same_or_refused(&header);
        same_or_refused(&BootstrapManifest::new(versions));
    }
}

fn same_or_refused<M: Manifest + Serialize + DeserializeOwned + PartialEq + Debug>(manifest: &M) {
    let json = serde_json::to_value(manifest).unwrap();
    let text = manifest.to_text(Lines::Wrapped);
    let read = text.and_then(|text| M::parse(text.as_bytes(), "text"));
    match serde_json::from_value::<M>(json) {
        Ok(again) => assert_eq!((&again, &read.unwrap()), (manifest, manifest)),
        Err(_) => assert!(read.is_err() || read.unwrap() != *manifest),
    }
}

/// Everything that the fuzz targets have found to be a manifest is the same after it was JSON.
#[test]
fn the_corpus_is_the_same() {
    fn check<M: Manifest + Serialize + DeserializeOwned + PartialEq + Debug>(text: &[u8]) -> usize {
        M::parse(text, "corpus").map_or(0, |manifest| {
            round_trip(&manifest);
            1
        })
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/manifests");
    let mut counts = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        *counts.entry("header").or_default() += check::<MachineHeader>(&text);
        *counts.entry("machine").or_default() += check::<MachineManifest>(&text);
        *counts.entry("toolchain").or_default() += check::<ToolchainManifest>(&text);
        *counts.entry("bootstrap").or_default() += check::<BootstrapManifest>(&text);
        *counts.entry("bootstrapped").or_default() += check::<BootstrappedMachine>(&text);
        *counts.entry("task").or_default() += check::<TaskManifest>(&text);
        *counts.entry("request").or_default() += check::<TaskRequest>(&text);
        *counts.entry("response").or_default() += check::<TaskResponse>(&text);
        *counts.entry("result").or_default() += check::<ResultManifest>(&text);
        *counts.entry("result request").or_default() += check::<ResultRequest>(&text);
    }
    assert!(counts.values().all(|count: &usize| *count > 0), "{counts:?}");
}
