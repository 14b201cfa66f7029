//! What `proxy-init` makes of a command line; where its recordings are beside the crate,
//! `linkerd_pairs` proves it.

#![allow(dead_code, unreachable_pub, reason = "every test program uses the part it needs")]

/// Flags of a command line with their values, by their long names.
struct Given<'w>(Vec<(&'w str, &'w str)>);

const SHORT: [(&str, &str); 6] = [
    ("p", "incoming-proxy-port"),
    ("o", "outgoing-proxy-port"),
    ("u", "proxy-uid"),
    ("g", "proxy-gid"),
    ("r", "ports-to-redirect"),
    ("w", "use-wait-flag"),
];
const SWITCHES: [&str; 3] = ["ipv6", "simulate", "use-wait-flag"];

impl<'w> Given<'w> {
    fn read(words: &'w str) -> Self {
        let (mut words, mut given) = (words.split_whitespace(), Vec::new());
        while let Some(word) = words.next() {
            let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
            let name = name.trim_start_matches('-');
            let name = SHORT.iter().find(|(short, _)| *short == name).map_or(name, |(_, long)| *long);
            let alone = SWITCHES.contains(&name).then_some("true");
            given.push((name, value.or(alone).or_else(|| words.next()).expect("a value")));
        }
        Given(given)
    }

    /// Returns the items of a list that may be given again.
    fn list(&self, name: &str) -> Vec<&'w str> {
        let values = self.0.iter().filter(|(given, _)| *given == name);
        values.flat_map(|(_, value)| value.split(',')).filter(|item| !item.is_empty()).collect()
    }

    fn last(&self, name: &str) -> Option<&'w str> {
        self.0.iter().rev().find(|(given, _)| *given == name).map(|(_, value)| *value)
    }
}

/// iptables takes at most 15 ports in a rule; a range counts as two.
fn ignored(chain: &str, ports: &[&str]) -> Vec<String> {
    let (mut rules, mut row, mut room) = (Vec::new(), Vec::new(), 15);
    for port in ports {
        let (first, last) = port.split_once('-').unwrap_or((port, port));
        let (text, size) = if first == last { (first.to_owned(), 1) } else { (format!("{first}:{last}"), 2) };
        if size > room {
            rules.push(std::mem::take(&mut row));
            room = 15;
        }
        row.push(text);
        room -= size;
    }
    rules.extend((!row.is_empty()).then_some(row));
    let rule = |row: Vec<String>| format!("-A {chain} -p tcp -m multiport --dports {} -j RETURN", row.join(","));
    rules.into_iter().map(rule).collect()
}

/// Returns the rules of a family in the form of iptables-save. Ranges are sorted by family, which
/// the program fails at.
pub fn original(words: &str, ipv6: bool) -> String {
    let given = Given::read(words);
    if ipv6 && given.last("ipv6").is_some_and(|value| value.to_lowercase().starts_with('f')) {
        return String::new();
    }
    let (output, redirect) = ("PROXY_INIT_OUTPUT", "PROXY_INIT_REDIRECT");
    let [inbound, outbound] =
        ["incoming-proxy-port", "outgoing-proxy-port"].map(|name| given.last(name).expect("a port"));
    let mut rules = vec![format!("-A PREROUTING -j {redirect}"), format!("-A OUTPUT -j {output}")];
    for (name, option) in [("proxy-uid", "--uid-owner"), ("proxy-gid", "--gid-owner")] {
        let owner = given.last(name).filter(|owner| !owner.starts_with('-'));
        rules.extend(owner.map(|owner| format!("-A {output} -m owner {option} {owner} -j RETURN")));
    }
    rules.push(format!("-A {output} -o lo -j RETURN"));
    rules.extend(ignored(output, &given.list("outbound-ports-to-ignore")));
    rules.push(format!("-A {output} -p tcp -j REDIRECT --to-ports {outbound}"));
    rules.extend(ignored(redirect, &given.list("inbound-ports-to-ignore")));
    let subnets = given.list("subnets-to-ignore").into_iter().filter(|subnet| subnet.contains(':') == ipv6);
    rules.extend(subnets.map(|subnet| format!("-A {redirect} -s {subnet} -j RETURN")));
    let only = given.list("ports-to-redirect");
    if only.is_empty() {
        rules.push(format!("-A {redirect} -p tcp -j REDIRECT --to-ports {inbound}"));
    }
    rules.extend(
        only.iter().map(|port| format!("-A {redirect} -p tcp -m tcp --dport {port} -j REDIRECT --to-ports {inbound}")),
    );
    let chains = format!(":PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:{output} - [0:0]\n:{redirect} - [0:0]");
    format!("*nat\n{chains}\n{}\nCOMMIT\n", rules.join("\n"))
}
