//! Requests of real results, signed by a real key.

use bbot_manifest::Manifest;

use super::*;
use crate::controller::auth::tests::{key_pair, openssl, signer};

const RESULT: &str = ": 1\nname: foo\nversion: 1.2.3\nstatus: error\nupdate-status: error\n\
                      update-log: line 1\n";

fn entry(session: &str) -> Entry {
    Entry {
        session: session.to_owned(),
        result_url: "https://ci.example.org/?build-result".to_owned(),
        challenge: Some("a".to_owned()),
        fingerprint: Some("f00".to_owned()),
        artifacts: Vec::new(),
        result: bbot_manifest::ResultManifest::parse(RESULT.as_bytes(), "result").unwrap(),
    }
}

/// W37, W38: signed when it is posted, in long lines.
#[test]
fn a_request_is_signed_and_has_long_lines() {
    let folder = key_pair();
    let signer = signer(folder.path(), &[]).unwrap();
    let mut entry = entry("s");
    entry.challenge = Some("0123abcd".to_owned());
    entry.fingerprint = Some(signer.key().unwrap().fingerprint);
    entry.result.results[0].log = "word ".repeat(100) + "end";
    let signature = signature(&entry, Some(&signer)).unwrap();
    let text = String::from_utf8(result_request(&entry, signature).unwrap()).unwrap();
    assert!(text.starts_with(": 1\nsession: s\nchallenge:\n\\\n"), "{text}");
    assert!(text.contains("\nagent-checksum: 2\n:\nname: foo\n"), "{text}");
    assert!(text.contains(&format!("\nupdate-log: {}\n", entry.result.results[0].log)), "{text}");

    let request = ResultRequest::parse(text.as_bytes(), "request").unwrap();
    let public = folder.path().join("public.pem").to_str().unwrap().to_owned();
    let verify = ["pkeyutl", "-verifyrecover", "-pubin", "-inkey", &public];
    assert_eq!(openssl(&verify, &request.challenge.unwrap()), b"0123abcd");
}

/// W37: a signature by another key would cost the result.
#[test]
fn only_the_challenged_key_signs() {
    let folder = key_pair();
    let signer = signer(folder.path(), &[]).unwrap();
    let entry = entry("s");
    let error = signature(&entry, Some(&signer)).unwrap_err();
    assert!(matches!(error, RequestError::OtherKey { .. }), "{error:?}");
    let error = signature(&entry, None).unwrap_err();
    assert_eq!(error.to_string(), "there is no --auth-key for the challenge, whose key is f00");
    let plain = Entry { challenge: None, ..entry };
    assert!(signature(&plain, Some(&signer)).unwrap().is_none());
    let text = String::from_utf8(result_request(&plain, None).unwrap()).unwrap();
    assert!(text.starts_with(": 1\nsession: s\nagent-checksum: 2\n:\n"), "{text}");
}

/// F.5: the controller's limit.
#[test]
fn a_request_over_10_mib_is_refused() {
    let mut entry = Entry { challenge: None, ..entry("s") };
    entry.result.results[0].log = String::new();
    let rest = result_request(&entry, None).unwrap().len() + 1;
    entry.result.results[0].log = "x".repeat((10 << 20) - rest);
    assert_eq!(result_request(&entry, None).unwrap().len(), 10 << 20);
    entry.result.results[0].log.push('x');
    let error = result_request(&entry, None).unwrap_err();
    let text = "the result request has 10485761 bytes, more than 10485760";
    assert_eq!(error.to_string(), text);
}
