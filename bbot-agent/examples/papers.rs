//! Writes what is packed beside the program: its manual page, and completions for shells.
//!
//! `cargo run -p bbot-agent --example papers -- FOLDER`

use std::fs;
use std::io;
use std::path::Path;

use clap_complete::{Shell, generate_to};

#[allow(dead_code, reason = "the program's own module, of which only the definition is needed")]
#[path = "../src/cli.rs"]
mod cli;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).ok_or_else(|| io::Error::other("no folder given"))?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    clap_mangen::Man::new(cli::definition()).generate_to(folder)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        generate_to(shell, &mut cli::definition(), "bbot-agent", folder)?;
    }
    Ok(())
}
