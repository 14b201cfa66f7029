//! Fields with parameters: their names are in the model, next to their numbers.

use super::cursor::unexpected;
use super::error::{Fault, Parsed};
use super::lexer::Kind;
use super::parser::{Parser, unsupported};
use crate::model::{
    CtDirected, CtDirectedKey, CtDirection, Exthdr, ExthdrOf, ExthdrPart, Family, Fib, FibKey, FibResult, Field, Ipsec,
    IpsecDirection, IpsecKey, Numgen, NumgenMode, Osf, OsfKey, OsfTtl, RawBase, RawPayload, SocketCgroup, Symhash,
};

impl<'t> Parser<'t> {
    /// Reads a field with parameters, if one begins here.
    pub(super) fn field_with_parameters(&mut self) -> Parsed<Option<Field>> {
        let (first, second, third) = (self.peek(), self.peek_at(1), self.peek_at(2));
        let directed = second.is("original") || second.is("reply");
        let field = match first.text {
            "@" if first.kind == Kind::Symbol => self.raw_payload()?.into(),
            "ct" if second.is("event") => {
                self.skip(2);
                Field::CtEvent
            }
            // The kernel has no direction for these.
            "ct" if directed && third.is("l3proto") => {
                self.skip(3);
                Field::CtL3proto
            }
            "ct" if directed && third.is("protocol") => {
                self.skip(3);
                Field::CtProtocol
            }
            "ct" if directed => self.directed()?.into(),
            "exthdr" => {
                self.next();
                self.presence("exthdr ")?
            }
            "fib" => self.fib()?.into(),
            "ip" if second.is("option") => self.option("ip option ")?,
            "ipsec" if second.is("in") || second.is("out") => self.ipsec()?.into(),
            "numgen" => self.numgen()?.into(),
            "osf" => self.osf()?.into(),
            "rt" if second.is("nexthop") => self.next_hop()?,
            "sctp" if second.is("chunk") => self.option("sctp chunk ")?,
            "socket" if second.is("cgroupv2") => {
                self.skip(2);
                self.expect("level")?;
                let level = self.number("a depth of 0 to 255", u8::MAX.into())?;
                SocketCgroup { level: u8::try_from(level).unwrap_or(u8::MAX) }.into()
            }
            "symhash" => {
                self.next();
                let (modulus, offset) = self.modulus_and_offset()?;
                Symhash { modulus, offset }.into()
            }
            "tcp" if second.is("option") => self.option("tcp option ")?,
            "dst" | "frag" | "hbh" | "mh" | "rt" | "rt0" | "rt2" | "srh" if self.named_field(0).is_none() => {
                self.part_of_header()?
            }
            _ => return Ok(None),
        };
        Ok(Some(field))
    }

    /// Reads `@th,16,32`.
    fn raw_payload(&mut self) -> Parsed<RawPayload> {
        let start = self.next();
        let bases = RawBase::ALL.map(|(base, _, name)| (name.trim_start_matches('@'), base));
        let base = self.one_of("the header that is counted from", &bases)?;
        self.expect(",")?;
        let offset = self.number_u16("an offset in bits of 0 to 65535")?;
        self.expect(",")?;
        let bits = self.number("a length in bits", 128)?;
        match u8::try_from(bits) {
            Ok(bits @ 8..=128) if offset % 8 == 0 && bits % 8 == 0 => Ok(RawPayload { base, offset, bits }),
            _ => Err(unsupported(start, format_args!("{bits} bits at {offset} of a header"))),
        }
    }

    /// Reads `ct original ip saddr`.
    fn directed(&mut self) -> Parsed<CtDirected> {
        self.next();
        let directions = [("original", CtDirection::Original), ("reply", CtDirection::Reply)];
        let direction = self.one_of("a direction", &directions)?;
        let (first, second) = (self.peek(), self.peek_at(1));
        let said = if first.is("ip") || first.is("ip6") {
            format!("{} {}", first.text, second.text)
        } else {
            first.text.into()
        };
        let Some((key, _, name)) = CtDirectedKey::ALL.iter().find(|(_, _, name)| *name == said) else {
            let known: Vec<&str> = CtDirectedKey::ALL.iter().map(|(_, _, name)| *name).collect();
            return self.unsupported(format_args!("{said} of a direction (known: {})", known.join(", ")));
        };
        self.skip(name.split(' ').count());
        Ok(CtDirected { direction, key: *key })
    }

    /// Reads `fib saddr . iif oif`; whether there is a route is `exists` or `missing` behind it.
    fn fib(&mut self) -> Parsed<Fib> {
        const PARTS: [(&str, FibKey); 5] = [
            ("saddr", FibKey::SADDR),
            ("daddr", FibKey::DADDR),
            ("mark", FibKey::MARK),
            ("iif", FibKey::IIF),
            ("oif", FibKey::OIF),
        ];
        const RESULTS: [(&str, FibResult); 3] =
            [("oif", FibResult::Oif), ("oifname", FibResult::Oifname), ("type", FibResult::Type)];
        self.next();
        let start = self.peek();
        let mut key = self.one_of("what is looked up", &PARTS)?;
        while self.take(".") {
            key |= self.one_of("what is looked up", &PARTS)?;
        }
        let wrong = |why: &str| Err(Fault::wrong(start.at, start.length(), why));
        match (key & (FibKey::SADDR | FibKey::DADDR), key & (FibKey::IIF | FibKey::OIF)) {
            (FibKey::SADDR | FibKey::DADDR, both) if both != FibKey::IIF | FibKey::OIF => {}
            (FibKey::SADDR | FibKey::DADDR, _) => return wrong("fib: iif and oif exclude each other"),
            _ => return wrong("fib: what is looked up is either saddr or daddr, and more"),
        }
        let mut result = self.one_of("what the lookup tells", &RESULTS)?;
        let operator = usize::from(["==", "eq", "!=", "ne"].iter().any(|operator| self.at(operator)));
        let then = self.peek_at(operator);
        if then.is("exists") || then.is("missing") {
            if result != FibResult::Oif {
                return Err(Fault::wrong(then.at, then.length(), "whether there is a route is asked by oif"));
            }
            result = FibResult::Exists;
        }
        Ok(Fib { key, result })
    }

    /// Reads `osf ttl loose version`.
    fn osf(&mut self) -> Parsed<Osf> {
        self.next();
        let ttl = match self.take("ttl") {
            true => self.one_of("how the TTL is compared", &[("loose", OsfTtl::Loose), ("skip", OsfTtl::Skip)])?,
            false => OsfTtl::True,
        };
        let key = self.one_of("what is told", &[("name", OsfKey::Name), ("version", OsfKey::Version)])?;
        Ok(Osf { ttl, key })
    }

    /// Reads `rt nexthop`, which is of the family of the table.
    fn next_hop(&mut self) -> Parsed<Field> {
        let field = match self.family {
            Family::Ip => Field::RtIpNexthop,
            Family::Ip6 => Field::RtIp6Nexthop,
            Family::Arp | Family::Bridge | Family::Inet | Family::Netdev => {
                let token = self.peek_at(1);
                let why = "the family is open: write rt ip nexthop or rt ip6 nexthop";
                return Err(Fault::wrong(token.at, token.length(), why));
            }
        };
        self.skip(2);
        Ok(field)
    }

    /// Reads `ipsec in spnum 1 ip saddr`.
    fn ipsec(&mut self) -> Parsed<Ipsec> {
        self.next();
        let direction = self.one_of("a direction", &[("in", IpsecDirection::In), ("out", IpsecDirection::Out)])?;
        let spnum = if self.take("spnum") { self.number("a number of 0 to 255", u8::MAX.into())? } else { 0 };
        let (first, second) = (self.peek(), self.peek_at(1));
        let said = |name: &str| match name.split_once(' ') {
            Some((family, part)) => first.is(family) && second.is(part),
            None => first.is(name),
        };
        let Some((key, _, name)) = IpsecKey::ALL.iter().find(|(_, _, name)| said(name)) else {
            let known: Vec<&str> = IpsecKey::ALL.iter().map(|(_, _, name)| *name).collect();
            return self.unexpected(&format!("a property of the transformation ({})", known.join(", ")));
        };
        self.skip(name.split(' ').count());
        Ok(Ipsec { direction, spnum: u8::try_from(spnum).unwrap_or(u8::MAX), key: *key })
    }

    /// Reads `numgen inc mod 2 offset 1`.
    fn numgen(&mut self) -> Parsed<Numgen> {
        self.next();
        let mode =
            self.one_of("how the number is made", &[("inc", NumgenMode::Inc), ("random", NumgenMode::Random)])?;
        let (modulus, offset) = self.modulus_and_offset()?;
        Ok(Numgen { mode, modulus, offset })
    }

    /// Reads `mod 2 offset 1`.
    fn modulus_and_offset(&mut self) -> Parsed<(u32, u32)> {
        self.expect("mod")?;
        let modulus = self.modulus()?;
        Ok((modulus, self.offset(modulus)?))
    }

    /// Reads the number of different results.
    pub(super) fn modulus(&mut self) -> Parsed<u32> {
        let token = self.peek();
        let modulus = self.number_u32("a modulus from 1")?;
        if modulus == 0 {
            return Err(Fault::wrong(token.at, token.length(), "a modulus is at least 1"));
        }
        Ok(modulus)
    }

    /// Reads `offset 1`, if it is there.
    pub(super) fn offset(&mut self, modulus: u32) -> Parsed<u32> {
        if !self.take("offset") {
            return Ok(0);
        }
        let token = self.peek();
        let offset = self.number_u32("an offset of 32 bits")?;
        match offset.checked_add(modulus - 1) {
            Some(_) => Ok(offset),
            None => Err(Fault::wrong(token.at, token.length(), "offset and modulus together exceed 32 bits")),
        }
    }

    /// Reads `hbh` behind `exthdr`.
    fn presence(&mut self, words: &str) -> Parsed<Field> {
        let token = self.peek();
        match Exthdr::presence(&format!("{words}{}", token.text)) {
            Some(of) if token.kind == Kind::Word => {
                self.next();
                Ok(of.into())
            }
            _ => self.unexpected("an extension header (hbh, rt, frag, dst, mh)"),
        }
    }

    /// Reads `frag id`.
    fn part_of_header(&mut self) -> Parsed<Field> {
        let (header, part) = (self.next(), self.peek());
        let name = self.part_name()?;
        match Exthdr::named(&format!("{} {name}", header.text)) {
            Some(of) => Ok(of.into()),
            None => Err(unsupported(part, format_args!("{} {name}", header.text))),
        }
    }

    /// Reads the name of a part, which may have an index: `addr[1]`.
    fn part_name(&mut self) -> Parsed<String> {
        let mut name = self.word("a part of the header")?.text.to_owned();
        if self.take("[") {
            name += &format!("[{}]", self.number("an index from 1", 255)?);
            self.expect("]")?;
        }
        Ok(name)
    }

    /// Reads an option of TCP or IPv4 or a chunk of SCTP, or a part of it, behind its words.
    fn option(&mut self, words: &str) -> Parsed<Field> {
        self.next();
        self.next();
        if words == "tcp option " && self.take("@") {
            return self.raw_option();
        }
        let (kind, name) = self.option_name(words)?;
        let part = self.peek();
        let is_part =
            part.kind == Kind::Word && !["exists", "missing", "set", "eq", "ne", "map", "vmap"].contains(&part.text);
        if is_part {
            if let Some(of) = name.and_then(|name| Exthdr::named(&format!("{words}{name} {}", part.text))) {
                self.next();
                return Ok(of.into());
            }
            if words == "tcp option " && part.text == "length" {
                self.next();
                return Ok(Exthdr { of: ExthdrOf::Tcp, kind, part: ExthdrPart::Bits { offset: 8, bits: 8 } }.into());
            }
            return self.unsupported(format_args!("{words}{} {}", name.unwrap_or_default(), part.text));
        }
        let of = match words {
            "ip option " => ExthdrOf::Ipv4,
            "sctp chunk " => ExthdrOf::Sctp,
            _ => ExthdrOf::Tcp,
        };
        Ok(Exthdr { of, kind, part: ExthdrPart::Exists }.into())
    }

    /// Reads which option or chunk: its number, and its name if it has one.
    fn option_name(&mut self, words: &str) -> Parsed<(u8, Option<&'t str>)> {
        let token = self.peek();
        if token.kind == Kind::Number && words == "tcp option " {
            let kind = self.number("the number of an option, 0 to 255", u8::MAX.into())?;
            return Ok((u8::try_from(kind).unwrap_or(u8::MAX), None));
        }
        let name = OPTIONS.iter().find(|(other, _)| token.is(other)).map_or(token.text, |(_, name)| name);
        match Exthdr::presence(&format!("{words}{name}")) {
            Some(of) if token.kind == Kind::Word => {
                self.next();
                Ok((of.kind, Some(name)))
            }
            _ if token.kind == Kind::Word => self.unsupported(format_args!("{words}{}", token.text)),
            _ => Err(unexpected(token, "the name of an option")),
        }
    }

    /// Reads the option of TCP behind a statement `reset`.
    pub(super) fn tcp_option(&mut self) -> Parsed<u8> {
        self.expect("tcp")?;
        self.expect("option")?;
        Ok(self.option_name("tcp option ")?.0)
    }

    /// Reads `255,8,8` behind `tcp option @`.
    fn raw_option(&mut self) -> Parsed<Field> {
        let start = self.peek();
        let (kind, _) = self.option_name("tcp option ")?;
        self.expect(",")?;
        let offset = self.number_u16("an offset in bits")?;
        self.expect(",")?;
        let bits = self.number_u16("a length in bits")?;
        if offset % 8 != 0 || bits % 8 != 0 || bits == 0 || bits > 128 {
            return Err(unsupported(start, format_args!("{bits} bits at {offset} of an option")));
        }
        Ok(Exthdr { of: ExthdrOf::Tcp, kind, part: ExthdrPart::Bits { offset, bits } }.into())
    }
}

/// Further names of options that nft reads, and never prints.
const OPTIONS: [(&str, &str); 4] =
    [("mss", "maxseg"), ("noop", "nop"), ("sack-permitted", "sack-perm"), ("sack0", "sack")];
