//! What a subscriber of `tracing` hears of a `Kernel`.

mod support;

use std::cell::RefCell;
use std::fmt::Debug;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use nftmesh::kernel::Kernel;
use nftmesh::prelude::*;
use support::in_fresh_netns;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

thread_local! {
    /// What this thread hears, while it listens.
    static HEARD: RefCell<Option<Heard>> = const { RefCell::new(None) };
}

/// Spans and events, each with its fields and indented by the spans that it is in.
#[derive(Default)]
struct Heard {
    lines: Vec<String>,
    depth: usize,
}

impl Heard {
    /// Changes what this thread hears, if it listens.
    fn here(change: impl FnOnce(&mut Heard)) {
        HEARD.with_borrow_mut(|heard| heard.as_mut().map(change));
    }

    fn line(name: &str, fields: &Fields) {
        let fields: String = fields.0.iter().map(|field| format!(" {field}")).collect();
        Heard::here(|heard| heard.lines.push(format!("{}{name}{fields}", "  ".repeat(heard.depth))));
    }
}

/// Returns what this thread hears of a `body`.
fn hear<T>(body: impl FnOnce() -> T) -> (T, Vec<String>) {
    // A subscriber of one thread may miss spans that another thread comes to first: whether a place
    // is of interest is stored once for all threads.
    static LISTENS: Once = Once::new();
    LISTENS.call_once(|| tracing::subscriber::set_global_default(Ears).expect("nobody else listens"));
    HEARD.set(Some(Heard::default()));
    let outcome = body();
    (outcome, HEARD.take().unwrap_or_default().lines)
}

/// Writes down what each thread hears.
struct Ears;

/// The fields that do not depend on the kernel's numbers.
#[derive(Default)]
struct Fields(Vec<String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => {}
            "bytes" | "generation" => self.0.push(field.name().to_owned()),
            name => self.0.push(format!("{name}={value:?}")),
        }
    }
}

impl Subscriber for Ears {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "nftmesh"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        Heard::line(span.metadata().name(), &fields);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        Heard::line(event.metadata().name(), &fields);
    }

    fn enter(&self, _: &Id) {
        Heard::here(|heard| heard.depth += 1);
    }

    fn exit(&self, _: &Id) {
        Heard::here(|heard| heard.depth -= 1);
    }
}

fn table(ports: &[u16]) -> Ruleset {
    let rules = ports.iter().map(|port| Rule::new().tcp_dport(*port..=port + 10).drop());
    let lists = ports.iter().map(|port| Rule::new().tcp_dport((*port..=port + 1, 9_000_u16)).drop());
    let input = Chain::base("input", ChainType::Filter, Hook::Input, Priority::FILTER);
    Ruleset::new().table(Table::new(Family::Inet, "guard").chain(input.rules(rules.chain(lists))))
}

#[test]
fn commits_staging_and_generations_are_spans_and_events() {
    in_fresh_netns(|| {
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&table(&[])).expect("nothing is there");
        let (applied, lines) = hear(|| kernel.apply(&table(&[80])));
        assert_eq!(applied.expect("it is valid").staged.len(), 1);
        // What is there is remembered, so that only the part that differs is read.
        let expected = [
            "apply tables=1",
            "  commit operations=",
            "    taken",
            "  staged operations=",
            "  commit operations=",
            "    taken",
        ];
        assert_eq!(lines.len(), expected.len(), "{lines:#?}");
        assert!(lines.iter().zip(expected).all(|(line, start)| line.starts_with(start)), "{lines:#?}");
        let ends = |number: usize, end| lines.get(number).is_some_and(|line| line.ends_with(end));
        assert!(ends(1, "bytes dry_run=false") && ends(3, "switches=false"), "{lines:#?}");

        let (snapshot, lines) = hear(|| kernel.snapshot());
        assert!(snapshot.is_ok());
        assert_eq!(lines, ["read", "  generation generation"]);

        // Nothing is done when nothing differs, and a check is a dry run.
        assert_eq!(hear(|| kernel.apply(&table(&[80]))).1, ["apply tables=1"]);
        let missing = Transaction::new().delete_table(&TableId::new(Family::Ip, "missing"));
        let (outcome, lines) = hear(|| kernel.check(&missing));
        assert!(outcome.is_err());
        assert_eq!(lines, ["commit operations=1 bytes dry_run=true", "  refused refusals=1"]);
    });
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_commit_of_somebody_else_is_a_retry() {
    in_fresh_netns(|| {
        let is_over = AtomicBool::new(false);
        let mut kernel = Kernel::open().expect("a socket");
        let mut other = Kernel::open().expect("a socket");
        std::thread::scope(|scope| {
            // However this ends, the other writer ends too.
            let _ends = Over(&is_over);
            scope.spawn(|| {
                let noise = Transaction::new().add_table(&TableId::new(Family::Ip, "noise"));
                let silence = Transaction::new().delete_table(&TableId::new(Family::Ip, "noise"));
                while !is_over.load(Ordering::Relaxed) {
                    other.commit(&noise).expect("it is valid");
                    other.commit(&silence).expect("it is there");
                }
            });
            let mut retries = 0;
            for port in 1..1_000 {
                let (applied, lines) = hear(|| kernel.apply(&table(&[port])));
                let Ok(applied) = applied else { continue };
                let reported = lines.iter().filter(|line| line.starts_with("  retry ")).count();
                assert_eq!(reported, applied.retries, "{lines:#?}");
                retries += applied.retries;
                if retries > 0 {
                    break;
                }
            }
            assert!(retries > 0, "nobody came first in 1,000 times");
        });
    });
}
