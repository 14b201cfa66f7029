//! What a subscriber of `tracing` hears of a `Kernel`.

mod support;

use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use nftmesh::kernel::Kernel;
use nftmesh::prelude::*;
use support::in_fresh_netns;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Writes down spans and events, each with its fields and indented by the spans that it is in.
#[derive(Clone, Default)]
struct Heard {
    lines: Arc<Mutex<Vec<String>>>,
    depth: Arc<AtomicU64>,
}

impl Heard {
    fn line(&self, name: &str, fields: &[String]) {
        let indent = "  ".repeat(self.depth.load(Ordering::Relaxed) as usize);
        let fields: String = fields.iter().map(|field| format!(" {field}")).collect();
        self.lines.lock().expect("no panic while locked").push(format!("{indent}{name}{fields}"));
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lines.lock().expect("no panic while locked"))
    }

    fn hear<T>(&self, body: impl FnOnce() -> T) -> (T, Vec<String>) {
        let outcome = tracing::subscriber::with_default(self.clone(), body);
        (outcome, self.take())
    }
}

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

impl Subscriber for Heard {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "nftmesh"
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        span.record(&mut fields);
        self.line(span.metadata().name(), &fields.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.line(event.metadata().name(), &fields.0);
    }

    fn enter(&self, _: &Id) {
        self.depth.fetch_add(1, Ordering::Relaxed);
    }

    fn exit(&self, _: &Id) {
        self.depth.fetch_sub(1, Ordering::Relaxed);
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
        let heard = Heard::default();
        let mut kernel = Kernel::open().expect("a socket");
        kernel.apply(&table(&[])).expect("nothing is there");
        let (applied, lines) = heard.hear(|| kernel.apply(&table(&[80])));
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

        let (snapshot, lines) = heard.hear(|| kernel.snapshot());
        assert!(snapshot.is_ok());
        assert_eq!(lines, ["read", "  generation generation"]);

        // Nothing is done when nothing differs, and a check is a dry run.
        assert_eq!(heard.hear(|| kernel.apply(&table(&[80]))).1, ["apply tables=1"]);
        let missing = Transaction::new().delete_table(&TableId::new(Family::Ip, "missing"));
        let (outcome, lines) = heard.hear(|| kernel.check(&missing));
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
        let heard = Heard::default();
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
                let (applied, lines) = heard.hear(|| kernel.apply(&table(&[port])));
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
