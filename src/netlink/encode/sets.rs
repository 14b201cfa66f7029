//! Sets and their elements: declared, then filled with as many messages as needed.

use super::*;
use crate::attr;
use crate::bytecode::{AnonymousSet, ElementCode, lower_elements, lower_set};
use crate::bytecode::{DynsetCode, ObjrefMapCode};
use crate::model::{Element, Set, SetData};

impl Encoder<'_> {
    /// Declares an anonymous set and sends its elements.
    pub(super) fn anonymous(
        &mut self,
        index: usize,
        expr: usize,
        table: &TableId,
        name: &str,
        set: &AnonymousSet,
    ) -> Result<(), Unencodable> {
        let AnonymousSet { code, elements, order } = set;
        let (table_name, id) = (table.name.as_str(), Some(self.sets));
        let body = SetBody { table: table_name, name, id, code: Some(code) };
        self.message(index, MessagePart::Lookup { expr }, kind::NEWSET, table, flag::CREATE, &Body::Set(body))?;
        let extras = elements.iter().any(has_extras);
        let to = ElementsBody { table: table_name, set: name, id, most: elements.len(), extras };
        let elements = in_kernel_order(elements.iter(), order).map(|code| Ok((Cow::Borrowed(code), None)));
        self.elements(index, |_| MessagePart::Lookup { expr }, kind::NEWSETELEM, flag::CREATE, table, to, elements)
    }

    pub(super) fn add_set(&mut self, index: usize, table: &TableId, set: &Set) -> Result<(), Unencodable> {
        // The kernel requires an id for every set of a batch.
        self.sets = self.sets.wrapping_add(1);
        let code = lower_set(set)?;
        let (id, code) = (Some(self.sets), Some(&code));
        let body = SetBody { table: table.name.as_str(), name: set.name.as_str(), id, code };
        self.message(index, MessagePart::Itself, kind::NEWSET, table, flag::CREATE, &Body::Set(body))?;
        self.named_elements(index, kind::NEWSETELEM, flag::CREATE, table, set)
    }

    /// Elements of a set that is not declared here. A list of none is sent too: the kernel then
    /// looks whether there is such a set, and answers.
    pub(super) fn elements_alone(
        &mut self,
        index: usize,
        kind: u16,
        flags: u16,
        table: &TableId,
        set: &Set,
    ) -> Result<(), Unencodable> {
        if !(set.elements.is_empty() && set.opaque().is_none()) {
            return self.named_elements(index, kind, flags, table, set);
        }
        let header = self.header(index, MessagePart::Itself, kind, table, flags);
        let (table, set) = (table.name.as_str(), set.name.as_str());
        let to = ElementsBody { table, set, id: None, most: 0, extras: false };
        // libnftnl would leave the list out, which deletes all elements.
        own::elements(&mut self.messages, header, &to, &mut std::iter::empty().peekable())?;
        Ok(())
    }

    pub(super) fn named_elements(
        &mut self,
        index: usize,
        kind: u16,
        flags: u16,
        table: &TableId,
        set: &Set,
    ) -> Result<(), Unencodable> {
        // An interval takes two: its start and its end; for a set read from a kernel the number is
        // unknown.
        let most = if set.opaque().is_some() { usize::MAX } else { 2 * set.elements.len() };
        let carries = || {
            let more = |element: &Element| !element.statements().is_empty() || element.key.parts().is_empty();
            set.elements.iter().any(more)
        };
        let extras = set.opaque().is_some() || matches!(set.data, SetData::Object(_)) || carries();
        let to = ElementsBody { table: table.name.as_str(), set: set.name.as_str(), id: None, most, extras };
        let elements = lower_elements(set).map(|code| code.map(|code| (Cow::Owned(code), None)));
        self.elements(index, |first| MessagePart::Elements { first }, kind, flags, table, to, elements)
    }

    /// Encodes elements in as many messages as they need, each filled up.
    #[expect(clippy::too_many_arguments, reason = "a message and where its elements come from")]
    pub(super) fn elements<'e>(
        &mut self,
        index: usize,
        part: impl Fn(usize) -> MessagePart,
        kind: u16,
        flags: u16,
        table: &TableId,
        to: ElementsBody<'_>,
        elements: impl Iterator<Item = Elem<'e>>,
    ) -> Result<(), Unencodable> {
        let mut elements = elements.peekable();
        let mut sent = 0;
        while elements.peek().is_some() {
            let header = self.header(index, part(sent), kind, table, flags);
            let to = ElementsBody { most: to.most.saturating_sub(sent).max(1), ..to };
            let (count, failed) = self.backend.elements(&mut self.messages, header, &to, &mut elements)?;
            sent += count;
            if let Some(error) = failed {
                return Err(error.into());
            }
        }
        Ok(())
    }
}

/// Returns the template for the name of an expression's anonymous set.
pub(in crate::netlink) fn anonymous_name<'a>(expr: &'a Expr, set: &AnonymousSet) -> Cow<'a, str> {
    let template = match expr {
        Expr::Dynset(DynsetCode { set, .. }) | Expr::ObjrefMap(ObjrefMapCode { set, .. }) => Some(set.as_str()),
        Expr::Opaque { name, data, .. } => Expr::set_attributes(name)
            .and_then(|(name, _)| attr::Attributes::new(data).find(name))
            .and_then(|attribute| attribute.text()),
        _ => None,
    };
    Cow::Borrowed(template.unwrap_or(if set.code.data.is_some() { "__map%d" } else { "__set%d" }))
}

/// Returns elements in the order in which they were read, if known: nft(8) lists ranges of
/// concatenations in that order.
pub(super) fn in_kernel_order<T>(elements: impl Iterator<Item = T>, order: &[u32]) -> impl Iterator<Item = T> {
    let mut placed: Vec<(u32, T)> = order.iter().copied().chain(std::iter::repeat(u32::MAX)).zip(elements).collect();
    placed.sort_by_key(|(place, _)| *place);
    placed.into_iter().map(|(_, element)| element)
}

/// Returns whether an element has anything that elements of the model do not have.
pub(super) fn has_extras(element: &ElementCode) -> bool {
    element.extras.is_some() || element.flags & CATCHALL != 0
}

/// `NFT_SET_ELEM_CATCHALL`.
const CATCHALL: u32 = 2;
