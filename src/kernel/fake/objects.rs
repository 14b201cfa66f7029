//! Stateful objects and flowtables, which can be deleted where nothing can refer to them.

use super::machine::Batch;
use super::stop::{Outcome, Stop, refuse};
use crate::attr::nfta::{NFTA_OBJ_NAME, NFTA_OBJ_TABLE};
use crate::bytecode::Expr;
use crate::model::{Name, TableId};
use crate::state::TableState;

impl Batch<'_> {
    /// nf_tables_delobj and nf_tables_delflowtable, whose attributes have the same numbers.
    pub(super) fn delete_object(&mut self, id: &TableId, kind: &str, name: &Name) -> Outcome {
        let table = self.table(id, NFTA_OBJ_TABLE)?;
        let Some(index) = table.objects.iter().position(|object| object.kind == kind && object.name == *name) else {
            return refuse(libc::ENOENT, NFTA_OBJ_NAME);
        };
        if may_refer(table) {
            return Err(Stop::Unknown(format!("{kind} {name} may be in use")));
        }
        table.objects.remove(index);
        self.has_changed = true;
        Ok(())
    }
}

/// Whether something in the table may refer to an object: an expression that is not known, or an
/// element of a map.
fn may_refer(table: &TableState) -> bool {
    let mut exprs = table.chains.iter().flat_map(|chain| &chain.rules).flat_map(|rule| &rule.exprs);
    let refers =
        |expr: &Expr| matches!(expr, Expr::FlowOffload(_) | Expr::Objref(_) | Expr::ObjrefMap(_) | Expr::Opaque { .. });
    exprs.any(refers) || table.sets.iter().any(|set| set.code.object.is_some() && !set.elements.is_empty())
}
