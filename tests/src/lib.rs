//! The farm for demo and tests.
