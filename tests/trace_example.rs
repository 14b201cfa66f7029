//! The example `trace`: live packets in the format of walks, filters by flags, and nothing left
//! behind however it ends.

#![cfg(all(feature = "mesh", feature = "sim", feature = "import", feature = "proxy"))]

mod support;

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use nftmesh::kernel::{NetNs, TraceFilter};
use nftmesh::model::Rule;
use support::anyone::runnable_by_anyone;
use support::patience::{comes_true_within, patience};
use support::running::{PATIENCE, Running};
use support::version::{TRACED_CONNECTIONS, in_traced_netns, linux, needs_linux};
use support::{command, example, ip, needs_root, nft, nft_script, sys};

/// Starts a trace in this thread's namespace, and waits for its table.
fn start(words: &[&str]) -> Running {
    let mut tracing = Running::start("trace", words, Stdio::piped());
    let mut ready = String::new();
    let stderr = tracing.child.stderr.take().expect("stderr is a pipe");
    BufReader::new(stderr).read_line(&mut ready).expect("it says that it is ready");
    assert!(ready.starts_with("trace: tracing by table inet nftmesh-trace-"), "{ready}");
    tracing
}

const RULES: &str = "table inet t {
    chain nat { type nat hook output priority -100; udp dport 5000 redirect to :5001; }
    chain out { type filter hook output priority 0; udp dport 5001 jump marks; }
    chain marks { meta mark set 7; }
    chain in { type filter hook input priority 0; policy accept; udp dport 9 accept; meta mark 7 counter drop; }
}";

/// Output about the connection, where the kernel reports it.
const TRACKED: &str = "    connection tracking: new\n";

fn send(to: &str) {
    client().send_to(b"hello", to).expect("lo is up");
}

fn client() -> UdpSocket {
    sys::udp(([127, 0, 0, 1], 4000).into()).expect("the address is here")
}

#[test]
fn a_datagram_prints_as_a_walk_and_a_signal_leaves_no_table() {
    for signal in ["INT", "TERM"] {
        in_traced_netns(|| {
            nft_script(RULES);
            let before = nft("list tables");
            let mut tracing = start(&["--protocol", "udp", "--port", "5000"]);
            send("127.0.0.1:6000");
            send("127.0.0.1:5000");
            let printed = tracing.until("DROPPED");
            let expected = "\
packet 1: udp 127.0.0.1:4000 -> 127.0.0.1:5000 length 33
output, out by lo: udp 127.0.0.1:4000 -> 127.0.0.1:5000 length 33
    connection tracking: new
  chain inet t nat: type nat hook output priority -100; policy accept;
    + rule 1 (handle 5): udp dport 5000 redirect to :5001
    destination 127.0.0.1:5000 becomes 127.0.0.1:5001
    now udp 127.0.0.1:4000 -> 127.0.0.1:5001 length 33
  chain inet t out: type filter hook output priority filter; policy accept;
    + rule 1 (handle 6): udp dport 5001 jump marks
  chain inet t marks
    + rule 1 (handle 7): meta mark set 0x00000007
    mark 0x0 becomes 0x7
    now udp 127.0.0.1:4000 -> 127.0.0.1:5001 mark 0x7 length 33
    no rule decides: policy accept
comes in again through lo
input, in by lo: udp 127.0.0.1:4000 -> 127.0.0.1:5001 mark 0x7 length 33
  chain inet t in: type filter hook input priority filter; policy accept;
    + rule 2 (handle 9): meta mark 0x00000007 drop
DROPPED by inet t in, rule 2 (handle 9)
";
            let reported =
                if linux() < TRACED_CONNECTIONS { expected.replace(TRACKED, "") } else { expected.to_owned() };
            support::assert_same(&reported, &(printed.join("\n") + "\n"), &nft("-a list ruleset"));
            assert_eq!(tracing.end(signal), (Some(0), Vec::new()), "{signal}");
            assert_eq!(nft("list tables"), before, "{signal}");
        });
    }
}

#[test]
fn the_story_of_a_packet_goes_on_where_it_comes_in_again_through_lo() {
    in_traced_netns(|| {
        nft_script(RULES);
        let filter = TraceFilter::from(Rule::new().udp_dport(5000));
        let mut stories = NetNs::current().and_then(|namespace| namespace.stories(filter)).expect("may be opened");
        assert_eq!(stories.try_next().expect("the socket can be read"), None);
        send("127.0.0.1:5000");
        let mut told = String::new();
        for step in stories.by_ref() {
            told.push_str(&step.expect("the socket can be read"));
            if told.contains("DROPPED") {
                break;
            }
        }
        let lo = "comes in again through lo\ninput, in by lo: udp 127.0.0.1:4000 -> 127.0.0.1:5001 mark 0x7";
        assert!(told.contains(lo), "{told}");
        assert!(told.contains("rule 2 (handle 9): meta mark 0x00000007 drop"), "{told}");
    });
}

#[test]
fn the_documented_trace_is_what_the_example_prints() {
    if !needs_root() || !needs_linux(TRACED_CONNECTIONS, "state of the connection in traces") {
        return;
    }
    let readme = include_str!("../docs/walks.md");
    let (_, rest) = readme.split_once("$ trace ").expect("a trace");
    let (words, rest) = rest.split_once('\n').expect("its output");
    let (shown, _) = rest.split_once("```\n").expect("its end");
    in_traced_netns(|| {
        for words in ["link add eth0 type veth peer name peer", "link set eth0 up", "addr add 10.77.0.2/24 dev eth0"] {
            ip(words);
        }
        let install = command(&example("istio-init").to_string_lossy())
            .args(["-i", "*", "-b", "*", "-d", "15090,15021,15020"])
            .output()
            .expect("it runs");
        assert!(install.status.success(), "{install:?}");
        let mut tracing = start(&words.split(' ').collect::<Vec<_>>());
        thread::scope(|scope| {
            // A user is the property of a thread.
            scope.spawn(|| {
                sys::become_user(1000, 1000, sys::Capabilities::None).expect("root becomes anybody");
                let to = ([10, 77, 0, 1], 9000).into();
                let socket = sys::socket(to, libc::SOCK_STREAM).expect("a socket");
                sys::bind(&socket, ([10, 77, 0, 2], 40000).into()).expect("our own address");
                sys::connect(&socket, to).expect_err("no proxy listens");
            });
        });
        assert_eq!(tracing.child.wait().expect("it is our child").code(), Some(0));
        let printed: String = tracing.printed.iter().map(|line| line + "\n").collect();
        support::assert_same(shown, &printed, "docs/walks.md: trace");
    });
}

#[test]
fn a_kill_leaves_no_table_and_a_count_ends_the_trace() {
    in_traced_netns(|| {
        nft_script(RULES);
        let before = nft("list tables");
        let mut tracing = start(&[]);
        assert_ne!(nft("list tables"), before);
        assert_eq!(tracing.end("KILL").0, None);
        assert!(comes_true_within(PATIENCE, || nft("list tables") == before), "{}", nft("list tables"));

        let mut counting = start(&["--uid", "0", "--address", "127.0.0.0/8", "--count", "2"]);
        for _ in 0..3 {
            send("127.0.0.1:6000");
        }
        assert_eq!(counting.child.wait().expect("it is our child").code(), Some(0));
        let printed: Vec<String> = counting.printed.iter().filter(|line| line.starts_with("packet ")).collect();
        assert_eq!(printed.len(), 2, "{printed:#?}");
        assert_eq!(nft("list tables"), before);
    });
}

#[test]
fn the_example_ends_when_its_output_is_closed() {
    in_traced_netns(|| {
        nft_script(RULES);
        let before = nft("list tables");
        let mut command = command(&example("trace").to_string_lossy());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the example runs");
        let mut ready = String::new();
        let stderr = child.stderr.take().expect("stderr is a pipe");
        BufReader::new(stderr).read_line(&mut ready).expect("it says that it is ready");
        drop(child.stdout.take());
        let since = Instant::now();
        let status = loop {
            send("127.0.0.1:6000");
            match child.try_wait().expect("it is our child") {
                Some(status) => break status,
                None if since.elapsed() > patience(PATIENCE) => panic!("{:?}: it goes on", child.kill()),
                None => thread::sleep(Duration::from_millis(10)),
            }
        };
        assert_eq!((status.code(), nft("list tables")), (Some(0), before));
    });
}

#[test]
fn without_the_capability_the_example_names_it() {
    if !support::needs_root() {
        return;
    }
    in_traced_netns(|| {
        let words = "--reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all";
        let program = runnable_by_anyone(&example("trace"));
        let output = command("setpriv").args(words.split(' ')).arg(program).output().expect("setpriv runs");
        let printed = String::from_utf8_lossy(&output.stderr);
        let expected = "trace: trace nf_tables: CAP_NET_ADMIN is missing in the user namespace that owns this network namespace (EPERM)\n";
        assert_eq!((output.status.code(), &*printed), (Some(1), expected));
    });
}

#[test]
fn rules_added_later_are_shown_and_bad_input_is_refused_with_the_reason() {
    in_traced_netns(|| {
        ip("link add one type veth peer name other");
        let mut tracing = start(&["live", "--out", "l*"]);
        nft_script("table ip late { chain out { type filter hook output priority 0; udp dport 6000 reject; }; }");
        // The answer is traced in the middle of its packet.
        drop(client().send_to(b"hello", "127.0.0.1:6000"));
        let printed = tracing.until("REJECTED by ip late out, rule 1 ");
        assert!(printed.iter().any(|line| line.starts_with("packet 1: ")), "{printed:#?}");
        tracing.end("INT");

        let cases: &[(&[&str], &str)] = &[
            (&["save:rules"], "trace: only a kernel has packets to trace; give live or netns:PATH"),
            (&["netns:/nonexistent"], "trace: "),
            (&["--protocol", "tcq"], "trace: --protocol <PROTOCOL>: \"tcq\" is not a protocol; give tcp, udp"),
            (&["--address", ""], "trace: --address <ADDRESS[/LENGTH]>: \"\" is not an address; give one such as"),
            (&["--uid", "x"], "trace: --uid <UID> \"x\": "),
            (
                &["--protocol", "icmp", "--port", "5"],
                "trace: --port: this --protocol has no ports; leave one of them out",
            ),
        ];
        for (words, start) in cases {
            let output = command(&example("trace").to_string_lossy()).args(*words).output().expect("the example runs");
            let printed = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(
                output.status.code() == Some(1) && printed.starts_with(start) && printed.lines().count() == 1,
                "{printed}"
            );
        }
    });
}
