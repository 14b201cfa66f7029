//! Checks whether two rule sets do the same with every packet, and if not, prints a packet that
//! shows the difference.
//!
//! ```text
//! compare live "istio:-i '*' -b '*'"
//! compare save:rules.v4,rules.v6 "istio:-m TPROXY -i '*' -b '*' -d 15090,15021,15020"
//! compare nft:rules.nft nft:rules.next.nft
//! compare netns:/var/run/netns/pod-1 netns:/var/run/netns/pod-2
//! compare save:rules.v4 nft:rules.nft --outside 'ct state invalid' --outside 'tcp dport 22'
//! ```
//! On a terminal it reports its progress on standard error.
//!
//! Exit codes: 0 equal, 1 different, 2 cannot tell (also for bad input, as in diff(1)). Only rules
//! are compared, not routes.

mod common;

use std::cell::RefCell;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use common::source::{Complaint, Loaded, Pod, Source};
use nftmesh::model::{Rule, Statement};
use nftmesh::sim::{Compare, Comparison, Rules};
use nftmesh::text::TextError;

/// Compares two rule sets over all packets, and shows one that they treat differently
#[derive(Parser)]
#[command(name = "compare", after_help = "Exit codes: 0 equal, 1 different, 2 cannot tell or bad input.")]
struct Args {
    /// live, netns:PATH, save:FILE4[,FILE6[,IPSETS]], nft:FILE, 'istio:ENV=VALUE... FLAGS...',
    /// 'linkerd:FLAGS...', 'kuma:FLAGS...', 'ambient:ENV=VALUE... ANNOTATION=VALUE...', or
    /// 'ambient-host:ENV=VALUE...'
    a: Source,
    /// Likewise
    b: Source,
    /// Leaves out the packets that match all of this, in nft's language, such as 'ct state
    /// invalid'; may be given again
    #[arg(long, value_name = "MATCHES", value_parser = matches)]
    outside: Vec<Rule>,
    #[command(flatten)]
    pod: Pod,
}

/// Reads matches as a rule without a verdict.
fn matches(text: &str) -> Result<Rule, Complaint> {
    let rule: Rule = text.parse().map_err(|cause: TextError| cause.one_line())?;
    match rule.statements.iter().all(|statement| matches!(statement, Statement::Match(_))) {
        true => Ok(rule),
        false => Err("give matches and no verdict, such as 'ct state invalid tcp dport 80'".to_owned()),
    }
}

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(help) if !help.use_stderr() => return done(&help.to_string(), ExitCode::SUCCESS),
        Err(error) => return failed(format!("{}; --help lists all options", common::first_line(&error))),
    };
    run(&args).unwrap_or_else(failed)
}

fn run(Args { a, b, outside, pod }: &Args) -> Result<ExitCode, Complaint> {
    let load = |source: &Source, name: &str| {
        let Loaded { rules, warnings, .. } = source.load(pod)?;
        warnings.iter().for_each(|warning| common::complain("compare", format_args!("{name}: {warning}")));
        Ok::<_, Complaint>(rules)
    };
    let answer = compared(&load(a, "a")?, &load(b, "b")?, outside);
    let code = match &answer {
        Comparison::Equivalent { .. } => ExitCode::SUCCESS,
        Comparison::Differs(_) => ExitCode::FAILURE,
        _ => ExitCode::from(CANNOT_TELL),
    };
    Ok(done(&format!("{}\n", answer.to_string().trim_end()), code))
}

/// Runs the comparison; on a terminal, a line shows the progress and is cleared at the end.
fn compared(a: &Rules, b: &Rules, outside: &[Rule]) -> Comparison {
    let compare = outside.iter().cloned().fold(Compare::new(a, b), Compare::outside);
    let mut stderr = std::io::stderr();
    if !stderr.is_terminal() {
        return compare.run();
    }
    let printed_at: RefCell<Option<Instant>> = RefCell::default();
    let answer = compare
        .watched_by(&|progress| {
            let mut printed_at = printed_at.borrow_mut();
            if printed_at.is_none_or(|printed_at| printed_at.elapsed() >= EVERY) {
                // A terminal that is gone does not stop a comparison.
                drop(write!(std::io::stderr(), "\rcompare: {progress}{CLEAR}"));
                *printed_at = Some(Instant::now());
            }
        })
        .run();
    drop(write!(stderr, "\r{CLEAR}"));
    answer
}

fn done(text: &str, code: ExitCode) -> ExitCode {
    common::print(text).map_or_else(failed, |()| code)
}

fn failed(why: impl std::fmt::Display) -> ExitCode {
    common::complain("compare", why);
    ExitCode::from(CANNOT_TELL)
}

const CANNOT_TELL: u8 = 2;
/// The time between two progress reports.
const EVERY: Duration = Duration::from_millis(100);
/// Clears the rest of the line: "erase in line" of ECMA-48.
const CLEAR: &str = "\x1b[K";
