//! Reads the worker's result file: of bounded size, and complete.

use std::fs::File;
use std::io;
use std::path::Path;

use bbot_manifest::{Manifest, ResultManifest};
use thiserror::Error;

use crate::fs::bounded_read;

/// The most bytes that a result may have, compressed or not: what a controller takes (10 MiB).
const LIMIT: u64 = 10 << 20;

/// Why a result file cannot be used (W27: the result is *unreadable*).
#[derive(Debug, Error)]
pub(super) enum ResultError {
    #[error("cannot read the result")]
    Read(#[source] io::Error),
    #[error("the result is over {LIMIT} bytes")]
    TooLarge,
    #[error("the result is not a whole LZ4 frame: {0}")]
    Frame(&'static str),
    #[error("cannot decompress the result")]
    Decompress(#[source] io::Error),
    #[error("cannot parse the result")]
    Manifest(#[source] bbot_manifest::Error),
}

/// Reads and parses the result in `file`; a name that ends in `.lz4` is decompressed.
pub(super) fn read(file: &Path) -> Result<ResultManifest, ResultError> {
    let bytes = File::open(file).and_then(|file| bounded_read::whole(file, LIMIT));
    let bytes = bytes.map_err(ResultError::Read)?.ok_or(ResultError::TooLarge)?;
    let text =
        if file.extension().is_some_and(|e| e == "lz4") { decompress(&bytes)? } else { bytes };
    ResultManifest::parse(&text, &file.display().to_string()).map_err(ResultError::Manifest)
}

/// Decompresses exactly one LZ4 frame (D11).
fn decompress(bytes: &[u8]) -> Result<Vec<u8>, ResultError> {
    check_frame(bytes).map_err(ResultError::Frame)?;
    let mut decoder = lz4::Decoder::new(bytes).map_err(ResultError::Decompress)?;
    let text = bounded_read::whole(&mut decoder, LIMIT).map_err(ResultError::Decompress)?;
    let text = text.ok_or(ResultError::TooLarge)?;
    decoder.finish().1.map_err(ResultError::Decompress)?;
    Ok(text)
}

/// Checks the frame's structure: the decoder reports neither bytes that follow the frame nor the
/// absence of a checksum.
///
/// Source: LZ4 Frame Format Description 1.6.
fn check_frame(bytes: &[u8]) -> Result<(), &'static str> {
    const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
    const CUT: &str = "it is truncated";

    let rest = bytes.strip_prefix(&MAGIC).ok_or("the magic number is missing")?;
    let flags = *rest.first().ok_or(CUT)?;
    if flags >> 6 != 1 {
        return Err("unknown version");
    }
    let has = |bit: u8| flags & (1 << bit) != 0;
    if !has(2) {
        return Err("it has no content checksum");
    }
    let header = 3 + if has(3) { 8 } else { 0 } + if has(0) { 4 } else { 0 };
    let mut rest = rest.get(header..).ok_or(CUT)?;
    loop {
        let (size, tail) = rest.split_first_chunk::<4>().ok_or(CUT)?;
        // The highest bit marks a block that is not compressed.
        let size = u32::from_le_bytes(*size) & 0x7FFF_FFFF;
        if size == 0 {
            return match tail.len() {
                0..4 => Err(CUT),
                4 => Ok(()),
                _ => Err("bytes follow it"),
            };
        }
        let block = size as usize + if has(4) { 4 } else { 0 };
        rest = tail.get(block..).ok_or(CUT)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn frame(content: &[u8]) -> Vec<u8> {
        let mut encoder = lz4::EncoderBuilder::new()
            .checksum(lz4::ContentChecksum::ChecksumEnabled)
            .block_size(lz4::BlockSize::Max64KB)
            .build(Vec::new())
            .unwrap();
        encoder.write_all(content).unwrap();
        let (bytes, result) = encoder.finish();
        result.unwrap();
        bytes
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(1);
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    }

    #[test]
    fn a_whole_frame_is_decompressed() {
        for content in [vec![b'x'], vec![b'a'; 1_000_000], noise(300_000)] {
            assert_eq!(decompress(&frame(&content)).unwrap(), content);
        }
    }

    /// W28: an upload that broke off does not count, wherever it broke off.
    #[test]
    fn every_truncation_is_refused() {
        let whole = frame(&noise(200_000));
        let cuts =
            (0..64).chain((64..whole.len()).step_by(997)).chain(whole.len() - 12..whole.len());
        for cut in cuts {
            assert!(decompress(&whole[..cut]).is_err(), "cut at {cut} of {}", whole.len());
        }
    }

    #[test]
    fn bytes_after_the_frame_and_damage_are_refused() {
        let mut longer = frame(b"content");
        longer.push(0);
        assert!(matches!(decompress(&longer), Err(ResultError::Frame("bytes follow it"))));
        let mut damaged = frame(&noise(1000));
        damaged[500] ^= 1;
        assert!(matches!(decompress(&damaged), Err(ResultError::Decompress(_))));
        assert!(matches!(decompress(b""), Err(ResultError::Frame(_))));
    }

    /// A small frame may decompress to much: the limit holds for what comes out, too.
    #[test]
    fn a_bomb_is_refused() {
        let bomb = frame(&vec![0; usize::try_from(LIMIT).unwrap() + 1]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(decompress(&bomb), Err(ResultError::TooLarge)));
    }

    #[test]
    fn reads_both_names() {
        let dir = tempfile::tempdir().unwrap();
        let text = b": 1\nname: foo\nversion: 1.2.3\nstatus: success\n";
        let plain = dir.path().join("result.manifest");
        std::fs::write(&plain, text).unwrap();
        assert_eq!(read(&plain).unwrap().name.to_string(), "foo");
        let packed = dir.path().join("result.manifest.lz4");
        std::fs::write(&packed, frame(text)).unwrap();
        assert_eq!(read(&packed).unwrap().version.to_string(), "1.2.3");
        std::fs::write(&packed, text).unwrap();
        assert!(matches!(read(&packed), Err(ResultError::Frame(_))));
    }
}
