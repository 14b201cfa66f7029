//! Checks named objects and what refers to them.
//!
//! What is refused is what the `init` of each object in net/netfilter/nft_*.c, v6.18, refuses; a
//! name that nft cannot read is odd, as everywhere.

use std::collections::HashSet;

use super::location::At;
use super::problem::Problem;
use super::{Checked, Complete, Fault, names, statements};
use crate::model::{
    CtExpectation, CtHelper, CtTimeout, Family, Flowtable, IfName, Name, Object, ObjectContent, ObjectKind, ObjectRef,
    ObjectTo, Quota, Statement, Value,
};

impl Checked<'_, '_> {
    pub(super) fn objects(&self, faults: &mut Vec<Fault>) {
        let mut seen = HashSet::new();
        for object in &self.view.objects {
            let at = self.at.object(object);
            if !seen.insert((object.kind(), &object.name)) {
                at.report(faults, Problem::Duplicate);
            }
            if object.opaque().is_none() {
                self.object(at, object, faults);
            }
        }
    }

    fn object(&self, at: At<'_>, object: &Object, faults: &mut Vec<Fault>) {
        let Object { name, content, comment } = object;
        names::name(at, name, faults);
        names::comment(at, comment.as_deref(), faults);
        let fault = match content {
            ObjectContent::Counter { .. } | ObjectContent::Opaque(_) => None,
            ObjectContent::CtExpectation(expected) => self.expectation(expected),
            ObjectContent::CtHelper(CtHelper { helper, protocol: _, family }) => {
                if helper.is_empty() || helper.len() > HELPER || helper.contains('\0') {
                    Some("the name of a helper has 1 to 15 bytes; give one such as ftp")
                } else {
                    self.layer(*family)
                }
            }
            ObjectContent::CtTimeout(timeout) => self.timeout(timeout),
            ObjectContent::Flowtable(_) if comment.is_some() => Some("a flowtable has no comment; leave it out"),
            ObjectContent::Flowtable(flowtable) => self.flowtable(at, flowtable, faults),
            ObjectContent::Limit(limit) => {
                statements::check_limit(at, limit, faults);
                None
            }
            ObjectContent::Quota(Quota { bytes, when: _, used })
                if used > bytes || *bytes > i64::MAX.unsigned_abs() =>
            {
                Some("more is used than there is, or it is more than the kernel counts; give at most 2^63 - 1 bytes")
            }
            ObjectContent::Quota(_) => None,
            ObjectContent::Secmark(context) if context.is_empty() || context.len() >= CONTEXT => {
                Some("a security context has 1 to 255 bytes; give one such as system_u:object_r:web_t:s0")
            }
            ObjectContent::Secmark(context) => {
                names::secmark(at, context, faults);
                None
            }
            ObjectContent::Synproxy(synproxy) if synproxy.mss.is_none() || synproxy.wscale.is_none() => {
                Some("nft reads no synproxy without mss and wscale; give both")
            }
            ObjectContent::Synproxy(_) => matches!(self.view.family, Family::Arp | Family::Bridge | Family::Netdev)
                .then_some("a synproxy answers IPv4 and IPv6; use a table of family inet, ip or ip6"),
        };
        if let Some(fault) = fault {
            at.report(faults, Problem::Object { fault });
        }
    }

    /// Checks the packets of an object of connection tracking.
    fn layer(&self, family: Family) -> Option<&'static str> {
        match (family, self.view.family) {
            (Family::Inet, _) | (Family::Ip, Family::Inet | Family::Ip) | (Family::Ip6, Family::Inet | Family::Ip6) => {
                None
            }
            (Family::Ip | Family::Ip6, Family::Bridge | Family::Netdev) => None,
            _ => Some("the table has no such packets; give .family(...) ip, ip6 or inet, as the table has"),
        }
    }

    fn expectation(&self, expected: &CtExpectation) -> Option<&'static str> {
        match (expected.family, self.view.family) {
            (Family::Ip, Family::Inet | Family::Ip) | (Family::Ip6, Family::Inet | Family::Ip6) => None,
            _ => Some("an expectation is of family ip or ip6, and its table is of that family or inet"),
        }
    }

    fn timeout(&self, timeout: &CtTimeout) -> Option<&'static str> {
        let states = CtTimeout::states(timeout.protocol);
        if states.is_empty() {
            return Some("there are timeouts of tcp and udp; give one of these");
        }
        if timeout.policy.keys().any(|state| states.iter().all(|(known, _)| known != state)) {
            return Some(
                "no such state; tcp has syn_sent, syn_recv, established, fin_wait, close_wait, last_ack, time_wait, \
                 close, syn_sent2, retrans, unack, and udp has unreplied, replied",
            );
        }
        self.layer(timeout.family)
    }

    fn flowtable(&self, at: At<'_>, flowtable: &Flowtable, faults: &mut Vec<Fault>) -> Option<&'static str> {
        let Flowtable { priority: _, devices, flags: _ } = flowtable;
        devices.iter().for_each(|device| names::interface(at, &Value::Ifname(IfName::from(device.as_str())), faults));
        if !matches!(self.view.family, Family::Inet | Family::Ip | Family::Ip6) {
            return Some("a flowtable forwards IPv4 and IPv6; use a table of family inet, ip or ip6");
        }
        let names: HashSet<&String> = devices.iter().collect();
        (names.len() < devices.len()).then_some("a device is named twice; keep one of them")
    }

    /// Checks that the object that a statement names exists.
    pub(super) fn named_object(&self, at: At<'_>, statement: &Statement, faults: &mut Vec<Fault>) {
        let (kind, name): (&'static str, &Name) = match statement {
            Statement::ObjectRef(ObjectRef { kind, to: ObjectTo::Name(name) }) => (kind.name(), name),
            Statement::FlowAdd(name) => ("flowtable", name),
            _ => return,
        };
        self.known_object(at, kind, name, faults);
    }

    /// Checks that the object that an element leads to exists.
    pub(super) fn mapped_object(&self, at: At<'_>, kind: ObjectKind, name: &Name, faults: &mut Vec<Fault>) {
        self.known_object(at, kind.name(), name, faults);
    }

    fn known_object(&self, at: At<'_>, kind: &'static str, name: &Name, faults: &mut Vec<Fault>) {
        let is_there = || self.view.objects.iter().any(|object| object.name == *name && object.kind() == kind);
        if self.view.complete == Complete::Whole && !is_there() {
            at.report(faults, Problem::UnknownObject { kind, name: name.clone() });
        }
    }
}

/// `NF_CT_HELPER_NAME_LEN` without the NUL.
const HELPER: usize = 15;
/// `NFT_SECMARK_CTX_MAXLEN`.
const CONTEXT: usize = 256;
