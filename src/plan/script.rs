//! Prints transactions as nft scripts: `nft -f` with the text does the same as the commit.

use std::collections::BTreeMap;
use std::fmt;

use super::operation::Operation;
use super::transaction::Transaction;
use crate::model::{ChainId, ChainKind, Family, Name, Position};
use crate::render::Blocks;
use crate::render::script::{chain_block, element_block, object_block, rule, set_block, set_keyword, table_block};

impl fmt::Display for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bound = Bound::default();
        for operation in self.operations() {
            if bound.take(operation) {
                continue;
            }
            // A block is of one rule alone.
            command(f, operation, &std::mem::take(&mut bound).blocks)?;
            f.write_str("\n")?;
        }
        Ok(())
    }
}

/// The chains that belong to the next rule that is not in one of them. nft has them in its braces.
#[derive(Default)]
struct Bound {
    blocks: Blocks,
    rules: BTreeMap<Name, Vec<String>>,
}

impl Bound {
    /// Returns whether the operation makes such a chain, or a rule in it.
    fn take(&mut self, operation: &Operation) -> bool {
        let name = match operation {
            Operation::AddChain { name, kind: ChainKind::Bound, .. } => name,
            Operation::AddRule { chain, position: Position::Last, rule: added }
                if self.rules.contains_key(&chain.name) =>
            {
                let added = format!("{};", rule(chain.table.family, added, &self.blocks));
                self.rules.entry(chain.name.clone()).or_default().push(added);
                &chain.name
            }
            _ => return false,
        };
        let rules = self.rules.entry(name.clone()).or_default();
        self.blocks.insert(name.clone(), format!("{{ {} }}", rules.join(" ")));
        true
    }
}

/// Prints a command of an nft script, or two for a set with elements.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        command(f, self, &Blocks::new())
    }
}

fn command(f: &mut fmt::Formatter<'_>, operation: &Operation, blocks: &Blocks) -> fmt::Result {
    let family = operation.table().map_or(Family::Inet, |table| table.family);
    match operation {
        Operation::AddChain { table, name, kind, comment, kept: _ } => {
            write!(f, "add chain {table} {name}{}", chain_block(family, kind, comment.as_deref()))
        }
        Operation::AddElements { table, set } => {
            write!(f, "add element {table} {} {}", set.name, element_block(&set.elements))
        }
        Operation::AddObject { table, object } => {
            write!(f, "add {} {table} {} {}", object.kind(), object.name, object_block(family, object))
        }
        Operation::AddRule { chain, position, rule: added } => {
            let added = rule(family, added, blocks);
            match position {
                Position::After(handle) => write!(f, "add rule {chain} handle {handle} {added}"),
                Position::Before(handle) => write!(f, "insert rule {chain} handle {handle} {added}"),
                Position::First => write!(f, "insert rule {chain} {added}"),
                Position::Last => write!(f, "add rule {chain} {added}"),
            }
        }
        Operation::AddSet { table, set } => {
            write!(f, "add {} {table} {} {}", set_keyword(set), set.name, set_block(set))?;
            match set.elements.as_slice() {
                [] => Ok(()),
                elements => write!(f, "\nadd element {table} {} {}", set.name, element_block(elements)),
            }
        }
        Operation::AddTable { table, flags, comment, kept: _ } => {
            write!(f, "add table {table}{}", table_block(*flags, comment.as_deref()))
        }
        Operation::DeleteChain(chain) => write!(f, "delete chain {chain}"),
        Operation::DeleteElements { table, set } => {
            write!(f, "delete element {table} {} {}", set.name, element_block(&set.elements))
        }
        Operation::DeleteObject { table, kind, name } => write!(f, "delete {kind} {table} {name}"),
        Operation::DeleteRule { chain, handle } => write!(f, "delete rule {chain} handle {handle}"),
        Operation::DeleteSet { table, set } => write!(f, "delete set {table} {set}"),
        Operation::DeleteTable(table) => write!(f, "delete table {table}"),
        Operation::DestroyChain(chain) => write!(f, "destroy chain {chain}"),
        Operation::DestroyElements { table, set } => {
            write!(f, "destroy element {table} {} {}", set.name, element_block(&set.elements))
        }
        Operation::DestroyObject { table, kind, name } => write!(f, "destroy {kind} {table} {name}"),
        Operation::DestroyRule { chain, handle } => write!(f, "destroy rule {chain} handle {handle}"),
        Operation::DestroySet { table, set } => write!(f, "destroy set {table} {set}"),
        Operation::DestroyTable(table) => write!(f, "destroy table {table}"),
        Operation::FlushChain(chain) => write!(f, "flush chain {chain}"),
        Operation::FlushRuleset(None) => f.write_str("flush ruleset"),
        Operation::FlushRuleset(Some(family)) => write!(f, "flush ruleset {family}"),
        Operation::FlushSet { table, set } => write!(f, "flush set {table} {set}"),
        Operation::FlushTable(table) => write!(f, "flush table {table}"),
        Operation::ReplaceRule { chain, handle, rule: new } => {
            write!(f, "replace rule {chain} handle {handle} {}", rule(family, new, blocks))
        }
        // Not a command of nft, which refuses it: what is restored may exceed nft's syntax.
        Operation::Restore { .. } => f.write_str(&operation.title()),
    }
}

impl Operation {
    /// Returns the action and its object, without what is added: `add rule inet mesh/out`.
    pub(crate) fn title(&self) -> String {
        match self {
            Operation::AddChain { table, name, .. } => format!("add chain {table}/{name}"),
            Operation::AddElements { table, set } => format!("add element {table}/{}", set.name),
            Operation::AddObject { table, object } => format!("add {} {table}/{}", object.kind(), object.name),
            Operation::AddRule { chain, position, .. } => {
                let ChainId { table, name } = chain;
                match position {
                    Position::After(handle) => format!("add rule {table}/{name} after handle {handle}"),
                    Position::Before(handle) => format!("insert rule {table}/{name} before handle {handle}"),
                    Position::First => format!("insert rule {table}/{name}"),
                    Position::Last => format!("add rule {table}/{name}"),
                }
            }
            Operation::AddSet { table, set } => format!("add {} {table}/{}", set_keyword(set), set.name),
            Operation::AddTable { table, .. } => format!("add table {table}"),
            Operation::DeleteChain(chain) => format!("delete chain {}/{}", chain.table, chain.name),
            Operation::DeleteElements { table, set } => format!("delete element {table}/{}", set.name),
            Operation::DeleteObject { table, kind, name } => format!("delete {kind} {table}/{name}"),
            Operation::DeleteRule { chain, handle } => {
                format!("delete rule {}/{} handle {handle}", chain.table, chain.name)
            }
            Operation::DeleteSet { table, set } => format!("delete set {table}/{set}"),
            Operation::DeleteTable(table) => format!("delete table {table}"),
            Operation::DestroyChain(chain) => format!("destroy chain {}/{}", chain.table, chain.name),
            Operation::DestroyElements { table, set } => format!("destroy element {table}/{}", set.name),
            Operation::DestroyObject { table, kind, name } => format!("destroy {kind} {table}/{name}"),
            Operation::DestroyRule { chain, handle } => {
                format!("destroy rule {}/{} handle {handle}", chain.table, chain.name)
            }
            Operation::DestroySet { table, set } => format!("destroy set {table}/{set}"),
            Operation::DestroyTable(table) => format!("destroy table {table}"),
            Operation::FlushChain(chain) => format!("flush chain {}/{}", chain.table, chain.name),
            Operation::FlushRuleset(_) => self.to_string(),
            Operation::FlushSet { table, set } => format!("flush set {table}/{set}"),
            Operation::FlushTable(table) => format!("flush table {table}"),
            Operation::ReplaceRule { chain, handle, .. } => {
                format!("replace rule {}/{} handle {handle}", chain.table, chain.name)
            }
            Operation::Restore { table, state } => {
                let (kind, name) = state.title();
                format!("restore {kind} {table}/{name}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{
        Chain, ChainType, DataType, Element, Hook, Priority, Rule, RuleHandle, Set, Table, TableFlags, TableId, Value,
        set,
    };

    #[test]
    fn every_operation_prints_as_a_command_of_nft() {
        let table = TableId::new(Family::Inet, "t");
        let chain = table.chain("c");
        let elements = [
            Element::new(Value::Ipv4([1, 2, 3, 5].into())).timeout(Duration::from_millis(90_061_005)),
            Element::new(Value::Ipv4([1, 2, 3, 4].into())).comment("x"),
        ];
        let blocked = Set::new("s", [DataType::Ipv4]).timeout(Duration::from_secs(60));
        let map = Set::verdict_map("m", [DataType::Port, DataType::Ipv4]).interval();
        let rule = || Rule::new().ip_saddr(set("s")).drop();
        let transaction = Transaction::new()
            .operation(Operation::add_table(&Table::new(Family::Inet, "t").flags(TableFlags::DORMANT).comment("why")))
            .add_chain(&table, Chain::base("c", ChainType::Nat, Hook::Prerouting, Priority::DSTNAT).rule(rule()))
            .add_chain(&table, Chain::regular("r").comment("why"))
            .add_set(&table, blocked.clone().elements(elements.clone()))
            .add_set(&table, map)
            .add_elements(&table.set("s"), elements.clone())
            .delete_elements(&table.set("s"), elements)
            .insert_rule(&chain, Position::First, rule())
            .insert_rule(&chain, Position::Before(RuleHandle(4)), rule())
            .insert_rule(&chain, Position::After(RuleHandle(4)), rule())
            .replace_rule(&chain, RuleHandle(4), rule())
            .delete_rule(&chain, RuleHandle(4))
            .flush_chain(&chain)
            .flush_table(&table)
            .flush_set(&table.set("s"))
            .delete_chain(&chain)
            .delete_set(&table.set("s"))
            .delete_table(&table)
            .destroy_rule(&chain, RuleHandle(4))
            .destroy_chain(&chain)
            .destroy_elements(&table.set("s"), [Element::new(Value::Ipv4([1, 2, 3, 4].into()))])
            .destroy_set(&table.set("s"))
            .operation(Operation::DestroyObject { table: table.clone(), kind: "quota".into(), name: "q".into() })
            .destroy_table(&table)
            .operation(Operation::FlushRuleset(Some(Family::Ip6)))
            .flush_ruleset();
        let expected = [
            "add table inet t { flags dormant; comment \"why\"; }",
            "add chain inet t c { type nat hook prerouting priority dstnat; policy accept; }",
            "add rule inet t c ip saddr @s drop",
            "add chain inet t r { comment \"why\"; }",
            "add set inet t s { type ipv4_addr; timeout 1m; }",
            "add element inet t s { 1.2.3.5 timeout 1d1h1m1s5ms, 1.2.3.4 comment \"x\" }",
            "add map inet t m { type inet_service . ipv4_addr : verdict; flags interval; }",
            "add element inet t s { 1.2.3.5 timeout 1d1h1m1s5ms, 1.2.3.4 comment \"x\" }",
            "delete element inet t s { 1.2.3.5 timeout 1d1h1m1s5ms, 1.2.3.4 comment \"x\" }",
            "insert rule inet t c ip saddr @s drop",
            "insert rule inet t c handle 4 ip saddr @s drop",
            "add rule inet t c handle 4 ip saddr @s drop",
            "replace rule inet t c handle 4 ip saddr @s drop",
            "delete rule inet t c handle 4",
            "flush chain inet t c",
            "flush table inet t",
            "flush set inet t s",
            "delete chain inet t c",
            "delete set inet t s",
            "delete table inet t",
            "destroy rule inet t c handle 4",
            "destroy chain inet t c",
            "destroy element inet t s { 1.2.3.4 }",
            "destroy set inet t s",
            "destroy quota inet t q",
            "destroy table inet t",
            "flush ruleset ip6",
            "flush ruleset",
        ];
        assert_eq!(transaction.to_string().lines().collect::<Vec<_>>(), expected);
    }
}
