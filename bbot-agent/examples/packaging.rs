//! Generates the files that a package ships beside the program: its manual page, and completions
//! for shells.
//!
//! `cargo run -p bbot-agent --example packaging -- FOLDER`

use std::fs;
use std::io;
use std::path::Path;

use bbot_agent::cli;
use clap_complete::{Shell, generate_to};

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
