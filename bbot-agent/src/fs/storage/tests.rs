//! Reserved room, on the file system of the host.

use super::*;

/// W48: what is reserved has room and no content, is not reserved twice, and keeps its room when it
/// is filled; the rest of it can be released.
#[test]
fn reserved_room_is_filled_and_released() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("answer.reserved");
    let blocks = || fs::metadata(&path).unwrap().blocks() * BLOCK;
    assert!(RealStorage.reserve(&path, 0o600, 1 << 20).unwrap());
    assert!(!RealStorage.reserve(&path, 0o600, 1 << 20).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert!(blocks() >= 1 << 20);
    for content in ["a longer content", "content"] {
        RealStorage.fill(&path, content.as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
    }
    RealStorage.trim(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "content");
    assert!(blocks() <= 64 << 10, "{}", blocks());
    assert!(RealStorage.reserve(&path, 0o600, 1 << 20).unwrap());
    assert!(blocks() >= 1 << 20);
}
