//! The manifest text format of build2 and the typed manifests of the bbot protocol
