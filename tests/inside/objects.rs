//! Named objects are sent in nft's bytes, also those that the running kernel does not have.

use crate::netlink::{self, Backend, Ending, KnownSets};
use crate::plan::Transaction;
use crate::support::{command, in_fresh_netns, nft_script};
use crate::text::Reader;

const OBJECTS: [&str; 12] = [
    "counter c { packets 3 bytes 7; comment \"a b\"; }",
    "quota q { over 25 mbytes used 1 kbytes; comment \"q\"; }",
    "limit l { rate 400/minute; comment \"l\"; }",
    "limit w { rate over 1 kbytes/second burst 3 kbytes; }",
    "ct helper h { type \"ftp\" protocol tcp; l3proto ip; comment \"h\"; }",
    "ct timeout t { protocol tcp; l3proto ip; policy = { established : 120, unack : 20 }; comment \"t\"; }",
    "ct timeout u { protocol udp; l3proto inet; }",
    "ct expectation e { protocol tcp; dport 8888; timeout 2m; size 12; l3proto ip; comment \"e\"; }",
    "synproxy y { mss 1460; wscale 7; timestamp sack-perm; comment \"y\"; }",
    "secmark s { \"system_u:object_r:x_t:s0\"; comment \"s\"; }",
    "flowtable f { hook ingress priority filter; devices = { lo, eth0 }; flags offload; counter; }",
    "flowtable g { hook ingress priority -5; devices = { lo }; }",
];

#[test]
fn objects_are_sent_in_nfts_bytes() {
    in_fresh_netns(|| {
        nft_script("table inet t { }");
        for object in OBJECTS {
            let script = format!("table inet t {{\n{object}\n}}\n");
            let ruleset = Reader::new().ruleset(&script).unwrap_or_else(|error| panic!("{error}"));
            let transaction = Transaction::add(ruleset);
            for backend in backends() {
                let known = KnownSets::of(&transaction);
                let batch = netlink::encode_with(backend, &transaction, &known, Ending::DryRun, 1)
                    .unwrap_or_else(|(_, error)| panic!("{error}"));
                let messages = crate::attr::Messages::new(batch.messages.as_bytes());
                let ours = messages.map(|message| message.expect("whole")).find(|message| is_object(message.kind));
                let ours = ours.expect("an object is added");
                let (_, attributes) = ours.netfilter().expect("of nf_tables");
                let ours: Vec<u8> = attributes.flat_map(|read| read.expect("whole").raw.to_vec()).collect();
                assert_eq!(hex(&ours), hex(&sent_by_nft(&script)), "{object}");
            }
        }
    });
}

#[cfg(feature = "nftnl")]
fn backends() -> Vec<Backend> {
    vec![Backend::Own, Backend::Libnftnl(Default::default())]
}

#[cfg(not(feature = "nftnl"))]
fn backends() -> Vec<Backend> {
    vec![Backend::Own]
}

/// `NFT_MSG_NEWOBJ` and `NFT_MSG_NEWFLOWTABLE`.
fn is_object(kind: u16) -> bool {
    matches!(kind & 0xff, 18 | 22)
}

fn hex(bytes: &[u8]) -> Vec<String> {
    bytes.chunks(4).map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect()).collect()
}

/// Returns the attributes of the object that nft sends, as `--debug=mnl` prints them:
///
/// ```text
/// | 02578 | R--- |  |  type | flags  |
/// |00006|--|00001|  |len |flags| type|
/// | 74 00 00 00  |  |      data      |   t
/// ```
fn sent_by_nft(script: &str) -> Vec<u8> {
    let file = std::env::temp_dir().join(format!("nftmesh-objects-{}.nft", std::process::id()));
    std::fs::write(&file, script).expect("a file");
    let output = command("nft").args(["--debug=mnl", "-c", "-f"]).arg(&file).output().expect("nft");
    std::fs::remove_file(&file).expect("it was written");
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    let plain = without_colours(&printed);
    let (mut bytes, mut inside, mut header) = (Vec::new(), false, false);
    for line in plain.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", kind, _, "", ..] if line.contains("|  type | flags  |") => {
                inside = kind.parse().is_ok_and(is_object);
            }
            ["", _, "", "extra header", ..] => header = true,
            ["", length, flags, kind, "", ..] if inside && header && line.contains("|len |flags| type|") => {
                let nested = if flags.starts_with('N') { 0x8000 } else { 0 };
                let number = |text: &str| text.parse::<u16>().expect("a number");
                bytes.extend(number(length).to_ne_bytes());
                bytes.extend((number(kind) | nested).to_ne_bytes());
            }
            ["", data, "", "data", ..] if inside && header => {
                bytes.extend(data.split(' ').map(|byte| u8::from_str_radix(byte, 16).expect("a byte")));
            }
            _ if line.contains("message length") => (inside, header) = (false, false),
            _ => {}
        }
    }
    assert!(!bytes.is_empty(), "nft sends no object:\n{plain}");
    bytes
}

fn without_colours(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| plain + part.split_once('m').map_or("", |(_, rest)| rest))
}
