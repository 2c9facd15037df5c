//! Keys, challenges and signatures, made and verified by `openssl` as the real controller does.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

/// A key that the controller knows.
#[derive(Debug, Clone)]
pub struct KnownKey {
    public: PathBuf,
    fingerprint: String,
}

impl KnownKey {
    /// Reads the public key in the PEM file `public`.
    ///
    /// # Errors
    /// If it is not one.
    pub fn read(public: &Path) -> Result<KnownKey> {
        let mut command = Command::new("openssl");
        command.args(["pkey", "-pubin", "-outform", "DER", "-in"]).arg(public);
        let fingerprint = hex_sha256(&openssl(&mut command, b"")?);
        Ok(KnownKey { public: public.to_owned(), fingerprint })
    }

    /// The lower-case hex SHA-256 of the key's `SubjectPublicKeyInfo`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether `signature` is this key's signature of `challenge`: the text recovered from it is
    /// the challenge.
    ///
    /// # Errors
    /// If nothing can be recovered from the signature: with the message of openssl.
    pub fn verify(&self, challenge: &str, signature: &[u8]) -> Result<bool> {
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-verifyrecover", "-pubin", "-inkey"]).arg(&self.public);
        Ok(openssl(&mut command, signature)? == challenge.as_bytes())
    }
}

/// Makes an RSA key pair in `folder`: `key.pem` and `key.pub.pem`.
///
/// # Errors
/// If openssl fails.
pub fn generate_key(folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let (private, public) = (folder.join("key.pem"), folder.join("key.pub.pem"));
    let mut command = Command::new("openssl");
    command.args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]);
    openssl(command.arg("-out").arg(&private), b"")?;
    let mut command = Command::new("openssl");
    command.args(["pkey", "-pubout", "-in"]).arg(&private).arg("-out").arg(&public);
    openssl(&mut command, b"")?;
    Ok((private, public))
}

/// A fresh challenge: the hex SHA-256 of 64 random bytes and the time.
///
/// # Errors
/// If the system has no random bytes.
pub fn challenge() -> Result<String> {
    let mut seed = vec![0; 64];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut seed)?;
    seed.extend_from_slice(&crate::harness::clock::now().to_ne_bytes());
    Ok(hex_sha256(&seed))
}

/// The lower-case hex SHA-256 of `bytes`.
pub fn hex_sha256(bytes: &[u8]) -> String {
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    digest.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Runs openssl with `input`, which fits into a pipe, and returns its output.
fn openssl(command: &mut Command, input: &[u8]) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run openssl")?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may reject its arguments before it reads; then its exit status is an error.
        drop(stdin.write_all(input));
    }
    let output = child.wait_with_output().context("cannot wait for openssl")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(output.stdout)
}
