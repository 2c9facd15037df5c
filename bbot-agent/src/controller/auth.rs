//! The agent's key: its fingerprint, and answers to a controller's challenge (W37).
//!
//! The openssl program does both (D13), so that engines and hardware keys work; the agent itself
//! never reads the key. Fingerprint and signature come from one key, though its file may be
//! replaced at any time (W63): the file is compared before each use and after it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::key_file::Stamp;
use super::public_key;
use crate::diag;
use crate::fs::digest::sha256_hex;
use crate::subprocess::{self, Output, SpawnError};

/// The longest that openssl may run; hardware keys are slow.
const LIMIT: Duration = Duration::from_secs(60);

/// The command that signs, from OpenSSL 3.0.0 on.
const PKEYUTL: &str = "pkeyutl";

/// The most bytes that `pkeyutl` signs: it expects a digest, and the longest has this length.
const DIGEST_MAX: usize = 64;

/// The most bytes of openssl's output: keys and signatures have some hundred bytes.
const OUTPUT_MAX: usize = 64 << 10;

/// How long the key is not read again after a failure, unless its file changes.
const PAUSE: Duration = Duration::from_secs(60);

/// How often a signature is made again because the file was replaced meanwhile.
const REPLACEMENTS_MAX: usize = 3;

/// Signs challenges with a private RSA key.
#[derive(Debug)]
pub(crate) struct Signer {
    openssl: PathBuf,
    options: Vec<String>,
    path: PathBuf,
    command: &'static str,
    known: Mutex<Known>,
}

/// What controllers and challenges must know of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// The fingerprint by which controllers identify the agent: the SHA-256 of the public key, in
    /// hexadecimal digits.
    pub(crate) fingerprint: String,
    /// The most bytes of a challenge that the key signs.
    pub(crate) challenge_max: usize,
}

/// The key as it was read last.
#[derive(Debug)]
struct Known {
    /// The file that it was read from; `None` if it changed meanwhile.
    stamp: Option<Stamp>,
    /// `None` after a failure.
    key: Option<Key>,
    /// The key in use before the failure, if it is one.
    last: Key,
    /// When the failure was.
    failed: Option<Instant>,
}

/// Why there is no fingerprint or no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthError {
    /// The key file cannot be opened.
    #[error("cannot open --auth-key {}", path.display())]
    Key { path: PathBuf, source: io::Error },
    /// The openssl program could not be run.
    #[error("cannot run openssl {command}")]
    Run { command: &'static str, source: SpawnError },
    /// It exited with an error.
    #[error("openssl {command} with key {} failed: {message}", key.display())]
    Failed { command: &'static str, key: PathBuf, message: String },
    /// The file changes all the time, or has not changed since a failure that was reported.
    #[error("--auth-key {} is not usable for now", path.display())]
    Unusable { path: PathBuf },
    /// The challenge is for another key than the one in the file.
    #[error("the challenge is for the key {wanted}, which is not --auth-key: that is {found}")]
    OtherKey { wanted: String, found: String },
    /// Its output is empty, or not an RSA public key.
    #[error("openssl {command} with key {} gave no result", key.display())]
    Output { command: &'static str, key: PathBuf },
}

impl Signer {
    /// Determines the fingerprint of the key, and the command by which this openssl signs.
    pub(crate) fn new(
        openssl: PathBuf,
        options: Vec<String>,
        path: PathBuf,
    ) -> Result<Self, AuthError> {
        File::open(&path).map_err(|source| AuthError::Key { path: path.clone(), source })?;
        let none = Key { fingerprint: String::new(), challenge_max: 0 };
        let known = Known { stamp: None, key: None, last: none, failed: None };
        let command = "rsautl";
        let mut signer = Self { openssl, options, path, command, known: Mutex::new(known) };
        let version = signer.run("version", &[], b"")?;
        signer.command = sign_command(&String::from_utf8_lossy(&version));
        let (stamp, key) = signer.read()?;
        let known = Known { stamp, key: Some(key.clone()), last: key, failed: None };
        signer.known = Mutex::new(known);
        Ok(signer)
    }

    /// Returns the key that the file has now; `None` if it has none that can be used. A change is
    /// logged, once.
    pub(crate) fn key(&self) -> Option<Key> {
        self.load().ok()
    }

    /// Returns the key that the file has now, and reads it again if the file has changed (W63).
    fn load(&self) -> Result<Key, AuthError> {
        let mut known = self.lock();
        let now = Stamp::of(&self.path);
        if now.is_some() && known.stamp == now && now.as_ref().is_some_and(Stamp::is_settled) {
            if let Some(key) = &known.key {
                return Ok(key.clone());
            }
            if known.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
                return Err(AuthError::Unusable { path: self.path.clone() });
            }
        }
        match self.read() {
            Ok((stamp, key)) => {
                if known.key.as_ref() != Some(&key) {
                    report_change(&known.last, &key);
                }
                *known = Known { stamp, key: Some(key.clone()), last: key.clone(), failed: None };
                Ok(key)
            }
            Err(error) => {
                let was_usable = known.key.take().is_some();
                (known.stamp, known.failed) = (now, Some(Instant::now()));
                drop(known);
                if was_usable {
                    diag::error(format_args!("--auth-key can be used no more: {error}"));
                }
                Err(error)
            }
        }
    }

    /// Reads the key, and the stamp of its file if that has not changed meanwhile.
    fn read(&self) -> Result<(Option<Stamp>, Key), AuthError> {
        let before = Stamp::of(&self.path);
        File::open(&self.path)
            .map_err(|source| AuthError::Key { path: self.path.clone(), source })?;
        let arguments = ["-in".as_ref(), self.path.as_path(), "-pubout".as_ref()];
        let arguments = [&arguments[..], &["-outform".as_ref(), "DER".as_ref()]].concat();
        let der = self.run("rsa", &arguments, b"")?;
        let bad = || AuthError::Output { command: "rsa", key: self.path.clone() };
        let max = public_key::signable(&der).ok_or_else(bad)?;
        let challenge_max = if self.command == PKEYUTL { max.min(DIGEST_MAX) } else { max };
        let key = Key { fingerprint: sha256_hex(&der), challenge_max };
        Ok((before.filter(|before| Stamp::of(&self.path).as_ref() == Some(before)), key))
    }

    /// Signs the bytes of a challenge, neither hashed nor prefixed, by the key `wanted`, or by any
    /// if that is not known.
    ///
    /// A controller would take the signature of another key without an error, and drop the result.
    pub(crate) fn sign(&self, challenge: &str, wanted: Option<&str>) -> Result<Vec<u8>, AuthError> {
        for _ in 0..REPLACEMENTS_MAX {
            let key = self.load()?;
            if let Some(wanted) = wanted.filter(|wanted| *wanted != key.fingerprint) {
                let (wanted, found) = (wanted.to_owned(), key.fingerprint);
                return Err(AuthError::OtherKey { wanted, found });
            }
            let signed = self.sign_once(challenge);
            if self.load()? == key {
                return signed;
            }
        }
        Err(AuthError::Unusable { path: self.path.clone() })
    }

    fn sign_once(&self, challenge: &str) -> Result<Vec<u8>, AuthError> {
        let arguments = ["-sign".as_ref(), "-inkey".as_ref(), self.path.as_path()];
        let signature = self.run(self.command, &arguments, challenge.as_bytes())?;
        if signature.is_empty() {
            return Err(AuthError::Output { command: self.command, key: self.path.clone() });
        }
        Ok(signature)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Each change is one step, so that a panic leaves a valid state.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a command of openssl, with the operator's options before the others.
    fn run(
        &self,
        command: &'static str,
        arguments: &[&Path],
        input: &[u8],
    ) -> Result<Vec<u8>, AuthError> {
        let mut process = subprocess::command(&self.openssl);
        process.arg(command);
        if command != "version" {
            process.args(&self.options);
        }
        process.args(arguments);
        let Output { status, stdout, stderr } = subprocess::run(process, input, LIMIT, OUTPUT_MAX)
            .map_err(|source| AuthError::Run { command, source })?;
        if status.success() {
            return Ok(stdout);
        }
        let message = first_line(&stderr).unwrap_or_else(|| status.to_string());
        Err(AuthError::Failed { command, key: self.path.clone(), message })
    }
}

/// Logs that the file has another key, or a usable one again.
fn report_change(last: &Key, now: &Key) {
    if last.fingerprint == now.fingerprint {
        diag::info(format_args!("--auth-key can be used again: {}", now.fingerprint));
    } else {
        let (old, new) = (&last.fingerprint, &now.fingerprint);
        diag::warn(format_args!(
            "--auth-key was replaced: it is {new} now; results for {old} wait for that key"
        ));
    }
}

/// Returns the first line of the error output; the rest is openssl's call stack.
fn first_line(stderr: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    Some(line.chars().take(200).collect())
}

/// Returns the command that signs, by the output of `openssl version`: `pkeyutl` from OpenSSL 3.0.0
/// on, which deprecates `rsautl`. Both return the same bytes.
fn sign_command(version: &str) -> &'static str {
    let mut words = version.split_whitespace();
    let name = words.next();
    let major = words.next().and_then(|number| number.split('.').next()?.parse::<u32>().ok());
    match (name, major) {
        (Some("OpenSSL"), Some(3..)) => PKEYUTL,
        _ => "rsautl",
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;

    const CHALLENGE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    pub(crate) fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = subprocess::command(Path::new("openssl"));
        command.args(arguments);
        let output = subprocess::run(command, input, LIMIT, OUTPUT_MAX).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Returns a folder with a new key in `key.pem` and its public part in `public.pem`.
    pub(crate) fn key_pair() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        openssl(&["genrsa", "-out", &path("key.pem"), "2048"], b"");
        openssl(&["rsa", "-in", &path("key.pem"), "-pubout", "-out", &path("public.pem")], b"");
        folder
    }

    pub(crate) fn signer(folder: &Path, options: &[&str]) -> Result<Signer, AuthError> {
        let options = options.iter().map(|&option| option.into()).collect();
        Signer::new("openssl".into(), options, folder.join("key.pem"))
    }

    /// W37: the controller recovers the challenge as it checks it, whichever command signed.
    #[test]
    fn controller_recovers_the_challenge() {
        let folder = key_pair();
        let public = folder.path().join("public.pem").to_str().unwrap().to_owned();
        let mut signer = signer(folder.path(), &[]).unwrap();
        assert_eq!(signer.command, "pkeyutl");
        for command in ["pkeyutl", "rsautl"] {
            signer.command = command;
            let signature = signer.sign(CHALLENGE, None).unwrap();
            assert_eq!(signature.len(), 256);
            let verify = ["pkeyutl", "-verifyrecover", "-pubin", "-inkey", &public];
            assert_eq!(openssl(&verify, &signature), CHALLENGE.as_bytes());
        }
    }

    /// W37: the same digest that the controller finds in its folder of public keys.
    #[test]
    fn fingerprint_is_the_controllers() {
        let folder = key_pair();
        let public = folder.path().join("public.pem").to_str().unwrap().to_owned();
        let der = openssl(&["pkey", "-pubin", "-in", &public, "-outform", "DER"], b"");
        let digest = String::from_utf8(openssl(&["dgst", "-sha256", "-r"], &der)).unwrap();
        let signer = signer(folder.path(), &[]).unwrap();
        let fingerprint = signer.key().unwrap().fingerprint;
        assert_eq!(Some(&*fingerprint), digest.split_whitespace().next());
        assert_eq!(fingerprint.len(), 64);
    }

    /// W37: `--openssl-option` reaches each command, before the command's own options.
    #[test]
    fn options_precede_the_commands_own() {
        let folder = key_pair();
        let log = folder.path().join("log");
        let wrapper = folder.path().join("wrapper");
        let script = format!("#!/bin/sh\necho \"$*\" >>{}\nexec openssl \"$@\"\n", log.display());
        fs::write(&wrapper, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&wrapper, executable).unwrap();
        let options = vec!["-provider".into(), "default".into()];
        let key = folder.path().join("key.pem");
        settle(&key);
        let signer = Signer::new(wrapper, options, key.clone()).unwrap();
        signer.sign(CHALLENGE, None).unwrap();
        let key = key.display();
        let expected = format!(
            "version\nrsa -provider default -in {key} -pubout -outform DER\n\
             pkeyutl -provider default -sign -inkey {key}\n"
        );
        assert_eq!(fs::read_to_string(log).unwrap(), expected);
    }

    /// W37: a failure is an error with its cause.
    #[test]
    fn a_failure_to_sign_is_an_error() {
        let folder = key_pair();
        let path = folder.path().join("key.pem");
        let mut signer = signer(folder.path(), &[]).unwrap();
        let longest = "x".repeat(signer.key().unwrap().challenge_max);
        signer.sign(&longest, None).unwrap();
        signer.command = "rsautl";
        let longest_of_key = "x".repeat(245);
        signer.sign(&longest_of_key, None).unwrap();
        signer.command = PKEYUTL;
        let too_long = longest + "x";
        let error = signer.sign(&too_long, None).unwrap_err();
        assert!(matches!(error, AuthError::Failed { command: "pkeyutl", .. }), "{error:?}");
        fs::write(&path, "no key").unwrap();
        let error = signer.sign(CHALLENGE, None).unwrap_err().to_string();
        let start = format!("openssl rsa with key {} failed: ", path.display());
        assert!(error.starts_with(&start), "{error}");
    }

    /// Gives the file an old modification time, so that its stamp can be relied on, and waits for
    /// the same of its change of status, which cannot be set.
    fn settle(path: &Path) {
        let old = std::time::SystemTime::now() - Duration::from_secs(3600);
        File::options().append(true).open(path).unwrap().set_modified(old).unwrap();
        let (_sender, never) = std::sync::mpsc::channel::<()>();
        while !Stamp::of(path).unwrap().is_settled() {
            never.recv_timeout(Duration::from_millis(20)).unwrap_err();
        }
    }

    /// Returns the fingerprint of the key in a folder.
    fn fingerprint_of(folder: &tempfile::TempDir) -> String {
        signer(folder.path(), &[]).unwrap().key().unwrap().fingerprint
    }

    /// W63: a key that is replaced, by a new file or in place, is noticed before each use, and a
    /// challenge is signed by its own key or not at all.
    #[test]
    fn a_replaced_key_is_noticed() {
        let (folder, other) = (key_pair(), key_pair());
        let key = |folder: &tempfile::TempDir| folder.path().join("key.pem");
        let (old, new) = (fingerprint_of(&folder), fingerprint_of(&other));
        let old_key = fs::read(key(&folder)).unwrap();
        let new_key = fs::read(key(&other)).unwrap();
        let path = key(&folder);
        let signer = signer(folder.path(), &[]).unwrap();
        let rename = |content: &[u8]| {
            let beside = path.with_extension("new");
            fs::write(&beside, content).unwrap();
            fs::rename(&beside, &path).unwrap();
        };
        let overwrite = |content: &[u8]| fs::write(&path, content).unwrap();
        for in_place in [false, true] {
            let way = |content: &[u8]| if in_place { overwrite(content) } else { rename(content) };
            way(&new_key);
            let error = signer.sign(CHALLENGE, Some(&old)).unwrap_err();
            assert!(matches!(&error, AuthError::OtherKey { .. }), "{error:?}");
            assert_eq!(signer.key().unwrap().fingerprint, new);
            signer.sign(CHALLENGE, Some(&new)).unwrap();
            way(&old_key);
            signer.sign(CHALLENGE, Some(&old)).unwrap();
            assert_eq!(signer.key().unwrap().fingerprint, old);
        }
        way_back(&signer, &path, &old_key, &old);
    }

    /// A file that is gone, empty or no key gives no fingerprint, until the key is back.
    fn way_back(signer: &Signer, path: &Path, key: &[u8], fingerprint: &str) {
        for bad in [None, Some(&b""[..]), Some(b"no key")] {
            match bad {
                None => fs::remove_file(path).unwrap(),
                Some(content) => fs::write(path, content).unwrap(),
            }
            assert_eq!(signer.key(), None, "{bad:?}");
            signer.sign(CHALLENGE, Some(fingerprint)).unwrap_err();
            fs::write(path, key).unwrap();
            assert_eq!(signer.key().unwrap().fingerprint, fingerprint);
            signer.sign(CHALLENGE, Some(fingerprint)).unwrap();
        }
    }

    /// W63: a file that is replaced while openssl runs gives no signature by another key.
    #[test]
    fn a_key_that_is_replaced_while_it_signs_does_not_count() {
        let (folder, other) = (key_pair(), key_pair());
        let path = folder.path().join("key.pem");
        let wrapper = folder.path().join("wrapper");
        let (new, swap) = (other.path().join("key.pem"), folder.path().join("swap"));
        let script = format!(
            "#!/bin/sh\ncase $1 in pkeyutl) [ -e {swap} ] && mv {new} {path}; rm -f {swap};; esac\n\
             exec openssl \"$@\"\n",
            swap = swap.display(),
            new = new.display(),
            path = path.display()
        );
        fs::write(&wrapper, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        fs::set_permissions(&wrapper, executable).unwrap();
        let signer = Signer::new(wrapper, Vec::new(), path).unwrap();
        let old = signer.key().unwrap().fingerprint;
        signer.sign(CHALLENGE, Some(&old)).unwrap();
        fs::write(&swap, "").unwrap();
        let error = signer.sign(CHALLENGE, Some(&old)).unwrap_err();
        assert!(matches!(&error, AuthError::OtherKey { .. }), "{error:?}");
        assert_ne!(signer.key().unwrap().fingerprint, old);
    }

    /// W1: a bad key is refused at the start.
    #[test]
    fn a_key_other_than_rsa_is_refused() {
        let folder = key_pair();
        let path = folder.path().join("key.pem");
        let text = path.to_str().unwrap();
        openssl(&["genpkey", "-algorithm", "ED25519", "-out", text], b"");
        let error = signer(folder.path(), &[]).unwrap_err();
        assert!(matches!(error, AuthError::Failed { command: "rsa", .. }), "{error:?}");
        fs::remove_file(&path).unwrap();
        let error = signer(folder.path(), &[]).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot open --auth-key {text}"));
    }

    #[test]
    fn a_missing_openssl_is_an_error() {
        let folder = key_pair();
        let key = folder.path().join("key.pem");
        let error = Signer::new("/no/openssl".into(), Vec::new(), key).unwrap_err();
        assert_eq!(error.to_string(), "cannot run openssl version");
    }

    /// W37
    #[test]
    fn command_follows_the_version() {
        let table = [
            ("OpenSSL 3.0.0 7 Sep 2021 (Library: ...)", "pkeyutl"),
            ("OpenSSL 3.0.17 1 Jul 2025", "pkeyutl"),
            ("OpenSSL 10.1.0", "pkeyutl"),
            ("OpenSSL 3.2.0-dev", "pkeyutl"),
            ("OpenSSL 1.1.1w  11 Sep 2023", "rsautl"),
            ("OpenSSL 1.0.2k-fips  26 Jan 2017", "rsautl"),
            ("LibreSSL 3.8.2", "rsautl"),
            ("OpenSSL", "rsautl"),
            ("", "rsautl"),
        ];
        for (version, command) in table {
            assert_eq!(sign_command(version), command, "{version}");
        }
    }
}
