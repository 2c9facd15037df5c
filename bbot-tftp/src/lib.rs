//! TFTP server and client with confined, bounded, atomic storage
