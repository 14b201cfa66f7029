//! Commands and the objects they are about: JSON to text.

use serde_json::Value;

use super::script::{At, Script, Written};
use super::statements::inverted;
use crate::error::Quoted;

/// What a command does with its object.
const COMMANDS: [&str; 9] = ["add", "create", "insert", "replace", "delete", "destroy", "flush", "rename", "reset"];

/// The words of nft's text for objects of these names.
const OBJECTS: [&str; 8] =
    ["counter", "quota", "limit", "ct helper", "ct timeout", "ct expectation", "synproxy", "secmark"];

impl<'v> Script<'v> {
    /// Writes every command of `{ "nftables": [ ... ] }`.
    pub(super) fn commands(&mut self, root: At<'v>) -> Written {
        let commands = self.need(root, "nftables")?;
        if !commands.value.is_array() {
            return Err(self.unexpected(commands, "an array of commands"));
        }
        for command in self.items(commands) {
            self.command(command)?;
        }
        Ok(())
    }

    fn command(&mut self, at: At<'v>) -> Written {
        let (verb, of) = self.only(at, "a command such as add, or an object such as table")?;
        if verb == "metainfo" {
            return match self.get(of, "json_schema_version") {
                Some(version) if version.value.as_u64() != Some(1) => {
                    Err(self.unsupported(version, "a version of the format other than 1"))
                }
                _ => Ok(()),
            };
        }
        if !COMMANDS.contains(&verb) {
            if matches!(verb, "list" | "get" | "monitor" | "describe" | "export" | "import") {
                return Err(self.wrong(at, format!("{verb} changes nothing; ask Kernel::snapshot for what is there")));
            }
            // An object alone is added, whatever handle it had.
            self.object_command("add", true, verb, of)?;
            self.end_line();
            return Ok(());
        }
        let (kind, object) = self.only(of, "what the command is about, such as table, chain, rule or set")?;
        self.object_command(verb, false, kind, object)?;
        self.end_line();
        Ok(())
    }

    fn object_command(&mut self, verb: &'v str, is_alone: bool, kind: &'v str, of: At<'v>) -> Written {
        let adds = matches!(verb, "add" | "create");
        self.word_of(of, verb);
        match kind {
            "ruleset" => {
                self.word("ruleset");
                self.get(of, "family").map_or(Ok(()), |family| self.name(family))
            }
            "table" => {
                self.word("table");
                self.family(of)?;
                self.identified(of, adds)?;
                if adds { self.table_block(of) } else { Ok(()) }
            }
            "rule" => self.rule(verb, is_alone, of),
            "chain" => {
                self.word("chain");
                self.in_table(of)?;
                self.identified(of, adds)?;
                match verb {
                    "rename" => {
                        let name = self.need(of, "newname")?;
                        self.name(name)
                    }
                    _ if adds => self.chain_block(of),
                    _ => Ok(()),
                }
            }
            "set" | "map" | "meter" => {
                self.word(kind);
                self.in_table(of)?;
                self.identified(of, adds)?;
                if adds { self.set_block(of) } else { Ok(()) }
            }
            "element" => {
                self.word("element");
                self.in_table(of)?;
                self.identified(of, true)?;
                let elements = self.need(of, "elem")?;
                self.elements(elements)
            }
            "flowtable" => {
                self.word("flowtable");
                self.in_table(of)?;
                self.identified(of, adds)?;
                if adds { self.flowtable_block(of) } else { Ok(()) }
            }
            _ if OBJECTS.contains(&kind) => {
                self.word(kind);
                self.in_table(of)?;
                self.identified(of, adds)?;
                if adds { self.object_block(kind, of) } else { Ok(()) }
            }
            _ => {
                let known = "ruleset, table, chain, rule, set, map, element, flowtable, counter, quota, limit, ct helper, \
                             ct timeout, ct expectation, synproxy, secmark";
                Err(self.wrong(of, format!("no object {}, expected one of {known}", Quoted::new(kind))))
            }
        }
    }

    /// Writes the family, which is ip if it is not given.
    fn family(&mut self, of: At<'v>) -> Written {
        match self.get(of, "family") {
            Some(family) => self.name(family),
            None => {
                self.word("ip");
                Ok(())
            }
        }
    }

    fn in_table(&mut self, of: At<'v>) -> Written {
        self.family(of)?;
        let table = self.need(of, "table")?;
        self.name(table)
    }

    /// Writes the name of an object, or its handle if that may be instead.
    fn identified(&mut self, of: At<'v>, by_name: bool) -> Written {
        match (self.get(of, "name"), self.get(of, "handle")) {
            (None, Some(handle)) if !by_name => {
                let number = self.number(handle)?;
                self.word_of(handle, &format!("handle {number}"));
                Ok(())
            }
            (Some(name), _) => self.name(name),
            (None, _) => Err(self.wrong(of, "no property \"name\"")),
        }
    }

    fn rule(&mut self, verb: &'v str, is_alone: bool, of: At<'v>) -> Written {
        self.word("rule");
        self.in_table(of)?;
        let chain = self.need(of, "chain")?;
        self.name(chain)?;
        for key in ["index", "handle", "position"] {
            if let Some(place) = self.get(of, key).filter(|_| !is_alone) {
                let number = self.number(place)?;
                self.word_of(place, &format!("{key} {number}"));
                break;
            }
        }
        if matches!(verb, "delete" | "destroy" | "reset") {
            return Ok(());
        }
        let statements = self.need(of, "expr")?;
        if !statements.value.is_array() {
            return Err(self.unexpected(statements, "an array of statements"));
        }
        for statement in self.items(statements) {
            self.statement(statement)?;
        }
        self.comment(of)
    }

    fn comment(&mut self, of: At<'v>) -> Written {
        let Some(comment) = self.get(of, "comment") else { return Ok(()) };
        self.word("comment");
        self.quoted(comment)
    }

    fn table_block(&mut self, of: At<'v>) -> Written {
        let (flags, comment) = (self.get(of, "flags"), self.get(of, "comment"));
        if flags.is_none() && comment.is_none() {
            return Ok(());
        }
        self.word("{");
        if let Some(flags) = flags {
            self.word("flags");
            self.flags(flags)?;
            self.word(";");
        }
        if comment.is_some() {
            self.comment(of)?;
            self.word(";");
        }
        self.word("}");
        Ok(())
    }

    fn chain_block(&mut self, of: At<'v>) -> Written {
        let (kind, hook, priority) = (self.get(of, "type"), self.get(of, "hook"), self.get(of, "prio"));
        let (device, policy, comment) = (self.get(of, "dev"), self.get(of, "policy"), self.get(of, "comment"));
        if [kind, hook, priority, device, policy, comment].iter().all(Option::is_none) {
            return Ok(());
        }
        self.word("{");
        match (kind, hook, priority) {
            (Some(kind), Some(hook), Some(priority)) => {
                self.word("type");
                self.name(kind)?;
                self.word("hook");
                self.name(hook)?;
                if let Some(device) = device {
                    self.devices(device)?;
                }
                let Some(number) = priority.value.as_i64() else {
                    return Err(self.unexpected(priority, "a priority, which is a number"));
                };
                self.word_of(priority, &format!("priority {number} ;"));
            }
            (None, None, None) => {}
            _ => return Err(self.wrong(of, "a chain with a hook has the properties type, hook and prio")),
        }
        if let Some(policy) = policy {
            self.word("policy");
            self.name(policy)?;
            self.word(";");
        }
        if comment.is_some() {
            self.comment(of)?;
            self.word(";");
        }
        self.word("}");
        Ok(())
    }

    fn devices(&mut self, at: At<'v>) -> Written {
        if at.value.is_string() {
            self.word("device");
            return self.quoted(at);
        }
        self.word("devices =");
        self.quoted_in_braces(at)
    }

    fn quoted_in_braces(&mut self, at: At<'v>) -> Written {
        self.word("{");
        for (index, device) in self.items(at).into_iter().enumerate() {
            if index > 0 {
                self.word(",");
            }
            self.quoted(device)?;
        }
        self.word("}");
        Ok(())
    }

    fn set_block(&mut self, of: At<'v>) -> Written {
        self.word("{");
        let key = self.need(of, "type")?;
        let data = self.get(of, "map");
        // A type is a name; a field instead of it is one for the type of that field.
        let by_field = [Some(key), data].iter().flatten().any(|of| of.value.get("typeof").is_some());
        self.word(if by_field { "typeof" } else { "type" });
        self.types(key)?;
        if let Some(data) = data {
            self.word(":");
            self.maps_to(of, data)?;
        }
        self.word(";");
        for (name, is_span) in [("size", false), ("timeout", true), ("gc-interval", true)] {
            if let Some(value) = self.get(of, name) {
                let number = self.number(value)?;
                self.word_of(value, &format!("{name} {number}{} ;", if is_span { "s" } else { "" }));
            }
        }
        if let Some(policy) = self.get(of, "policy") {
            self.word("policy");
            self.name(policy)?;
            self.word(";");
        }
        if let Some(flags) = self.get(of, "flags") {
            self.word("flags");
            self.flags(flags)?;
            self.word(";");
        }
        if let Some(merges) = self.get(of, "auto-merge") {
            if self.boolean(merges)? {
                self.word_of(merges, "auto-merge ;");
            }
        }
        if self.get(of, "comment").is_some() {
            self.comment(of)?;
            self.word(";");
        }
        if self.get(of, "stmt").is_some() {
            self.states(of)?;
            self.word(";");
        }
        if let Some(elements) = self.get(of, "elem").filter(|elements| elements.value != &Value::Array(Vec::new())) {
            self.word("elements =");
            self.elements(elements)?;
            self.word(";");
        }
        self.word("}");
        Ok(())
    }

    /// Writes one type, several with dots between, or fields instead of them.
    /// Writes what elements map to. nft leaves out that they are intervals, which these show.
    fn maps_to(&mut self, of: At<'v>, data: At<'v>) -> Written {
        let is_interval = |part: &Value| part.get("range").is_some() || part.get("prefix").is_some();
        let shows = |element: &Value| {
            let Some(data) = element.get(1) else { return false };
            let parts = data.get("concat").and_then(Value::as_array);
            parts.map_or_else(|| is_interval(data), |parts| parts.iter().any(is_interval))
        };
        let elements = of.value.get("elem").and_then(Value::as_array);
        if elements.is_some_and(|elements| elements.iter().any(shows)) {
            self.word("interval");
        }
        match data.value.as_str() {
            Some(types) if types.contains(" . ") => {
                let is_word = |word: &str| {
                    !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b.is_ascii_digit())
                };
                if !types.split(" . ").all(is_word) {
                    return Err(self.unexpected(data, "types such as ipv4_addr . inet_service"));
                }
                self.word_of(data, types);
                Ok(())
            }
            _ => self.types(data),
        }
    }

    fn types(&mut self, at: At<'v>) -> Written {
        if let Some(field) = self.get(at, "typeof") {
            return self.expression(field);
        }
        for (index, part) in self.items(at).into_iter().enumerate() {
            if index > 0 {
                self.word(".");
            }
            self.names(part)?;
        }
        Ok(())
    }

    fn flowtable_block(&mut self, of: At<'v>) -> Written {
        let (hook, priority) = (self.need(of, "hook")?, self.need(of, "prio")?);
        self.word("{ hook");
        self.name(hook)?;
        let Some(number) = priority.value.as_i64() else {
            return Err(self.unexpected(priority, "a priority, which is a number"));
        };
        self.word_of(priority, &format!("priority {number} ;"));
        if let Some(devices) = self.get(of, "dev") {
            self.word("devices =");
            self.quoted_in_braces(devices)?;
            self.word(";");
        }
        self.word("}");
        Ok(())
    }

    /// Writes the block of an object, with the words of nft's text.
    fn object_block(&mut self, kind: &str, of: At<'v>) -> Written {
        self.word("{");
        match kind {
            "counter" => {
                if let (Some(packets), Some(bytes)) = (self.get(of, "packets"), self.get(of, "bytes")) {
                    let (packets, bytes) = (self.number(packets)?, self.number(bytes)?);
                    self.word(&format!("packets {packets} bytes {bytes}"));
                }
            }
            "quota" => {
                let over = inverted(self, of)?;
                self.word(if over { "over" } else { "until" });
                self.size(of, "bytes", "unit")?;
                if self.get(of, "used").is_some_and(|used| used.value.as_u64() != Some(0)) {
                    self.word("used");
                    self.size(of, "used", "used_unit")?;
                }
            }
            "limit" => self.rate(of)?,
            "ct helper" => {
                let (of_type, protocol) = (self.need(of, "type")?, self.need(of, "protocol")?);
                self.word("type");
                self.quoted(of_type)?;
                self.word("protocol");
                self.name(protocol)?;
                self.word(";");
                self.layer(of)?;
            }
            "ct timeout" => {
                self.protocol(of)?;
                self.layer(of)?;
                if let Some(policy) = self.get(of, "policy") {
                    self.policy(policy)?;
                }
            }
            "ct expectation" => {
                self.protocol(of)?;
                for key in ["dport", "size"] {
                    if let Some(value) = self.get(of, key) {
                        let number = self.number(value)?;
                        self.word_of(value, &format!("{key} {number} ;"));
                    }
                }
                if let Some(timeout) = self.get(of, "timeout") {
                    let milliseconds = self.number(timeout)?;
                    self.word_of(timeout, &format!("timeout {milliseconds}ms ;"));
                }
                self.layer(of)?;
            }
            "synproxy" => {
                for key in ["mss", "wscale"] {
                    if let Some(value) = self.get(of, key) {
                        let number = self.number(value)?;
                        self.word_of(value, &format!("{key} {number} ;"));
                    }
                }
                self.spaced_flags(of)?;
            }
            _ => {
                let context = self.need(of, "context")?;
                self.quoted(context)?;
            }
        }
        self.word(";");
        self.comment(of)?;
        self.word("; }");
        Ok(())
    }

    fn protocol(&mut self, of: At<'v>) -> Written {
        let protocol = self.need(of, "protocol")?;
        self.word("protocol");
        self.name(protocol)?;
        self.word(";");
        Ok(())
    }

    fn layer(&mut self, of: At<'v>) -> Written {
        let Some(layer) = self.get(of, "l3proto") else { return Ok(()) };
        self.word("l3proto");
        self.name(layer)?;
        self.word(";");
        Ok(())
    }

    /// Writes timeouts by state.
    fn policy(&mut self, at: At<'v>) -> Written {
        let Value::Object(states) = at.value else {
            return Err(self.unexpected(at, "an object with the seconds of each state"));
        };
        self.word_of(at, "policy = {");
        for (index, (state, seconds)) in states.iter().enumerate() {
            let is_name = state.bytes().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'0'..=b'9'));
            let (Some(seconds), true) = (seconds.as_u64(), is_name && !state.is_empty()) else {
                return Err(self.unexpected(at, "names of states with seconds"));
            };
            self.word(&format!("{}{state} : {seconds}", if index > 0 { ", " } else { "" }));
        }
        self.word("} ;");
        Ok(())
    }
}
