//! Rules: comparisons, statements and verdicts.

use super::Dice;
use super::fields::{Kind, field, mask, number, prefix, range, value};
use super::statements::{ending, passing};

/// What the rules of a table may name.
pub(super) struct Within<'a> {
    pub(super) family: &'a str,
    /// The type of the base chain.
    pub(super) kind: &'a str,
    /// Parts of rules that use the sets and objects that are declared.
    pub(super) uses: &'a [String],
}

pub(super) fn rule(dice: &mut Dice, within: &Within<'_>) -> String {
    let mut parts = Vec::new();
    for _ in 0..dice.below(4) {
        parts.push(if dice.chance(70) { comparison(dice, within.family) } else { passing(dice, within) });
    }
    if !within.uses.is_empty() && dice.chance(60) {
        let at = dice.below(parts.len() + 1);
        parts.insert(at, dice.pick(within.uses));
    }
    if parts.is_empty() || dice.chance(60) {
        parts.push(ending(dice, within));
    }
    if dice.chance(8) {
        parts.push(dice.pick(&["comment \"why, it = { exists }\"", "comment word", "comment \"it's; # no\""]).into());
    }
    parts.join(" ")
}

pub(super) fn verdict(dice: &mut Dice) -> &'static str {
    dice.pick(&["accept", "drop", "jump r", "goto r", "return", "continue"])
}

fn element(dice: &mut Dice, kind: Kind, intervals: bool) -> String {
    let interval = match dice.below(4) {
        0 if intervals => range(dice, kind),
        1 if intervals => prefix(dice, kind),
        _ => None,
    };
    let bits = |dice: &mut Dice| match kind {
        Kind::Bits(names) if dice.chance(40) => Some(dice.some(names, 3).join(" | ")),
        _ => None,
    };
    interval.or_else(|| bits(dice)).unwrap_or_else(|| value(dice, kind))
}

/// Returns elements, each followed by what `after` makes.
pub(super) fn elements(
    dice: &mut Dice,
    kinds: &[Kind],
    intervals: bool,
    mut after: impl FnMut(&mut Dice) -> String,
) -> String {
    let mut all: Vec<(String, String)> = Vec::new();
    for _ in 0..dice.from(1, 5) {
        let parts: Vec<String> = kinds.iter().map(|kind| element(dice, *kind, intervals)).collect();
        let key = parts.join(" . ");
        if all.iter().all(|(other, _)| *other != key) {
            let rest = after(dice);
            all.push((key, rest));
        }
    }
    if dice.chance(8) {
        let rest = after(dice);
        all.push(("*".to_owned(), rest));
    }
    let all: Vec<String> = all.into_iter().map(|(key, rest)| key + &rest).collect();
    all.join(dice.pick(&[", ", ", ", ",", " , "]))
}

/// Returns several fields of the family as one key.
pub(super) fn concatenation(dice: &mut Dice, family: &str) -> (String, Vec<Kind>) {
    let fields: Vec<_> = (0..dice.from(2, 4)).map(|_| field(dice, family)).collect();
    let names: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    (names.join(" . "), fields.iter().map(|(_, kind)| *kind).collect())
}

pub(super) fn comparison(dice: &mut Dice, family: &str) -> String {
    if dice.chance(12) {
        let (names, kinds) = concatenation(dice, family);
        let intervals = dice.chance(50);
        return if dice.chance(50) {
            let all = elements(dice, &kinds, intervals, |_| String::new());
            format!("{names} {}{{ {all} }}", dice.pick(&["", "", "!= "]))
        } else {
            let all = elements(dice, &kinds, intervals, |dice| format!(" : {}", verdict(dice)));
            format!("{names} vmap {{ {all} }}")
        };
    }
    let (name, kind) = field(dice, family);
    let not = dice.pick(&["", "", "", "!= ", "== ", "ne ", "eq "]);
    if let (Kind::Bits(names), true) = (kind, dice.chance(70)) {
        return bits(dice, name, names);
    }
    match dice.below(13) {
        0 | 1 => {
            let text = range(dice, kind).unwrap_or_else(|| value(dice, kind));
            format!("{name} {not}{text}")
        }
        2 => {
            let text = prefix(dice, kind).unwrap_or_else(|| value(dice, kind));
            format!("{name} {not}{text}")
        }
        3 => format!("{name} {} {}", dice.pick(&["<", ">", "<=", ">=", "lt", "ge"]), value(dice, kind)),
        4 => match mask(dice, kind) {
            Some(mask) => {
                let (op, value) = (dice.pick(&["==", "!=", "==", "<", ">="]), value(dice, kind));
                format!("{name} {} {mask} {op} {value}", dice.pick(&["&", "and"]))
            }
            None => format!("{name} {}", value(dice, kind)),
        },
        5 => {
            let by = number(dice, 3).max(1);
            let of = value(dice, kind);
            match dice.below(3) {
                0 => format!("{name} >> {by} == {of}"),
                1 => format!("{name} << {by} {of}"),
                _ => format!("{name} | {of} == {}", value(dice, kind)),
            }
        }
        6 | 7 => {
            let intervals = dice.chance(50);
            let not = dice.pick(&["", "", "!= "]);
            format!("{name} {not}{{ {} }}", elements(dice, &[kind], intervals, |_| String::new()))
        }
        8 => {
            let intervals = dice.chance(50);
            format!("{name} vmap {{ {} }}", elements(dice, &[kind], intervals, |dice| format!(" : {}", verdict(dice))))
        }
        _ => format!("{name} {not}{}", value(dice, kind)),
    }
}

fn bits(dice: &mut Dice, name: &str, names: &'static [&'static str]) -> String {
    let some = dice.some(names, 3);
    let more: Vec<_> = names.iter().copied().filter(|name| some.contains(name) || dice.chance(40)).collect();
    let (equal, not) = (dice.pick(&["==", "!="]), dice.pick(&["", "", "!= "]));
    match dice.below(8) {
        0 => format!("{name} {}", some.join(",")),
        1 => format!("{name} ! {}", some.join(",")),
        2 => format!("{name} {equal} {}", some.join(" | ")),
        3 => format!("{name} & ({}) {equal} {}", more.join(" | "), some.join(" | ")),
        4 => format!("{name} & ({}) {equal} 0", more.join(" | ")),
        5 => format!("{name} {not}{}", some.join(",")),
        6 => format!("{name} {not}{{ {} }}", some.join(", ")),
        _ => format!("{name} {not}{} / {}", some.join(","), more.join(",")),
    }
}
