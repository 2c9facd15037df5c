//! What an operator has, beside what agents make of it: names and contents that a hasty agent would
//! take for its own.

use std::os::unix::fs::symlink;

use bbot_tests::harness::agent::Agent;
use bbot_tests::harness::farm::{MachineSpec, layout};
use bbot_tests::harness::hypervisor::SUCCESSFUL;
use bbot_tests::harness::limits::LIMIT;
use bbot_tests::harness::testbed::{MACHINE, TOOLCHAIN, Testbed};

/// Runs an agent until it has asked its controller, and returns its standard error.
fn run(testbed: &Testbed) -> Vec<String> {
    let mut agent = testbed.start(&["--fake-bootstrap"]).unwrap();
    testbed.wait_until_idle().unwrap();
    agent.end().unwrap();
    agent.lines()
}

fn subvolumes(testbed: &Testbed) -> Vec<String> {
    let inventory = testbed.farm.inventory().unwrap();
    let folder = format!("subvolume {}/", layout::VOLUME);
    let subvolumes = inventory.of_kind("subvolume").into_iter();
    subvolumes.filter_map(|item| item.strip_prefix(&folder)).map(str::to_owned).collect()
}

/// W44: a toolchain with whose name a path of the agent's would be a revision, a snapshot or a lock
/// file of something else is refused at the start, before anything is touched.
#[test]
fn ambiguous_toolchains_are_refused() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let later = MachineSpec { revision: 2, ..MachineSpec::small(MACHINE, SUCCESSFUL) };
    testbed.farm.add_machine(&later).unwrap();
    let before = testbed.farm.inventory().unwrap();
    for name in ["1", "1.2", "1.1", "stage-2-2024-06", "t.lock", "t.warm", "..", ".", ".t"] {
        let spec = testbed.idle_agent(&["--toolchain-name", name, "--fake-bootstrap"]);
        let mut agent = Agent::start(&testbed.farm, &spec).unwrap();
        assert_eq!(agent.wait(LIMIT).unwrap().code(), Some(1), "{name}");
        let expected = format!("error: invalid value '{name}' of option '--toolchain-name': must");
        let lines = agent.lines();
        assert!(lines.len() == 1 && lines[0].starts_with(&expected), "{name}: {lines:#?}");
    }
    assert_eq!(testbed.farm.inventory().unwrap(), before);
}

/// W44: what has the name of a bootstrapped machine, but does not show that it is one of this
/// toolchain, is neither replaced nor deleted: with a link and without, it is told of once, and
/// other machines are used. A broken manifest is no proof of anything.
#[test]
fn what_is_not_ours_is_not_replaced() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let names = ["a-image", "b-link", "c-folder", "d-gone", "e-rubbish", "f-other", "g-file"];
    let folder = |name: &str| testbed.farm.machine_folder(name);
    for name in names {
        let machine = MachineSpec::small(name, SUCCESSFUL);
        testbed.farm.add_machine(&machine).unwrap();
        let path = folder(name).join(format!("{name}-{TOOLCHAIN}"));
        let manifest = path.join("manifest");
        match name {
            "c-folder" => testbed.farm.namespaces().run(|| std::fs::create_dir(&path)).unwrap(),
            "g-file" => testbed.farm.namespaces().run(|| std::fs::write(&path, "")).unwrap(),
            _ => testbed.farm.create_subvolume(&path).map_err(std::io::Error::other),
        }
        .unwrap();
        let set_up = || match name {
            "a-image" => std::fs::write(&manifest, &machine.manifest),
            "b-link" => {
                std::fs::write(&manifest, &machine.manifest)?;
                let link = folder(name).join(format!("{name}-1"));
                std::fs::remove_file(&link)?;
                symlink(format!("{name}-{TOOLCHAIN}"), link)
            }
            "d-gone" => {
                std::fs::write(&manifest, &machine.manifest)?;
                std::fs::remove_file(folder(name).join(format!("{name}-1")))
            }
            "e-rubbish" => std::fs::write(&manifest, "rubbish"),
            "f-other" => std::fs::write(path.join(".bbot-agent"), "other\n"),
            _ => Ok(()),
        };
        testbed.farm.namespaces().run(set_up).unwrap().unwrap();
    }
    let before = subvolumes(&testbed);
    for _ in 0..2 {
        let lines = run(&testbed);
        for name in names {
            let is_about = |line: &&String| line.starts_with("error: ") && line.contains(name);
            let about: Vec<_> = lines.iter().filter(is_about).collect();
            let is_said = about.len() == 1 && about[0].contains("is neither replaced nor deleted");
            assert!(is_said, "{name}: {lines:#?}");
        }
        assert!(!lines.iter().any(|line| line.contains("it rests")), "{lines:#?}");
    }
    let left = subvolumes(&testbed);
    assert!(before.iter().all(|subvolume| left.contains(subvolume)), "{left:#?}");
    let bootstrapped = format!("{MACHINE}/{MACHINE}-{TOOLCHAIN}");
    assert_eq!(left.len(), before.len() + 1, "{left:#?}");
    assert!(left.contains(&bootstrapped), "{left:#?}");
}

/// W44: what another implementation has bootstrapped bears no mark; its manifest is proof enough.
#[test]
fn an_unmarked_bootstrapped_machine_is_replaced() {
    let testbed = Testbed::new(SUCCESSFUL, &[]).unwrap();
    let machine = MachineSpec::small(MACHINE, SUCCESSFUL);
    testbed.farm.add_bootstrapped(&machine, TOOLCHAIN).unwrap();
    let folder = testbed.farm.machine_folder(MACHINE).join(format!("{MACHINE}-{TOOLCHAIN}"));
    let make_old = || {
        std::fs::remove_file(folder.join(".bbot-agent"))?;
        let manifest = std::fs::read_to_string(folder.join("manifest"))?;
        std::fs::write(folder.join("manifest"), manifest.replacen("id: ", "id: other-", 1))
    };
    testbed.farm.namespaces().run(make_old).unwrap().unwrap();
    let lines = run(&testbed);
    assert!(lines.iter().any(|line| line.contains("bootstrapped linux-pretend")), "{lines:#?}");
    let mark = testbed.farm.namespaces().run(|| std::fs::read(folder.join(".bbot-agent")));
    assert_eq!(mark.unwrap().unwrap(), b"default\n");
    assert_eq!(subvolumes(&testbed).len(), 2);
}
