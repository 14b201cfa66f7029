//! Encodes what was read from a kernel as messages that add it again.
//!
//! A dump contains more than the kernel accepts: handles, uses, counts of elements, the owner of a
//! table. These are omitted here; everything else is sent back as it came.

use super::*;
use crate::attr::nfta::{
    NFTA_FLOWTABLE_HANDLE, NFTA_FLOWTABLE_PAD, NFTA_FLOWTABLE_USE, NFTA_OBJ_HANDLE, NFTA_OBJ_NAME, NFTA_OBJ_PAD,
    NFTA_OBJ_TYPE, NFTA_OBJ_USE,
};
use crate::bytecode::lower_object;
use crate::model::{Object, Opaque};
use crate::state::{ChainState, HookState, OpaqueState, RuleState, SetState, TableState};

impl Encoder<'_> {
    pub(super) fn restore(&mut self, index: usize, table: &TableId, state: &State) -> Result<(), Unencodable> {
        match state {
            State::Chain(state) => self.restore_chain(index, table, state),
            State::Object(state) => self.restore_object(index, table, state),
            State::Rule { chain, position, rule } => self.restore_rule(index, table, chain, *position, rule),
            State::Set(state) => self.restore_set(index, table, state),
            State::Table(state) => self.restore_table(index, table, state),
        }
    }

    fn restore_table(&mut self, index: usize, table: &TableId, state: &TableState) -> Result<(), Unencodable> {
        let TableState { id: _, handle: _, flags, owner: _, uses: _, userdata, sets: _, chains: _, .. } = state;
        let TableState { objects: _, opaque, .. } = state;
        let body = TableBody { name: table.name.as_str(), flags: *flags, userdata, opaque };
        self.message(index, MessagePart::Itself, kind::NEWTABLE, table, flag::CREATE, &Body::Table(body))
    }

    fn restore_chain(&mut self, index: usize, table: &TableId, state: &ChainState) -> Result<(), Unencodable> {
        let ChainState { name, handle: _, hook, flags, uses: _, unlisted: _, counters, userdata, .. } = state;
        let ChainState { rules: _, opaque, .. } = state;
        let hook = hook.as_ref().map(|hook| {
            let HookState { chain_type, hook, priority, policy, devices, opaque } = hook;
            HookBody { chain_type, hook: *hook, priority: *priority, policy: *policy, devices, opaque }
        });
        let body = ChainBody {
            table: table.name.as_str(),
            name: name.as_str(),
            hook,
            // The hook already implies the flag of a base chain.
            flags: flags & !NFT_CHAIN_BASE,
            counters: *counters,
            userdata,
            opaque,
        };
        self.message(index, MessagePart::Itself, kind::NEWCHAIN, table, flag::CREATE, &Body::Chain(body))
    }

    fn restore_rule(
        &mut self,
        index: usize,
        table: &TableId,
        chain: &Name,
        position: Position,
        state: &RuleState,
    ) -> Result<(), Unencodable> {
        let RuleState { handle: _, exprs, userdata, opaque } = state;
        let (flags, position) = placed(position);
        let (table_name, chain) = (table.name.as_str(), Some(chain.as_str()));
        let body = RuleBody { table: table_name, chain, position, exprs, userdata, opaque, ..RuleBody::default() };
        self.rule_message(index, table, flags, body)
    }

    fn restore_set(&mut self, index: usize, table: &TableId, state: &SetState) -> Result<(), Unencodable> {
        let SetState { name, handle: _, code, elements, order, expires, backend: _, count: _ } = state;
        self.sets = self.sets.wrapping_add(1);
        let id = Some(self.sets);
        let body = SetBody { table: table.name.as_str(), name: name.as_str(), id, code: Some(code) };
        self.message(index, MessagePart::Itself, kind::NEWSET, table, flag::CREATE, &Body::Set(body))?;
        let to = ElementsBody {
            table: table.name.as_str(),
            set: name.as_str(),
            id: None,
            most: elements.len(),
            extras: !expires.is_empty() || elements.iter().any(sets::has_extras),
        };
        let left = expires.iter().copied().chain(std::iter::repeat(None));
        let elements = sets::in_kernel_order(elements.iter().zip(left), order);
        let elements = elements.map(|(code, left)| Ok((Cow::Borrowed(code), left)));
        self.elements(
            index,
            |first| MessagePart::Elements { first },
            kind::NEWSETELEM,
            flag::CREATE,
            table,
            to,
            elements,
        )
    }

    fn restore_object(&mut self, index: usize, table: &TableId, state: &OpaqueState) -> Result<(), Unencodable> {
        let OpaqueState { kind: of, name: _, handle: _, attributes } = state;
        let (message, without): (u16, &'static [u16]) = match of.as_str() {
            FLOWTABLE => (kind::NEWFLOWTABLE, &[NFTA_FLOWTABLE_USE, NFTA_FLOWTABLE_HANDLE, NFTA_FLOWTABLE_PAD]),
            _ => (kind::NEWOBJ, &[NFTA_OBJ_USE, NFTA_OBJ_HANDLE, NFTA_OBJ_PAD]),
        };
        let body = ObjectBody { table: table.name.as_str(), attributes, without };
        self.message(index, MessagePart::Itself, message, table, flag::CREATE, &Body::Object(body))
    }

    pub(super) fn add_object(&mut self, index: usize, table: &TableId, object: &Object) -> Result<(), Unencodable> {
        if let Some(read) = object.opaque().and_then(Opaque::code) {
            return self.restore_object(index, table, read);
        }
        let attributes = lower_object(object)?;
        let message = if object.kind() == FLOWTABLE { kind::NEWFLOWTABLE } else { kind::NEWOBJ };
        let body = ObjectBody { table: table.name.as_str(), attributes: &attributes, without: &[] };
        self.message(index, MessagePart::Itself, message, table, flag::CREATE, &Body::Object(body))
    }

    pub(super) fn delete_object(
        &mut self,
        index: usize,
        [object, flowtable]: [u16; 2],
        table: &TableId,
        of: &str,
        name: &Name,
    ) -> Result<(), Unencodable> {
        let mut attributes = Vec::new();
        let mut writer = AttributeWriter::new(&mut attributes);
        // The name has the same number in both messages.
        writer.text(NFTA_OBJ_NAME, name.as_str())?;
        let message = match of {
            FLOWTABLE => flowtable,
            of => {
                let unknown = || io::Error::new(io::ErrorKind::InvalidInput, format!("{of}: not a kind of object"));
                writer.be32(NFTA_OBJ_TYPE, object_number(of).ok_or_else(unknown)?);
                object
            }
        };
        let body = ObjectBody { table: table.name.as_str(), attributes: &attributes, without: &[] };
        self.message(index, MessagePart::Itself, message, table, 0, &Body::Object(body))
    }
}

const FLOWTABLE: &str = "flowtable";
// include/uapi/linux/netfilter/nf_tables.h
const NFT_CHAIN_BASE: u32 = 1;
