//! The agent's key: its fingerprint, and answers to a controller's challenge (W37).
//!
//! The openssl program does both (D13), so that engines and hardware keys work; the agent itself
//! never reads the key.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::public_key;
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

/// Signs challenges with a private RSA key.
#[derive(Debug)]
pub(crate) struct Signer {
    openssl: PathBuf,
    options: Vec<String>,
    key: PathBuf,
    command: &'static str,
    fingerprint: String,
    challenge_max: usize,
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
    /// Its output is empty, or not an RSA public key.
    #[error("openssl {command} with key {} gave no result", key.display())]
    Output { command: &'static str, key: PathBuf },
}

impl Signer {
    /// Determines the fingerprint of the key, and the command by which this openssl signs.
    pub(crate) fn new(
        openssl: PathBuf,
        options: Vec<String>,
        key: PathBuf,
    ) -> Result<Self, AuthError> {
        File::open(&key).map_err(|source| AuthError::Key { path: key.clone(), source })?;
        let (command, fingerprint) = ("rsautl", String::new());
        let mut signer = Self { openssl, options, key, command, fingerprint, challenge_max: 0 };
        let version = signer.run("version", &[], b"")?;
        signer.command = sign_command(&String::from_utf8_lossy(&version));
        let key = signer.key.clone();
        let arguments = ["-in".as_ref(), key.as_path(), "-pubout".as_ref()];
        let der = signer.run(
            "rsa",
            &[&arguments[..], &["-outform".as_ref(), "DER".as_ref()]].concat(),
            b"",
        )?;
        let max = public_key::signable(&der).ok_or(AuthError::Output { command: "rsa", key })?;
        signer.challenge_max = if signer.command == PKEYUTL { max.min(DIGEST_MAX) } else { max };
        signer.fingerprint = sha256_hex(&der);
        Ok(signer)
    }

    /// Returns the fingerprint by which controllers identify the agent: the SHA-256 of the public
    /// key, in hexadecimal digits.
    pub(crate) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Returns the most bytes of a challenge that the key signs.
    pub(crate) fn challenge_max(&self) -> usize {
        self.challenge_max
    }

    /// Signs the bytes of a challenge, neither hashed nor prefixed.
    pub(crate) fn sign(&self, challenge: &str) -> Result<Vec<u8>, AuthError> {
        let arguments = ["-sign".as_ref(), "-inkey".as_ref(), self.key.as_path()];
        let signature = self.run(self.command, &arguments, challenge.as_bytes())?;
        if signature.is_empty() {
            return Err(AuthError::Output { command: self.command, key: self.key.clone() });
        }
        Ok(signature)
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
        Err(AuthError::Failed { command, key: self.key.clone(), message })
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
            let signature = signer.sign(CHALLENGE).unwrap();
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
        assert_eq!(Some(signer.fingerprint()), digest.split_whitespace().next());
        assert_eq!(signer.fingerprint().len(), 64);
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
        let signer = Signer::new(wrapper, options, key.clone()).unwrap();
        signer.sign(CHALLENGE).unwrap();
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
        let longest = "x".repeat(signer.challenge_max());
        signer.sign(&longest).unwrap();
        signer.command = "rsautl";
        let longest_of_key = "x".repeat(245);
        signer.sign(&longest_of_key).unwrap();
        signer.command = PKEYUTL;
        let too_long = longest + "x";
        let error = signer.sign(&too_long).unwrap_err();
        assert!(matches!(error, AuthError::Failed { command: "pkeyutl", .. }), "{error:?}");
        fs::write(&path, "no key").unwrap();
        let error = signer.sign(CHALLENGE).unwrap_err().to_string();
        let start = format!("openssl pkeyutl with key {} failed: ", path.display());
        assert!(error.starts_with(&start), "{error}");
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
