//! Named objects: counters, quotas, limits, objects of connection tracking, flowtables.

use std::collections::BTreeMap;

use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::parser::Parser;
use crate::model::{
    CtExpectation, CtHelper, CtTimeout, Family, Flowtable, FlowtableFlags, Name, Object, ObjectContent, ObjectKind,
    Priority, Protocol, Synproxy,
};

impl<'t> Parser<'t> {
    /// Reads the kind of an object, and returns it as nft spells it.
    pub(super) fn object_kind(&mut self) -> Parsed<&'static str> {
        if self.take("ct") {
            let kinds = [("expectation", "ct expectation"), ("helper", "ct helper"), ("timeout", "ct timeout")];
            return self.one_of("an object of connection tracking", &kinds);
        }
        let kinds = ["counter", "flowtable", "limit", "quota", "secmark", "synproxy"].map(|kind| (kind, kind));
        self.one_of("an object", &kinds)
    }

    /// Reads the kind of the objects that a map leads to.
    pub(super) fn object_kind_of_map(&mut self) -> Parsed<ObjectKind> {
        let word = self.peek();
        let kind = self.object_kind()?;
        let known = ObjectKind::ALL.into_iter().map(|(known, ..)| known).find(|known| known.name() == kind);
        // nft 1.0.6 has no words for a named map to an object of connection tracking.
        known.filter(|_| !word.is("ct")).ok_or_else(|| {
            let why = "a map with a name leads to counter, limit, quota, secmark or synproxy";
            Fault::wrong(word.at, word.length(), why)
        })
    }

    /// Reads what an object is: its block, or where nft has that, the words alone.
    pub(super) fn object_of(&mut self, kind: &'static str, name: Name) -> Parsed<Object> {
        let start = self.peek();
        let mut made = Made::default();
        if self.at("{") {
            self.block(|parser| {
                parser.part_of_object(kind, &mut made)?;
                parser.end_of_part()
            })?;
        } else if !self.ends() {
            self.part_of_object(kind, &mut made)?;
        }
        let Some(content) = self.made(kind, &mut made) else {
            let why = format!("this {kind} is not complete; it needs {}", needs(kind));
            return Err(Fault::wrong(start.at, start.length(), why));
        };
        Ok(Object { name, content, comment: made.comment })
    }

    fn part_of_object(&mut self, kind: &'static str, made: &mut Made) -> Parsed<()> {
        if kind != "flowtable" && self.take("comment") {
            made.comment = Some(self.comment()?.to_owned());
            return Ok(());
        }
        match kind {
            "counter" => {
                self.expect("packets")?;
                let packets = self.number("a number of packets", u64::MAX)?;
                self.expect("bytes")?;
                let bytes = self.number("a number of bytes", u64::MAX)?;
                made.content = Some(ObjectContent::Counter { packets, bytes });
            }
            "flowtable" => self.part_of_flowtable(made)?,
            "limit" => made.content = Some(self.limit_of()?.into()),
            "quota" => made.content = Some(self.quota_of()?.into()),
            "secmark" => {
                made.content = Some(ObjectContent::Secmark(self.text("a security context in quotes")?.text.to_owned()));
            }
            "synproxy" => {
                let mut synproxy = made.synproxy.take().unwrap_or_default();
                if !self.synproxy_option(&mut synproxy)? {
                    return self.unexpected(needs(kind));
                }
                while self.synproxy_option(&mut synproxy)? {}
                made.synproxy = Some(synproxy);
            }
            _ => self.part_of_tracking(kind, made)?,
        }
        Ok(())
    }

    /// Reads a part of a helper, timeout or expectation.
    fn part_of_tracking(&mut self, kind: &'static str, made: &mut Made) -> Parsed<()> {
        let word = self.peek();
        match (word.text, kind) {
            ("type", "ct helper") => {
                self.next();
                made.helper = Some(self.text("the name of a helper, such as \"ftp\"")?.text.to_owned());
                self.expect("protocol")?;
                made.protocol = Some(self.tracked()?);
            }
            ("protocol", "ct expectation" | "ct timeout") => {
                self.next();
                made.protocol = Some(self.tracked()?);
            }
            ("l3proto", _) => {
                self.next();
                made.family = Some(self.one_of("a family", &Family::ALL.map(|family| (family.name(), family)))?);
            }
            ("policy", "ct timeout") => {
                self.next();
                self.expect("=")?;
                self.expect("{")?;
                self.policy(made)?;
            }
            ("dport", "ct expectation") => {
                self.next();
                made.dport = Some(self.number_u16("a port")?);
            }
            ("timeout", "ct expectation") => {
                self.next();
                let time = self.time()?;
                let Ok(milliseconds) = u32::try_from(time.as_millis()) else {
                    return Err(Fault::wrong(word.at, word.length(), "a time of at most 49 days"));
                };
                made.timeout = Some(milliseconds);
            }
            ("size", "ct expectation") => {
                self.next();
                let size = self.number("a number of connections of 0 to 255", u8::MAX.into())?;
                made.size = u8::try_from(size).ok();
            }
            _ => return self.unexpected(needs(kind)),
        }
        Ok(())
    }

    /// Reads `established : 120, close : 20 }`.
    fn policy(&mut self, made: &mut Made) -> Parsed<()> {
        loop {
            self.skip_newlines();
            if self.take("}") {
                return Ok(());
            }
            let state = self.word("the name of a state, such as established")?.text.to_owned();
            self.expect(":")?;
            let start = self.peek();
            let seconds = match start.kind {
                Kind::Number => self.number("seconds", u32::MAX.into())?,
                _ => self.time()?.as_secs(),
            };
            let Ok(seconds) = u32::try_from(seconds) else {
                return Err(Fault::wrong(start.at, start.length(), "these seconds do not fit 32 bits"));
            };
            made.policy.insert(state, seconds);
            self.skip_newlines();
            if !self.take(",") && !self.at("}") {
                return self.unexpected("\",\" or \"}\"");
            }
        }
    }

    fn part_of_flowtable(&mut self, made: &mut Made) -> Parsed<()> {
        let flowtable = made.flowtable.get_or_insert_with(|| Flowtable::new(Priority::FILTER, [""; 0]));
        if self.take("hook") {
            self.expect("ingress")?;
            self.expect("priority")?;
            flowtable.priority = self.priority("ingress")?;
            made.is_hooked = true;
        } else if self.take("devices") {
            self.expect("=")?;
            flowtable.devices = self.devices()?;
        } else if self.take("flags") {
            self.expect("offload")?;
            flowtable.flags |= FlowtableFlags::OFFLOAD;
        } else if self.take("counter") {
            flowtable.flags |= FlowtableFlags::COUNTER;
        } else {
            return self.unexpected(needs("flowtable"));
        }
        Ok(())
    }

    /// Reads `{ "eth0", lo }`.
    pub(super) fn devices(&mut self) -> Parsed<Vec<String>> {
        self.expect("{")?;
        let mut devices = Vec::new();
        loop {
            self.skip_newlines();
            if self.take("}") {
                return Ok(devices);
            }
            devices.push(self.text("the name of a device")?.text.to_owned());
            self.skip_newlines();
            if !self.take(",") && !self.at("}") {
                return self.unexpected("\",\" or \"}\"");
            }
        }
    }

    fn tracked(&mut self) -> Parsed<Protocol> {
        self.one_of("a protocol", &[("tcp", Protocol::TCP), ("udp", Protocol::UDP)])
    }

    /// Returns the object that the parts are; `None` if one is missing.
    fn made(&self, kind: &str, made: &mut Made) -> Option<ObjectContent> {
        let family = made.family.unwrap_or(self.family);
        Some(match kind {
            "counter" => made.content.take().unwrap_or(ObjectContent::Counter { packets: 0, bytes: 0 }),
            "ct expectation" => CtExpectation {
                protocol: made.protocol?,
                dport: made.dport?,
                timeout: made.timeout?,
                size: made.size?,
                family,
            }
            .into(),
            "ct helper" => CtHelper::new(made.helper.take()?, made.protocol?).family(family).into(),
            "ct timeout" => {
                CtTimeout { policy: std::mem::take(&mut made.policy), ..CtTimeout::new(made.protocol?).family(family) }
                    .into()
            }
            "flowtable" => made.flowtable.take().filter(|_| made.is_hooked)?.into(),
            "synproxy" => {
                made.synproxy.take().filter(|made| made.mss.is_some() && made.wscale.is_some()).map(Into::into)?
            }
            _ => made.content.take()?,
        })
    }
}

/// The parts of an object that were read so far.
#[derive(Default)]
struct Made {
    content: Option<ObjectContent>,
    comment: Option<String>,
    dport: Option<u16>,
    family: Option<Family>,
    flowtable: Option<Flowtable>,
    helper: Option<String>,
    is_hooked: bool,
    policy: BTreeMap<String, u32>,
    protocol: Option<Protocol>,
    size: Option<u8>,
    synproxy: Option<Synproxy>,
    timeout: Option<u32>,
}

/// Returns the parts of an object.
fn needs(kind: &str) -> &'static str {
    match kind {
        "ct expectation" => "protocol, dport, timeout, size (and l3proto, comment)",
        "ct helper" => "type \"NAME\" protocol tcp or udp (and l3proto, comment)",
        "ct timeout" => "protocol (and l3proto, policy, comment)",
        "flowtable" => "hook ingress priority (and devices, flags, counter)",
        "limit" => "rate, such as rate 5/second (and comment)",
        "quota" => "a number of bytes, such as 25 mbytes (and comment)",
        "secmark" => "a security context in quotes (and comment)",
        "synproxy" => "mss and wscale (and timestamp, sack-perm, comment)",
        _ => "packets and bytes (and comment)",
    }
}
