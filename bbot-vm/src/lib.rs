//! One QEMU guest: process, QMP, tap, TFTP redirection
