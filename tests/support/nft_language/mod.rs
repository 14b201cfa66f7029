//! Random texts in the whole language of nft 1.0.6: families, hooks, fields, statements, sets, maps,
//! objects, variables, comments, blocks and commands. nft refuses some of them.

mod declared;
mod fields;
mod rules;
mod statements;

use super::dice::Dice;
use declared::{Declared, object, set};
use rules::{Within, rule};

/// The hooks of the chains: family, name of the type, and the hook.
const CHAINS: &[(&str, &str, &str)] = &[
    ("ip", "filter", "hook input priority 0"),
    ("ip", "filter", "hook prerouting priority raw - 5"),
    ("ip", "nat", "hook postrouting priority 100"),
    ("ip", "nat", "hook prerouting priority dstnat + 1"),
    ("ip", "route", "hook output priority mangle"),
    ("ip6", "filter", "hook output priority security"),
    ("ip6", "filter", "hook forward priority filter"),
    ("ip6", "nat", "hook postrouting priority srcnat"),
    ("inet", "filter", "hook prerouting priority -300"),
    ("inet", "filter", "hook input priority filter + 10"),
    ("inet", "filter", "hook forward priority 0"),
    ("inet", "filter", "hook ingress device lo priority 0"),
    ("inet", "nat", "hook prerouting priority dstnat"),
    ("inet", "nat", "hook output priority -100"),
    ("inet", "nat", "hook postrouting priority srcnat"),
    ("netdev", "filter", "hook ingress device lo priority 0"),
    ("netdev", "filter", "hook ingress devices = { lo, eth0 } priority filter - 100"),
    ("netdev", "filter", "hook egress device \"eth0\" priority 5"),
    ("bridge", "filter", "hook forward priority 0"),
    ("bridge", "filter", "hook prerouting priority dstnat"),
    ("bridge", "filter", "hook input priority out"),
    ("arp", "filter", "hook input priority 0"),
    ("arp", "filter", "hook output priority filter"),
];

/// A random table: the same in two spellings, each of which nft may refuse.
pub struct Text {
    /// In blocks, on one line.
    pub line: String,
    /// In blocks or commands, over several lines, perhaps with variables and comments.
    pub spread: String,
}

/// Returns a table of that name.
pub fn text(dice: &mut Dice, name: &str) -> Text {
    let (family, kind, hook) = dice.pick(CHAINS);
    let mut all: Vec<Declared> = Vec::new();
    for index in 0..dice.below(3) {
        all.push(if dice.chance(30) { object(dice, index) } else { set(dice, family, index) });
    }
    let uses: Vec<String> = all.iter().flat_map(|declared| declared.uses.clone()).collect();
    let within = Within { family, kind, uses: &uses };
    let rules: Vec<String> = (0..dice.from(1, 2)).map(|_| rule(dice, &within)).collect();
    let policy = dice.pick(&["", "", " policy drop;", " policy accept;"]);
    let hooked = format!("type {kind} {hook};{policy}");
    let comment = dice.pick(&["", "", "", "comment \"a table\"; ", "flags dormant; "]);
    let table = Table { head: format!("table {family} {name}"), comment, all, hooked, rules };
    let spread = if dice.chance(50) { table.commands(dice, family, name) } else { table.lines(dice) };
    Text { line: table.line(), spread }
}

struct Table {
    head: String,
    comment: &'static str,
    all: Vec<Declared>,
    hooked: String,
    rules: Vec<String>,
}

impl Table {
    fn line(&self) -> String {
        let Table { head, comment, all, hooked, rules } = self;
        let declared: String = all.iter().map(|declared| format!("{} ", declared.block("; "))).collect();
        let rules: String = rules.iter().map(|rule| format!("{rule}; ")).collect();
        format!("{head} {{ {comment}{declared}chain r {{ }}; chain c {{ {hooked} {rules}}}; }}\n")
    }

    fn lines(&self, dice: &mut Dice) -> String {
        let Table { head, comment, all, hooked, rules } = self;
        let note = dice.pick(&["", "# a note; with { braces }\n", "\n\n"]);
        let declared: String = all.iter().map(|declared| format!("{}\n", declared.block("\n"))).collect();
        let rules: String = rules.iter().map(|rule| format!("\t{}{note}", split(dice, rule))).collect();
        let end = dice.pick(&["\n", ";\n", " # why\n"]);
        format!(
            "{note}{head} {{\n{comment}\n{declared}\tchain r {{\n\t}}\n{note}chain c {{{}\n{hooked}\n{rules}}}{end}}}\n",
            dice.pick(&["", " # of the chain"])
        )
    }

    fn commands(&self, dice: &mut Dice, family: &str, name: &str) -> String {
        let Table { head, comment, all, hooked, rules } = self;
        let mut text = format!("{}{head} {{ {comment}}}\n", dice.pick(&["add ", ""]));
        for declared in all {
            let Declared { keyword, name: own, body, elements, uses: _ } = declared;
            text += &format!("add {keyword} {family} {name} {own} {{ {}; }}\n", body.join("; "));
            if let Some(elements) = elements {
                let apart = dice.pick(&[", ", ",\n\t"]);
                text += &format!("add element {family} {name} {own} {{ {} }}\n", elements.replace(", ", apart));
            }
        }
        text += &format!("add chain {family} {name} r\nadd chain {family} {name} c {{ {hooked} }}\n");
        for rule in rules {
            let (define, rule) = variable(dice, rule);
            text += &define;
            text += &format!("{} {family} {name} c {rule}\n", dice.pick(&["add rule", "rule", "add rule", "add"]));
        }
        text
    }
}

impl Declared {
    /// Returns the declaration in a table.
    fn block(&self, between: &str) -> String {
        let Declared { keyword, name, body, elements, uses: _ } = self;
        let elements = elements.as_ref().map(|elements| format!("elements = {{ {elements} }}"));
        let parts: String = body.iter().cloned().chain(elements).map(|part| part + between).collect();
        let end = if between.contains('\n') { "" } else { ";" };
        format!("{keyword} {name} {{{}{parts}}}{end}", if between.contains('\n') { "\n" } else { " " })
    }
}

/// Ends a rule in one of the ways that nft knows, perhaps with a break within it.
fn split(dice: &mut Dice, rule: &str) -> String {
    let rule = match rule.find(", ") {
        Some(_) if dice.chance(20) => rule.replacen(", ", ",\n\t\t", 1),
        _ => rule.to_owned(),
    };
    let rule = match rule.find(' ') {
        Some(_) if dice.chance(15) && !rule.contains('"') => rule.replacen(' ', " \\\n\t", 1),
        _ => rule,
    };
    rule + dice.pick(&["\n", ";\n", " ;\n"])
}

/// Puts a part of a rule into a variable.
fn variable(dice: &mut Dice, rule: &str) -> (String, String) {
    let start = rule.find("{ ").filter(|_| dice.chance(30) && !rule.contains(['"', ':']));
    let end = start.and_then(|start| Some(start + rule.get(start..)?.find(" }")? + 2));
    match start.zip(end) {
        Some((start, end)) => {
            let (before, rest) = rule.split_at(start);
            let (list, after) = rest.split_at(end - start);
            (format!("redefine v = {list}\n"), format!("{before}$v{after}"))
        }
        None => (String::new(), rule.to_owned()),
    }
}
