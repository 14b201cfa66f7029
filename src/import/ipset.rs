//! Sets of ipset(8), as `ipset save` prints them: with their contents, matches of them are no
//! longer unknown.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::str::FromStr;

use ipnetwork::IpNetwork;

use super::error::{Fault, ImportError, Shown};
use super::words::{self, Piece, Word};
use crate::bytecode::Expr;
use crate::model::{
    Element, Field, Interval, IpFamily, Key, Match, Op, Operand, Ruleset, SetRef, Statement, anonymous,
};
use crate::xt;

/// The contents of sets of ipset(8), read from what `ipset save` prints.
///
/// ```
/// use nftmesh::import::{IpSets, Unknown, iptables_save};
/// use nftmesh::model::IpFamily;
///
/// let text = "*filter\n:OUTPUT ACCEPT [0:0]\n-A OUTPUT -m set --match-set pods dst -j ACCEPT\nCOMMIT\n";
/// let mut rules = iptables_save(text, IpFamily::Ipv4, Unknown::KeepOpaque)?.ruleset;
/// let sets: IpSets = "create pods hash:ip family inet maxelem 65536 comment\n\
///     add pods 10.0.0.1 comment \"one\"\nadd pods 10.0.0.2\n".parse()?;
/// assert_eq!(sets.fill(&mut rules), 1);
/// assert!(rules.to_string().contains("ip daddr { 10.0.0.1, 10.0.0.2 } accept"));
/// # Ok::<(), nftmesh::Error>(())
/// ```
///
/// Sets of addresses and of prefixes are known (`hash:ip`, `hash:net`, `bitmap:ip`); others, and
/// those with entries that do not match (`nomatch`), stay unknown. Timeouts are not kept: the
/// contents are those of that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IpSets {
    sets: BTreeMap<String, Contents>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Contents {
    Known(IpFamily, Vec<IpNetwork>),
    Unknown,
}

impl IpSets {
    /// Puts the contents of known sets where rules of iptables match them; returns how many matches
    /// that were. A rule that matches an empty set matches nothing, and is removed.
    pub fn fill(&self, ruleset: &mut Ruleset) -> usize {
        let mut filled = 0;
        for chain in ruleset.tables.iter_mut().flat_map(|table| &mut table.chains) {
            for rule in &mut chain.rules {
                for statement in &mut rule.statements {
                    if let Some(known) = self.known(statement) {
                        *statement = Statement::Match(known);
                        filled += 1;
                    }
                }
            }
            let empty = |statement: &Statement| match statement {
                Statement::Match(Match { operand: Operand::Set(SetRef::Anonymous(elements)), op, .. }) => {
                    elements.is_empty().then_some(*op)
                }
                _ => None,
            };
            chain.rules.retain(|rule| !rule.statements.iter().any(|part| empty(part) == Some(Op::Eq)));
            chain.rules.iter_mut().for_each(|rule| rule.statements.retain(|part| empty(part).is_none()));
        }
        filled
    }

    /// Returns the match of a statement that was kept as it was written.
    fn known(&self, statement: &Statement) -> Option<Match> {
        let Statement::Opaque(kept) = statement else { return None };
        let [Expr::Opaque { name, data, .. }] = kept.code::<Vec<Expr>>()?.as_slice() else { return None };
        if xt::extension(name, data)? != "set" {
            return None;
        }
        let words = std::str::from_utf8(xt::options(data)?).ok()?;
        let (op, words) = words.strip_prefix("! ").map_or((Op::Eq, words), |words| (Op::Ne, words));
        let (name, side) = words.strip_prefix("--match-set ")?.split_once(' ')?;
        let Contents::Known(family, members) = self.sets.get(name)? else { return None };
        let field = match (family, side) {
            (IpFamily::Ipv4, "dst") => Field::IpDaddr,
            (IpFamily::Ipv4, "src") => Field::IpSaddr,
            (IpFamily::Ipv6, "dst") => Field::Ip6Daddr,
            (IpFamily::Ipv6, "src") => Field::Ip6Saddr,
            _ => return None,
        };
        let elements = merged(members).into_iter().map(|member| Element::new(Key::Single(Interval::from(member))));
        Some(Match::new(field, op, Operand::Set(anonymous(elements))))
    }

    fn line(&mut self, line: &str) -> Result<(), Fault> {
        if line.starts_with('#') {
            return Ok(());
        }
        let mut words = Vec::new();
        words::split(line, 0, &mut words)?;
        let pieces: Vec<Piece<'_>> = words.iter().map(Word::piece).collect();
        let [command, name, third, options @ ..] = pieces.as_slice() else {
            return match pieces.as_slice() {
                [] => Ok(()),
                _ => Err(Fault::wrong(line.len(), "a word is missing; give what ipset save prints")),
            };
        };
        let given = |known: &[&str]| options.iter().any(|option| known.contains(&option.text));
        match command.text {
            "create" => {
                let family = if given(&["inet6"]) { IpFamily::Ipv6 } else { IpFamily::Ipv4 };
                // An entry of a set with a netmask stands for a network.
                let plain = !given(&["netmask", "bitmask"]);
                let known = plain && ["hash:ip", "hash:net", "bitmap:ip"].contains(&third.text);
                let contents = if known { Contents::Known(family, Vec::new()) } else { Contents::Unknown };
                self.sets.insert(name.text.to_owned(), contents);
            }
            "add" => {
                let Some(contents) = self.sets.get_mut(name.text) else {
                    return Err(name.wrong(format!("there is no set {}; create it first", Shown(name.text))));
                };
                let Contents::Known(family, members) = contents else { return Ok(()) };
                if given(&["nomatch"]) {
                    *contents = Contents::Unknown;
                    return Ok(());
                }
                let member = third.text.parse::<IpNetwork>().ok();
                let Some(member) = member.filter(|member| IpFamily::of(member.ip()) == *family) else {
                    let what = format!("{} is no address of this set; give one address or prefix", Shown(third.text));
                    return Err(third.wrong(what));
                };
                members.push(member);
            }
            other => {
                return Err(command.wrong(format!("{} is not a line of ipset save; give create or add", Shown(other))));
            }
        }
        Ok(())
    }
}

impl FromStr for IpSets {
    type Err = ImportError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut sets = IpSets::default();
        for (number, line) in (1..).zip(text.lines()) {
            sets.line(line).map_err(|fault| fault.in_line(number, line))?;
        }
        Ok(sets)
    }
}

/// Returns the members without those that another one covers, in ascending order.
fn merged(members: &[IpNetwork]) -> Vec<IpNetwork> {
    let network = |member: &IpNetwork| IpNetwork::new(member.network(), member.prefix()).unwrap_or(*member);
    let mut members: Vec<IpNetwork> = members.iter().map(network).collect();
    members.sort_by_key(|member: &IpNetwork| -> (IpAddr, u8) { (member.ip(), member.prefix()) });
    members.dedup_by(|next, last| last.contains(next.ip()));
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::import::{Unknown, iptables_save};

    fn filled(rule: &str, sets: &str) -> String {
        let text = format!("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT {rule} -j DROP\nCOMMIT\n");
        let mut ruleset = iptables_save(&text, IpFamily::Ipv4, Unknown::KeepOpaque).expect("a rule").ruleset;
        sets.parse::<IpSets>().expect("sets").fill(&mut ruleset);
        let chain = ruleset.tables.first().and_then(|table| table.chains.first()).expect("a chain");
        chain.rules.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn a_match_of_a_known_set_matches_its_contents() {
        let sets = "create a hash:ip family inet hashsize 1024 maxelem 65536 comment\nadd a 10.0.0.2 comment \"x y\"\n\
            add a 10.0.0.1\ncreate n hash:net family inet\nadd n 10.0.0.0/8\nadd n 10.9.0.0/16\nadd n 192.0.2.0/24\n\
            create none hash:ip family inet\ncreate other hash:ip,port family inet\nadd other 10.0.0.1,tcp:80\n\
            create holes hash:net family inet\nadd holes 10.0.0.0/8\nadd holes 10.9.0.0/16 nomatch\n";
        for (rule, read) in [
            ("-m set --match-set a dst", "ip daddr { 10.0.0.1, 10.0.0.2 } drop"),
            ("-m set ! --match-set a src", "ip saddr != { 10.0.0.1, 10.0.0.2 } drop"),
            ("-m set --match-set n src", "ip saddr { 10.0.0.0/8, 192.0.2.0/24 } drop"),
            ("-m set --match-set none src", ""),
            ("-m set ! --match-set none src", "drop"),
        ] {
            assert_eq!(filled(rule, sets), read, "{rule}");
        }
        for unknown in ["other dst,dst", "holes src", "missing src"] {
            assert!(filled(&format!("-m set --match-set {unknown}"), sets).contains("set"), "{unknown}");
        }
    }

    #[test]
    fn what_is_no_set_is_refused_with_its_place() {
        for (text, place, what) in [
            ("create a", (1, 9), "a word is missing"),
            ("\nadd a 10.0.0.1", (2, 5), "there is no set a"),
            ("create a hash:ip\nadd a fd00::1", (2, 7), "fd00::1 is no address of this set"),
            ("flush a b", (1, 1), "flush is not a line"),
        ] {
            let error = text.parse::<IpSets>().expect_err(text);
            assert_eq!((error.line, error.column), place, "{error}");
            assert!(error.fault.starts_with(what), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in "(create|add|[a-z:0-9./ \n]){0,20}") {
            if let Err(error) = text.parse::<IpSets>() {
                prop_assert_eq!(error.to_string().lines().count(), 1);
            }
        }
    }
}
