//! Stateful objects and flowtables to add and delete. Their counts are not a difference.

use std::collections::HashMap;

use super::Steps;
use super::rules::Doomed;
use crate::attr::nfta::{
    NFTA_FLOWTABLE_HANDLE, NFTA_FLOWTABLE_PAD, NFTA_FLOWTABLE_TABLE, NFTA_FLOWTABLE_USE, NFTA_OBJ_DATA,
    NFTA_OBJ_HANDLE, NFTA_OBJ_PAD, NFTA_OBJ_TABLE, NFTA_OBJ_USE, NFTA_QUOTA_CONSUMED, NFTA_QUOTA_PAD,
};
use crate::bytecode::{lower_object, raise_object, same_attributes};
use crate::model::{Object, Opaque, Table};
use crate::plan::operation::Operation;
use crate::state::{OpaqueState, TableState};

impl Steps {
    pub(super) fn objects<'s>(&mut self, state: &'s TableState, table: &Table, doomed: &mut Doomed<'s>) {
        // Of two with the same name the first, as in the kernel.
        let wanted = table.objects.iter().rev().map(|object| ((object.kind(), object.name()), object));
        let wanted: HashMap<_, _> = wanted.collect();
        let there = state.objects.iter().rev().map(|held| ((held.kind.as_str(), &held.name), held));
        let there: HashMap<_, _> = there.collect();
        for held in &state.objects {
            let wanted = wanted.get(&(held.kind.as_str(), &held.name));
            if wanted.is_none_or(|wanted| !same(held, wanted)) {
                let (kind, name) = (held.kind.clone(), held.name.clone());
                self.objects_gone.push(Operation::DeleteObject { table: state.id.clone(), kind, name });
                doomed.objects.insert(&held.name);
            }
        }
        for object in &table.objects {
            let held = there.get(&(object.kind(), object.name()));
            if held.is_none_or(|held| !same(held, object)) {
                self.objects_made.push(Operation::AddObject { table: state.id.clone(), object: object.clone() });
            }
        }
    }
}

/// Returns whether both have the same declaration, whatever their state.
fn same(held: &OpaqueState, object: &Object) -> bool {
    let Some(wanted) = object.opaque().map(Opaque::code::<OpaqueState>) else {
        // As it is after a round trip: what is not said has its usual value.
        let sent = lower_object(object).ok();
        let wanted = sent.and_then(|sent| raise_object(object.kind(), &object.name, &sent));
        let held = raise_object(&held.kind, &held.name, &held.attributes);
        return held.is_some() && held.map(Object::unused) == wanted.map(Object::unused);
    };
    let Some(wanted) = wanted else { return false };
    let content = attributes(&held.attributes, NFTA_OBJ_DATA);
    let wanted_content = attributes(&wanted.attributes, NFTA_OBJ_DATA);
    let data = match held.kind.as_str() {
        "counter" => true,
        "quota" => same_attributes(content, wanted_content, &[NFTA_QUOTA_CONSUMED, NFTA_QUOTA_PAD]),
        _ => content == wanted_content,
    };
    let (only_reported, inside): (&[u16], bool) = match held.kind.as_str() {
        "flowtable" => (&[NFTA_FLOWTABLE_TABLE, NFTA_FLOWTABLE_USE, NFTA_FLOWTABLE_HANDLE, NFTA_FLOWTABLE_PAD], true),
        _ => (&[NFTA_OBJ_TABLE, NFTA_OBJ_DATA, NFTA_OBJ_USE, NFTA_OBJ_HANDLE, NFTA_OBJ_PAD], data),
    };
    inside && same_attributes(&held.attributes, &wanted.attributes, only_reported)
}

/// Returns the contents of the attribute of that type.
fn attributes(all: &[u8], kind: u16) -> &[u8] {
    crate::bytecode::attributes(all).find(|(found, _)| *found == kind).map_or(&[], |(_, value)| value)
}
