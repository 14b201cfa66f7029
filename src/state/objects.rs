//! What a listing says of counters, quotas and limits with names.

use super::snapshot::OpaqueState;
use crate::attr::Attributes;
use crate::attr::nfta::{
    NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS, NFTA_COUNTER_PAD, NFTA_LIMIT_BURST, NFTA_LIMIT_FLAGS, NFTA_LIMIT_PAD,
    NFTA_LIMIT_RATE, NFTA_LIMIT_TYPE, NFTA_LIMIT_UNIT, NFTA_OBJ_DATA, NFTA_QUOTA_BYTES, NFTA_QUOTA_CONSUMED,
    NFTA_QUOTA_FLAGS, NFTA_QUOTA_PAD,
};
use crate::bytecode::userdata_text;
use crate::model::{Limit, LimitOf, LimitUnit, LimitWhen, Quota, Statement};
use crate::render::listing::comment;

/// Returns the lines of an object; `None` if it has parts that are not known here.
pub(super) fn lines(object: &OpaqueState) -> Option<Vec<String>> {
    let (mut content, mut userdata) = (None, None);
    for attribute in Attributes::new(&object.attributes) {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_OBJ_DATA => content = Some(attribute.nested()),
            NFTA_OBJ_USERDATA => userdata = userdata_text(attribute.value, UDATA_COMMENT),
            _ => {}
        }
    }
    let statement = match object.kind.as_str() {
        "counter" => counter(content?)?,
        "limit" => limit(content?)?,
        "quota" => quota(content?)?,
        _ => return None,
    };
    // The same words follow the keyword in a rule.
    let text = statement.to_string();
    let words = text.strip_prefix(&object.kind)?.trim_start().to_owned();
    Some(userdata.map(|text| comment(&text).to_string()).into_iter().chain([words]).collect())
}

fn counter(content: Attributes<'_>) -> Option<Statement> {
    let (mut packets, mut bytes) = (0, 0);
    for attribute in content {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_COUNTER_BYTES => bytes = attribute.need_be64().ok()?,
            NFTA_COUNTER_PACKETS => packets = attribute.need_be64().ok()?,
            NFTA_COUNTER_PAD => {}
            _ => return None,
        }
    }
    Some(Statement::Counter { packets, bytes })
}

fn quota(content: Attributes<'_>) -> Option<Statement> {
    let mut quota = Quota { bytes: 0, when: LimitWhen::Until, used: 0 };
    for attribute in content {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_QUOTA_BYTES => quota.bytes = attribute.need_be64().ok()?,
            NFTA_QUOTA_CONSUMED => quota.used = attribute.need_be64().ok()?,
            NFTA_QUOTA_FLAGS => quota.when = when(attribute.need_be32().ok()?)?,
            NFTA_QUOTA_PAD => {}
            _ => return None,
        }
    }
    Some(Statement::Quota(quota))
}

fn limit(content: Attributes<'_>) -> Option<Statement> {
    let mut limit = Limit::packets(0, LimitUnit::Second);
    for attribute in content {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_LIMIT_BURST => limit.burst = attribute.need_be32().ok()?,
            NFTA_LIMIT_FLAGS => limit.when = when(attribute.need_be32().ok()?)?,
            NFTA_LIMIT_RATE => limit.rate = attribute.need_be64().ok()?,
            NFTA_LIMIT_TYPE => {
                limit.of = match attribute.need_be32().ok()? {
                    0 => LimitOf::Packets,
                    1 => LimitOf::Bytes,
                    _ => return None,
                }
            }
            NFTA_LIMIT_UNIT => {
                let seconds = attribute.need_be64().ok()?;
                limit.per = LimitUnit::ALL.into_iter().find(|unit| unit.seconds() == seconds)?;
            }
            NFTA_LIMIT_PAD => {}
            _ => return None,
        }
    }
    Some(Statement::Limit(limit))
}

/// `NFT_QUOTA_F_INV` and `NFT_LIMIT_F_INV`; that the quota was used up is of the running system.
fn when(flags: u32) -> Option<LimitWhen> {
    match flags {
        0 => Some(LimitWhen::Until),
        1 => Some(LimitWhen::Over),
        _ => None,
    }
}

/// `NFTA_OBJ_USERDATA`, and the comment in it (`NFTNL_UDATA_OBJ_COMMENT`).
const NFTA_OBJ_USERDATA: u16 = 8;
const UDATA_COMMENT: u8 = 0;
