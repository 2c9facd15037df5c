//! Releases of scratch repositories.

use std::path::PathBuf;

use anyhow::anyhow;

use super::*;

const MANIFEST: &str = "[workspace]\nmembers = [\"a\"]\n\n\
    [workspace.package]\nversion = \"0.1.0\"\n\n\
    [workspace.dependencies]\nbbot-lock = { path = \"bbot-lock\", version = \"0.1.0\" }\n\
    other = \"0.1.0\"\nlater = { version = \"0.1.0\", features = [\"x\"] }\n";

const LOCK: &str = "# comment\nversion = 4\n\n[[package]]\nname = \"bbot-lock\"\n\
    version = \"0.1.0\"\n\n[[package]]\nname = \"other\"\nversion = \"0.1.0\"\n\
    source = \"registry\"\nchecksum = \"00\"\n";

/// A repository with what is edited in a release; gone when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let root = workspace::target().unwrap();
        let root = root.join(format!("test-release-{name}-{}", std::process::id()));
        let scratch = Scratch(root);
        fs::create_dir_all(&scratch.0).unwrap();
        scratch.write("Cargo.toml", MANIFEST);
        scratch.write("Cargo.lock", LOCK);
        scratch.write("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- All.\n");
        for name in &CRATES[..5] {
            fs::create_dir(scratch.0.join(name)).unwrap();
            scratch.write(&format!("{name}/CHANGELOG.md"), "## [Unreleased]\n");
        }
        scratch.git(&["init", "--quiet"]);
        scratch.git(&["config", "user.name", "nobody"]);
        scratch.git(&["config", "user.email", "nobody@example.org"]);
        scratch.git(&["add", "--all"]);
        scratch.git(&["commit", "--quiet", "--message", "x"]);
        scratch
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    fn read(&self, file: &str) -> String {
        read(&self.0.join(file)).unwrap()
    }

    fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(command::output(&mut git(&self.0, arguments)).unwrap()).unwrap()
    }

    /// What a dry run must leave as it is: files, history, tags.
    fn state(&self) -> String {
        let state = [&["status", "--porcelain"][..], &["rev-parse", "HEAD^{tree}"], &["log"]];
        state.map(|arguments| self.git(arguments)).concat() + &self.git(&["tag", "--list"])
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

#[test]
fn a_release_changes_versions_and_headings() {
    let scratch = Scratch::new("real");
    release(&scratch.0, &version("0.2.0"), |_| Ok(())).unwrap();
    let manifest = scratch.read("Cargo.toml");
    let changed = MANIFEST.replacen("0.1.0", "0.2.0", 2);
    assert_eq!(manifest, changed, "our own, and no other crate's");
    let lock = scratch.read("Cargo.lock");
    assert_eq!(lock, LOCK.replacen("0.1.0", "0.2.0", 1));
    let text = scratch.read("CHANGELOG.md");
    let (head, rest) = text.split_once("\n## [0.2.0] - ").unwrap();
    assert_eq!(head, "# Changelog\n\n## [Unreleased]\n");
    let (date, rest) = rest.split_at(10);
    assert!(date.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-'), "{date}");
    assert_eq!(rest, "\n\n### Added\n\n- All.\n");
    assert!(scratch.read("bbot-vm/CHANGELOG.md").contains("## [0.2.0] - "));
    assert_eq!(scratch.git(&["tag", "--list"]), "v0.2.0\n");
    assert_eq!(scratch.git(&["log", "-1", "--format=%s"]), "bbot-rs: Release 0.2.0\n");
    assert_eq!(scratch.git(&["status", "--porcelain"]), "");
}

/// All steps are done in a clone.
#[test]
fn a_dry_run_changes_nothing() {
    let scratch = Scratch::new("dry");
    let before = scratch.state();
    let clone = scratch.0.with_extension("clone");
    make_clone(&scratch.0, &clone).unwrap();
    release(&clone, &version("0.2.0"), |_| Ok(())).unwrap();
    let tags = command::output(&mut git(&clone, &["tag", "--list"])).unwrap();
    assert_eq!(tags, b"v0.2.0\n");
    fs::remove_dir_all(&clone).unwrap();
    assert_eq!(scratch.state(), before);
}

#[test]
fn a_package_that_does_not_build_leaves_the_tree_as_it_was() {
    let scratch = Scratch::new("bad");
    let before = scratch.state();
    let error = release(&scratch.0, &version("0.2.0"), |_| Err(anyhow!("no"))).unwrap_err();
    assert_eq!(error.to_string(), "no");
    assert_eq!(scratch.state(), before);
    scratch.write("bbot-vm/CHANGELOG.md", "# Changelog\n");
    scratch.git(&["commit", "--quiet", "--all", "--message", "x"]);
    let before = scratch.state();
    let error = release(&scratch.0, &version("0.2.0"), |_| Ok(())).unwrap_err();
    assert_eq!(format!("{error:#}"), "bbot-vm/CHANGELOG.md: no heading [Unreleased]");
    assert_eq!(scratch.state(), before);
}

#[test]
fn a_tree_with_changes_is_not_released() {
    let scratch = Scratch::new("dirty");
    check_clean(&scratch.0).unwrap();
    scratch.write("new", "");
    let error = check_clean(&scratch.0).unwrap_err().to_string();
    assert_eq!(error, "the tree is not clean:\n?? new");
}

#[test]
fn the_next_version_is_new() {
    let scratch = Scratch::new("next");
    let next = |asked| next(&scratch.0, asked).map(|version| version.to_string());
    assert_eq!(next(None).unwrap(), "0.1.0", "it has not been released");
    assert_eq!(next(Some("1.0.0")).unwrap(), "1.0.0");
    let older = next(Some("0.0.9")).unwrap_err().to_string();
    assert_eq!(older, "0.0.9 is older than the workspace's 0.1.0");
    scratch.git(&["tag", "v0.1.0"]);
    assert_eq!(next(None).unwrap(), "0.1.1");
    let released = next(Some("0.1.0")).unwrap_err().to_string();
    assert_eq!(released, "0.1.0 has been released: there is a tag");
}

#[test]
fn versions_are_three_numbers() {
    assert!(version("0.10.0") > version("0.9.12"));
    for text in ["", "1", "1.2", "1.2.3.4", "1.2.x", "v1.2.3", "1.2.3-rc1", "01.2.3", "1..2"] {
        let error = text.parse::<Version>().unwrap_err().to_string();
        assert_eq!(error, format!("{text:?} is no version such as 1.2.3"));
    }
}
