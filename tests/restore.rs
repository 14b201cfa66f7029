//! What was read from the kernel goes back as it was read: a copy of a table, made of its snapshot, is the same table.
//!
//! Every table is copied under another name into the same namespace, by the messages that restore it. Then both are read, compared
//! down to the bytes, and listed by nft. The big inputs are beside the project (`../shared/nft-corpus`); what is here has one of
//! everything.

mod support;

use std::fs;
use std::path::PathBuf;

use nftmesh::bytecode::{Expr, LookupSet};
use nftmesh::fuzz;
use nftmesh::kernel::Kernel;
use nftmesh::plan::{ChainState, Operation, Position, Snapshot, State, TableId, TableState, Transaction};
use support::{assert_same, command, in_fresh_netns, nft, nft_script, say};

#[test]
fn a_table_with_one_of_everything_is_copied_whole() {
    in_fresh_netns(|| {
        for script in EVERYTHING {
            nft_script("flush ruleset");
            nft_script(script);
            copies_are_the_same();
        }
    });
}

const EVERYTHING: &[&str] = &[
    r#"table inet t {
        comment "of the table"
        counter seen { packets 7 bytes 900 }
        quota most { over 5 mbytes used 3 kbytes }
        limit often { rate 10/second burst 20 packets }
        limit much { rate over 1 mbytes/second }
        ct helper ftp { type "ftp" protocol tcp; l3proto ip; }
        ct timeout slow { protocol tcp; l3proto ip; policy = { established: 100, close: 4 }; }
        ct expectation expected { protocol tcp; dport 9876; timeout 2m; size 12; l3proto ip; }
        synproxy shield { mss 1460; wscale 7; timestamp sack-perm; }
        chain c {
            type filter hook input priority -7; policy drop;
            comment "of the chain"
            counter name "seen" limit name "often" quota name "most" accept
            tcp dport 21 ct helper set "ftp"
            ct timeout set "slow" ct expectation set "expected"
            synproxy name "shield"
            numgen random mod 10 < 3 drop comment "of the rule"
            ip saddr and 255.255.0.0 == 10.0.0.0 meta mark set jhash ip saddr mod 7 seed 0x55 offset 3
            tcp option maxseg size set 1400
            ct count over 5 reject with tcp reset
            exthdr frag exists drop
            ip dscp set cs1 ip ttl set 3
            quota over 3 mbytes used 1 kbytes drop
            meta random > 7 log prefix "x" group 2 snaplen 32 queue-threshold 3
            socket cgroupv2 level 1 "/" accept
        }
    }"#,
    r#"table ip t {
        map objects { type inet_service : counter; elements = { 80 : "one", * : "two" } }
        counter one { packets 0 bytes 0 }
        counter two { packets 3 bytes 4 }
        set counted { type ipv4_addr; counter; elements = { 10.0.0.1 counter packets 5 bytes 6, 10.0.0.2 } }
        set limited { type ipv4_addr . inet_service; flags dynamic,timeout; timeout 1h; size 1000; }
        set both { type ipv4_addr; flags dynamic; counter limit rate 3/second; }
        set every { type ipv4_addr; flags interval; counter; elements = { 10.0.0.0/8, * comment "every other" } }
        set small { typeof ip saddr; policy memory; flags interval,timeout; auto-merge; elements = { 10.0.0.1 timeout 1h, 10.2.0.0/16 } }
        set pairs { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/8 . 1-9, 10.1.0.0-10.1.0.9 . 80 } }
        map verdicts { type ipv4_addr : verdict; flags interval; elements = { 10.0.0.0/8 : jump r, * : drop } }
        map values { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.0.0.1 . 80 : 10.0.0.2 . 81 } }
        map prefixes { type ipv4_addr : interval ipv4_addr; flags interval; elements = { 10.0.0.0/8 : 192.168.0.0/16 } }
        chain r { counter; }
        chain c {
            type nat hook prerouting priority -7; policy accept;
            counter name tcp dport map @objects
            add @limited { ip saddr . tcp dport timeout 5m limit rate 9/minute burst 5 packets }
            update @both { ip saddr counter limit rate 3/second }
            ip saddr vmap @verdicts
            dnat to ip saddr . tcp dport map @values
            counter name ip saddr map { 10.0.0.1 : "one", 10.0.0.2 : "two" }
            ip saddr { 10.0.0.1, 10.0.0.2 } tcp dport { 1-9, 80 } accept
            ip saddr . tcp dport { 10.0.0.0/8 . 1-5, 10.9.0.0/16 . 80 } accept
            meter old { ip saddr limit rate 5/second } accept
            ip protocol tcp redirect to :80-90 random
        }
    }"#,
    r#"table netdev t {
        chain in { type filter hook ingress device lo priority 5; policy accept; counter; meta mark set 4; fwd to lo; }
        chain several { type filter hook ingress devices = { lo } priority 6; policy accept; dup to lo; }
        chain out { type filter hook egress device lo priority 7; policy drop; ip saddr 10.0.0.1 accept; }
    }
    table inet t {
        chain in { type filter hook ingress device lo priority 8; policy accept; counter; }
    }
    table bridge t {
        chain c { type filter hook input priority 0; ether type ip drop; counter; }
    }
    table arp t {
        chain c { type filter hook input priority 0; arp operation request arp saddr ip 10.0.0.1 counter; }
    }"#,
    r#"table ip t {
        flags dormant
        chain c {
            type filter hook input priority 0;
            tcp dport 1 jump { ip saddr 10.0.0.1 accept; counter; }
            tcp dport 2 goto { ip saddr { 10.0.0.1, 10.0.0.2 } counter; drop; }
        }
    }"#,
];

/// Matches insist on the protocol that a rule checks, which is an attribute that no dump says.
#[test]
fn rules_of_iptables_nft_are_copied_whole() {
    in_fresh_netns(|| {
        for (program, rule) in XTABLES {
            support::succeed(program, rule, "");
        }
        // Targets insist on the name of the table too, so that no copy of another name can be.
        remade_is_the_same();
    });
}

const XTABLES: &[(&str, &str)] = &[
    ("iptables-nft", "-A INPUT -p tcp -m tcp --dport 22 --tcp-flags SYN,ACK SYN -j ACCEPT"),
    ("iptables-nft", "-A INPUT -p tcp -m multiport --dports 80,443,1000:2000 -m comment --comment words -j ACCEPT"),
    ("iptables-nft", "-A INPUT -p udp -m udp --sport 53 -m limit --limit 3/min -j DROP"),
    ("iptables-nft", "-A INPUT -p icmp -m icmp --icmp-type 8 -j ACCEPT"),
    ("iptables-nft", "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
    ("iptables-nft", "-A INPUT -m addrtype --dst-type LOCAL -m statistic --mode random --probability 0.5 -j ACCEPT"),
    ("iptables-nft", "-A OUTPUT -p tcp -m owner ! --uid-owner 1337 -j REJECT --reject-with tcp-reset"),
    ("iptables-nft", "-A OUTPUT -m owner --gid-owner 1337 -m mark --mark 0x1/0xff -j LOG --log-prefix x"),
    ("iptables-nft", "-P FORWARD DROP"),
    ("iptables-nft", "-t mangle -A PREROUTING -p tcp -j TPROXY --on-port 15006 --tproxy-mark 0x539/0xffffffff"),
    ("iptables-nft", "-t mangle -A FORWARD -p tcp --syn -j TCPMSS --clamp-mss-to-pmtu"),
    ("iptables-nft", "-t mangle -A OUTPUT -p tcp --sport 7 -j CONNMARK --restore-mark"),
    ("iptables-nft", "-t nat -N own"),
    ("iptables-nft", "-t nat -A PREROUTING ! -i lo -p tcp -j own"),
    ("iptables-nft", "-t nat -A own -p tcp -j REDIRECT --to-ports 15006"),
    ("iptables-nft", "-t nat -A own -p tcp --dport 80 -j DNAT --to-destination 10.0.0.1:8080"),
    ("iptables-nft", "-t nat -A POSTROUTING -s 10.0.0.0/8 ! -o lo -j MASQUERADE"),
    ("iptables-nft", "-t raw -A OUTPUT -p udp --dport 53 -j CT --zone 1"),
    ("ip6tables-nft", "-A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT"),
    ("ip6tables-nft", "-A INPUT -p ipv6-icmp -m icmp6 --icmpv6-type 128 -j ACCEPT"),
    ("ip6tables-nft", "-t nat -A OUTPUT -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 15001"),
];

#[test]
fn a_flowtable_is_copied_whole() {
    in_fresh_netns(|| {
        let taken = loads(
            "table inet t {
                flowtable fast { hook ingress priority 3; devices = { lo }; counter; }
                chain f { type filter hook forward priority 0; policy accept; ip protocol tcp flow add @fast; }
            }",
        );
        if taken {
            copies_are_the_same();
        } else {
            say("SKIP: a_flowtable_is_copied_whole: this kernel has no flowtables (CONFIG_NFT_FLOW_OFFLOAD)");
        }
    });
}

#[test]
fn what_real_rule_sets_hold_is_copied_whole() {
    let Some(folder) = corpus("real") else { return };
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let (mut copied, mut refused) = (0, Vec::new());
    for path in files {
        in_fresh_netns(|| {
            let text = fs::read_to_string(&path).expect("text");
            if loads(&text) {
                copies_are_the_same();
                copied += 1;
            } else {
                refused.push(path.clone());
            }
        });
    }
    say(format_args!("{copied} real rule sets copied, {} not taken by nft: {refused:?}", refused.len()));
}

#[test]
fn what_every_rule_of_the_corpus_is_in_the_kernel_is_copied_whole() {
    let Some(file) = corpus("rules.tsv") else { return };
    let text = fs::read_to_string(file).expect("text");
    let rules: Vec<String> =
        text.lines().filter(|line| !line.starts_with('#')).enumerate().map(|(n, line)| loading(n, line)).collect();
    let (mut copied, mut refused) = (0, Vec::new());
    for some in rules.chunks(100) {
        in_fresh_netns(|| {
            if loads(&some.concat()) {
                copied += some.len();
            } else {
                let (taken, not): (Vec<&String>, Vec<_>) = some.iter().partition(|script| loads(script));
                copied += taken.len();
                refused.extend(not.into_iter().cloned());
            }
            copies_are_the_same();
        });
    }
    say(format_args!("{copied} rules copied, {} not taken by nft:\n{}", refused.len(), refused.concat()));
}

/// The commands that make a table of its own for a rule of the corpus.
fn loading(number: usize, line: &str) -> String {
    let mut columns = line.split('\t');
    let mut column = || columns.next().unwrap_or_default();
    let (family, chain, rule, before) = (column(), column(), column(), column());
    let (name, hook) = chain.split_once(';').expect("a chain has a hook");
    let table = format!("{family} t{number}");
    let before: String = before
        .split(" ;; ")
        .map(|command| command.replacen(&format!("{family} t "), &format!("{table} "), 1) + "\n")
        .collect();
    format!("add table {table}\nadd chain {table} {name} {{ {hook}; }}\n{before}add rule {table} {name} {rule}\n")
}

/// Whether nft takes it.
fn loads(script: &str) -> bool {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    fs::write(file.path(), script).expect("a temporary file can be written");
    let output = command("nft").arg("-f").arg(file.path()).output().expect("nft is installed");
    output.status.success()
}

fn corpus(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/nft-corpus").join(name);
    if path.exists() {
        return Some(path);
    }
    say(format_args!("SKIP: no {}", path.display()));
    None
}

/// Copies every table of this namespace, and holds that the copies are the same to the byte and to nft.
#[track_caller]
fn copies_are_the_same() {
    let mut kernel = Kernel::open().expect("a socket");
    let before = kernel.snapshot().expect("a snapshot");
    let mut transaction = Transaction::new();
    for table in &before.tables {
        transaction.extend(restoring(table, &copy(&table.id)));
    }
    fuzz::encoders(&transaction);
    let ruleset = before.raise().ruleset;
    let again = Transaction::replace(ruleset.clone());
    if ruleset.validate().is_ok() {
        fuzz::encoders(&again);
    }
    kernel.commit(&transaction).unwrap_or_else(|error| panic!("{error}\nof\n{}", nft("list ruleset")));
    let after = kernel.snapshot().expect("a snapshot");
    assert_eq!(after.opaque, before.opaque);
    assert_eq!(after.tables.len(), 2 * before.tables.len());
    for table in &before.tables {
        let copied = after.table(&copy(&table.id)).expect("it was copied");
        assert_eq!(contents(copied), contents(table), "{}", table.id);
    }
    lists_alike(&before);
    remade_is_the_same();
}

/// Deletes every table and makes it again, in one transaction, and holds that all is as it was.
#[track_caller]
fn remade_is_the_same() {
    let mut kernel = Kernel::open().expect("a socket");
    let (before, listed) = (kernel.snapshot().expect("a snapshot"), support::timeless(&nft("list ruleset")));
    let mut transaction = Transaction::new();
    for table in &before.tables {
        transaction.extend([Operation::DeleteTable(table.id.clone())]);
        transaction.extend(restoring(table, &table.id));
    }
    fuzz::encoders(&transaction);
    kernel.commit(&transaction).unwrap_or_else(|error| panic!("{error}\nof\n{listed}"));
    let after = kernel.snapshot().expect("a snapshot");
    let contents = |snapshot: &Snapshot| snapshot.tables.iter().map(contents).collect::<Vec<_>>();
    assert_eq!(contents(&after), contents(&before), "{listed}");
    assert_same(&listed, &support::timeless(&nft("list ruleset")), "what was made again, by nft");
}

fn copy(table: &TableId) -> TableId {
    TableId { family: table.family, name: format!("{}-copy", table.name).into() }
}

/// The operations that make a table under another name, each thing after what it needs.
fn restoring(table: &TableState, id: &TableId) -> Vec<Operation> {
    let restore = |state| Operation::Restore { table: id.clone(), state: Box::new(state) };
    let mut operations = vec![restore(State::Table(table.clone()))];
    operations.extend(table.chains.iter().map(|chain| restore(State::Chain(chain.clone()))));
    operations.extend(table.objects.iter().map(|object| restore(State::Object(object.clone()))));
    operations.extend(table.sets.iter().map(|set| restore(State::Set(set.clone()))));
    // A chain that a jump brings with it is closed once the jump is there: its rules come first.
    let is_bound = |chain: &&ChainState| chain.flags & NFT_CHAIN_BINDING != 0;
    let (bound, others): (Vec<_>, Vec<_>) = table.chains.iter().partition(is_bound);
    for chain in bound.into_iter().chain(others) {
        operations.extend(chain.rules.iter().map(|rule| {
            let (chain, rule) = (chain.name.clone(), rule.clone());
            restore(State::Rule { chain, position: Position::Last, rule })
        }));
    }
    operations
}

/// include/uapi/linux/netfilter/nf_tables.h
const NFT_CHAIN_BINDING: u32 = 4;

/// A table without what only the kernel says.
fn contents(table: &TableState) -> TableState {
    let mut table = table.clone();
    table.id.name = "t".into();
    table.handle = 0;
    for set in &mut table.sets {
        (set.handle, set.order, set.expires) = (0, Vec::new(), Vec::new());
    }
    for object in &mut table.objects {
        (object.handle, object.attributes) = (0, without_names(&object.attributes));
    }
    for chain in &mut table.chains {
        chain.handle = 0;
        for rule in &mut chain.rules {
            rule.handle = 0;
            for expr in &mut rule.exprs {
                if let Expr::Lookup { set: LookupSet::Anonymous(set), .. } = expr {
                    set.order.clear();
                }
            }
        }
    }
    table
}

/// Attributes of an object without table (1) and handle (6; 5 of a flowtable, which has no type), and without the padding that comes
/// or goes with them.
fn without_names(attributes: &[u8]) -> Vec<u8> {
    let mut rest = attributes;
    let mut kept = Vec::new();
    while let [a, b, c, d, ..] = *rest {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let kind = u16::from_ne_bytes([c, d]) & 0x3fff;
        let (attribute, others) = rest.split_at(length.next_multiple_of(4).min(rest.len()));
        let handle = length == 12 && (kind == 6 || kind == 5);
        if kind != 1 && !handle {
            kept.extend(attribute);
        }
        rest = others;
    }
    kept
}

/// nft lists the copies as it lists what they are copies of.
#[track_caller]
fn lists_alike(before: &Snapshot) {
    for table in &before.tables {
        let list = |id: &TableId| support::timeless(&nft(&format!("list table {} {}", id.family, id.name)));
        let (of, copied) = (list(&table.id), list(&copy(&table.id)));
        assert_same(&of, &copied.replacen("-copy {", " {", 1), &format!("{} and its copy, by nft", table.id));
    }
}
