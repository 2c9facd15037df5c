//! Kills the agent, and checks that it keeps its promises.
//!
//! * `campaign` performs runs, one seed each.
//! * `trace` runs a program, logs its effects, kills it at one of them, or makes one fail.

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bbot_tests::campaign::{CampaignOptions, TraceOptions, campaign, trace};
use bbot_tests::harness::programs::exit_code;

const USAGE: &str = "usage: bbot-crash campaign [--runs NUMBER] [--seed NUMBER] [--jobs NUMBER]
       bbot-crash trace [--kill NUMBER] [--fail EFFECT] [--log FILE] -- PROGRAM [ARGUMENT]...";

fn main() -> ExitCode {
    exit_code("bbot-crash", run())
}

fn run() -> Result<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next().as_deref().and_then(std::ffi::OsStr::to_str) {
        Some("campaign") => run_campaign(campaign_options(arguments)?),
        Some("trace") => trace(&trace_options(arguments)?),
        _ => bail!("{USAGE}"),
    }
}

fn run_campaign(options: CampaignOptions) -> Result<ExitCode> {
    let report = |text: &str| {
        // Nothing is left to do if even this cannot be written.
        drop(writeln!(std::io::stderr(), "{text}\n"));
    };
    let summary = campaign(options, &report);
    writeln!(std::io::stdout(), "seeds from {}: {summary}", options.seed)?;
    Ok(if summary.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn campaign_options(mut arguments: impl Iterator<Item = OsString>) -> Result<CampaignOptions> {
    let jobs = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seed = std::time::UNIX_EPOCH.elapsed()?.as_secs();
    let mut options = CampaignOptions { runs: 20, seed, jobs };
    while let Some(argument) = arguments.next() {
        let mut value = || number(&arguments.next().context(USAGE)?);
        match argument.to_str() {
            Some("--runs") => options.runs = value()?,
            Some("--seed") => options.seed = value()?,
            Some("--jobs") => options.jobs = value()?.try_into()?,
            _ => bail!("unknown argument {}\n{USAGE}", argument.display()),
        }
    }
    Ok(options)
}

fn trace_options(mut arguments: impl Iterator<Item = OsString>) -> Result<TraceOptions> {
    let mut options = TraceOptions::default();
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context(USAGE);
        match argument.to_str() {
            Some("--kill") => options.kill = Some(number(&value()?)?),
            Some("--fail") => {
                let effect = value()?.into_string();
                options.fail = Some(effect.ok().context("an effect is UTF-8")?);
            }
            Some("--log") => options.log = Some(value()?.into()),
            Some("--") => {
                options.command = arguments.collect();
                return Ok(options);
            }
            _ => bail!("unknown argument {}\n{USAGE}", argument.display()),
        }
    }
    bail!("{USAGE}")
}

fn number(text: &OsString) -> Result<u64> {
    let number = text.to_str().and_then(|text| text.parse().ok());
    number.with_context(|| format!("{} is not a number", text.display()))
}
