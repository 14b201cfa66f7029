//! Named objects as the kernel keeps them: the attributes of `NFT_MSG_NEWOBJ` and
//! `NFT_MSG_NEWFLOWTABLE`, without the table.
//!
//! What has an attribute that is not known here is not raised. The order of attributes is nft's.

use std::io;

use super::kept::{commented, userdata_comment};
use crate::attr::nfta::*;
use crate::attr::{Attribute, AttributeWriter, Attributes};
use crate::model::{
    CtExpectation, CtHelper, CtTimeout, Family, Flowtable, FlowtableFlags, Limit, LimitOf, LimitUnit, LimitWhen, Name,
    Object, ObjectContent, Priority, Protocol, Quota, Synproxy, SynproxyFlags,
};

/// Returns the attributes of an object; nothing if it is as it was read.
///
/// # Errors
/// If a name or text has a NUL or is too long.
pub(crate) fn lower_object(object: &Object) -> io::Result<Vec<u8>> {
    let Object { name, content, comment } = object;
    let mut attributes = Vec::new();
    let mut a = AttributeWriter::new(&mut attributes);
    if let ObjectContent::Flowtable(table) = content {
        flowtable(&mut a, name, table)?;
        return Ok(attributes);
    }
    a.text(NFTA_OBJ_NAME, name.as_str())?;
    let number = match content {
        ObjectContent::Counter { .. } => 1,
        ObjectContent::Quota(_) => 2,
        ObjectContent::CtHelper(_) => 3,
        ObjectContent::Limit(_) => 4,
        ObjectContent::CtTimeout(_) => 7,
        ObjectContent::Secmark(_) => 8,
        ObjectContent::CtExpectation(_) => 9,
        ObjectContent::Synproxy(_) => 10,
        ObjectContent::Flowtable(_) | ObjectContent::Opaque(_) => return Ok(Vec::new()),
    };
    a.be32(NFTA_OBJ_TYPE, number);
    if comment.is_some() {
        let userdata = commented(comment.as_deref(), &[]);
        a.bytes(NFTA_OBJ_USERDATA, &userdata, userdata.len())?;
    }
    a.nest(NFTA_OBJ_DATA, |a| write(a, content))?;
    Ok(attributes)
}

fn write(a: &mut AttributeWriter<'_>, content: &ObjectContent) -> io::Result<()> {
    match content {
        ObjectContent::Counter { packets, bytes } => {
            a.be64(NFTA_COUNTER_BYTES, *bytes);
            a.be64(NFTA_COUNTER_PACKETS, *packets);
        }
        ObjectContent::CtExpectation(CtExpectation { protocol, dport, timeout, size, family }) => {
            a.be16(NFTA_CT_EXPECT_L3PROTO, u16::from(family.number()));
            a.u8(NFTA_CT_EXPECT_L4PROTO, protocol.0);
            a.be16(NFTA_CT_EXPECT_DPORT, *dport);
            // The only one of these in host order: nft_ct_expect_obj_init, net/netfilter/nft_ct.c.
            a.bytes(NFTA_CT_EXPECT_TIMEOUT, &timeout.to_ne_bytes(), 4)?;
            a.u8(NFTA_CT_EXPECT_SIZE, *size);
        }
        ObjectContent::CtHelper(CtHelper { helper, protocol, family }) => {
            // As nft sends it, without a NUL.
            a.bytes(NFTA_CT_HELPER_NAME, helper.as_bytes(), HELPER)?;
            a.be16(NFTA_CT_HELPER_L3PROTO, u16::from(family.number()));
            a.u8(NFTA_CT_HELPER_L4PROTO, protocol.0);
        }
        ObjectContent::CtTimeout(timeout) => {
            a.be16(NFTA_CT_TIMEOUT_L3PROTO, u16::from(timeout.family.number()));
            a.u8(NFTA_CT_TIMEOUT_L4PROTO, timeout.protocol.0);
            a.nest(NFTA_CT_TIMEOUT_DATA, |a| {
                (1..).zip(timeout.seconds()).for_each(|(state, seconds)| a.be32(state, seconds));
                Ok(())
            })?;
        }
        ObjectContent::Limit(Limit { rate, per, of, burst, when }) => {
            a.be64(NFTA_LIMIT_RATE, *rate);
            a.be64(NFTA_LIMIT_UNIT, per.seconds());
            a.be32(NFTA_LIMIT_BURST, *burst);
            a.be32(NFTA_LIMIT_TYPE, u32::from(*of == LimitOf::Bytes));
            a.be32(NFTA_LIMIT_FLAGS, u32::from(*when == LimitWhen::Over));
        }
        ObjectContent::Quota(Quota { bytes, when, used }) => {
            a.be64(NFTA_QUOTA_BYTES, *bytes);
            a.be64(NFTA_QUOTA_CONSUMED, *used);
            a.be32(NFTA_QUOTA_FLAGS, u32::from(*when == LimitWhen::Over));
        }
        ObjectContent::Secmark(context) => a.bytes(NFTA_SECMARK_CTX, context.as_bytes(), CONTEXT)?,
        ObjectContent::Synproxy(Synproxy { mss, wscale, flags }) => {
            let given = u32::from(mss.is_some()) | u32::from(wscale.is_some()) << 1;
            mss.iter().for_each(|mss| a.be16(NFTA_SYNPROXY_MSS, *mss));
            wscale.iter().for_each(|wscale| a.u8(NFTA_SYNPROXY_WSCALE, *wscale));
            a.be32(NFTA_SYNPROXY_FLAGS, flags.bits() | given);
        }
        ObjectContent::Flowtable(_) | ObjectContent::Opaque(_) => {}
    }
    Ok(())
}

fn flowtable(a: &mut AttributeWriter<'_>, name: &Name, flowtable: &Flowtable) -> io::Result<()> {
    let Flowtable { priority, devices, flags } = flowtable;
    a.text(NFTA_FLOWTABLE_NAME, name.as_str())?;
    a.nest(NFTA_FLOWTABLE_HOOK, |a| {
        a.be32(NFTA_FLOWTABLE_HOOK_NUM, INGRESS);
        a.be32(NFTA_FLOWTABLE_HOOK_PRIORITY, u32::from_ne_bytes(priority.0.to_ne_bytes()));
        if devices.is_empty() {
            return Ok(());
        }
        let mut devices: Vec<&String> = devices.iter().collect();
        devices.sort_unstable();
        a.nest(NFTA_FLOWTABLE_HOOK_DEVS, |a| devices.iter().try_for_each(|name| a.text(NFTA_DEVICE_NAME, name)))
    })?;
    a.be32(NFTA_FLOWTABLE_FLAGS, flags.bits());
    Ok(())
}

/// Returns the object of this kind with these attributes; `None` if the model cannot say all of it.
pub(crate) fn raise_object(kind: &str, name: &Name, attributes: &[u8]) -> Option<Object> {
    if kind == "flowtable" {
        return Some(Object::new(name, raise_flowtable(attributes)?));
    }
    let (mut content, mut userdata) = (None, &[][..]);
    for attribute in Attributes::new(attributes) {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_OBJ_DATA => content = Some(attribute.nested()),
            NFTA_OBJ_USERDATA => userdata = attribute.value,
            NFTA_OBJ_TABLE | NFTA_OBJ_NAME | NFTA_OBJ_TYPE | NFTA_OBJ_USE | NFTA_OBJ_HANDLE | NFTA_OBJ_PAD => {}
            _ => return None,
        }
    }
    let comment = userdata_comment(userdata);
    let content = read(kind, content?)?;
    let is_all = commented(comment.as_deref(), &[]) == userdata;
    is_all.then(|| Object { name: name.clone(), content, comment })
}

fn read(kind: &str, attributes: Attributes<'_>) -> Option<ObjectContent> {
    let mut content = match kind {
        "counter" => ObjectContent::Counter { packets: 0, bytes: 0 },
        "ct expectation" => {
            let (protocol, family) = (Protocol(0), Family::Inet);
            CtExpectation { protocol, dport: 0, timeout: 0, size: 0, family }.into()
        }
        "ct helper" => CtHelper::new("", Protocol(0)).into(),
        "ct timeout" => return timeout(attributes).map(Into::into),
        "limit" => Limit::packets(0, LimitUnit::Second).into(),
        "quota" => Quota { bytes: 0, when: LimitWhen::Until, used: 0 }.into(),
        "secmark" => ObjectContent::Secmark(String::new()),
        "synproxy" => Synproxy::default().into(),
        _ => return None,
    };
    for attribute in attributes {
        part(&mut content, &attribute.ok()?)?;
    }
    Some(content)
}

/// Reads an attribute of an object; `None` if its meaning is not known.
fn part(content: &mut ObjectContent, attribute: &Attribute<'_>) -> Option<()> {
    match (content, attribute.kind) {
        (ObjectContent::Counter { bytes, .. }, NFTA_COUNTER_BYTES) => *bytes = attribute.need_be64().ok()?,
        (ObjectContent::Counter { packets, .. }, NFTA_COUNTER_PACKETS) => *packets = attribute.need_be64().ok()?,
        (ObjectContent::Counter { .. }, NFTA_COUNTER_PAD) => {}
        (ObjectContent::CtExpectation(expected), kind) => match kind {
            NFTA_CT_EXPECT_L3PROTO => expected.family = family(attribute)?,
            NFTA_CT_EXPECT_L4PROTO => expected.protocol = protocol(attribute)?,
            NFTA_CT_EXPECT_DPORT => expected.dport = attribute.need_be16().ok()?,
            NFTA_CT_EXPECT_TIMEOUT => expected.timeout = attribute.u32()?,
            NFTA_CT_EXPECT_SIZE => expected.size = byte(attribute)?,
            _ => return None,
        },
        (ObjectContent::CtHelper(helper), kind) => match kind {
            NFTA_CT_HELPER_NAME => text(attribute)?.clone_into(&mut helper.helper),
            NFTA_CT_HELPER_L3PROTO => helper.family = family(attribute)?,
            NFTA_CT_HELPER_L4PROTO => helper.protocol = protocol(attribute)?,
            _ => return None,
        },
        (ObjectContent::Limit(limit), kind) => match kind {
            NFTA_LIMIT_RATE => limit.rate = attribute.need_be64().ok()?,
            NFTA_LIMIT_UNIT => {
                let seconds = attribute.need_be64().ok()?;
                limit.per = LimitUnit::ALL.into_iter().find(|unit| unit.seconds() == seconds)?;
            }
            NFTA_LIMIT_BURST => limit.burst = attribute.need_be32().ok()?,
            NFTA_LIMIT_TYPE => {
                limit.of = match attribute.need_be32().ok()? {
                    0 => LimitOf::Packets,
                    1 => LimitOf::Bytes,
                    _ => return None,
                }
            }
            NFTA_LIMIT_FLAGS => limit.when = when(attribute)?,
            NFTA_LIMIT_PAD => {}
            _ => return None,
        },
        (ObjectContent::Quota(quota), kind) => match kind {
            NFTA_QUOTA_BYTES => quota.bytes = attribute.need_be64().ok()?,
            NFTA_QUOTA_CONSUMED => quota.used = attribute.need_be64().ok()?,
            NFTA_QUOTA_FLAGS => quota.when = when(attribute)?,
            NFTA_QUOTA_PAD => {}
            _ => return None,
        },
        (ObjectContent::Secmark(context), NFTA_SECMARK_CTX) => text(attribute)?.clone_into(context),
        (ObjectContent::Synproxy(synproxy), kind) => match kind {
            NFTA_SYNPROXY_MSS => synproxy.mss = Some(attribute.need_be16().ok()?),
            NFTA_SYNPROXY_WSCALE => synproxy.wscale = Some(byte(attribute)?),
            // The two others say which numbers are given.
            NFTA_SYNPROXY_FLAGS => synproxy.flags = SynproxyFlags::from_bits(attribute.need_be32().ok()? & !3)?,
            _ => return None,
        },
        _ => return None,
    }
    Some(())
}

fn timeout(attributes: Attributes<'_>) -> Option<CtTimeout> {
    let (mut timeout, mut seconds) = (CtTimeout::new(Protocol(0)), None);
    for attribute in attributes {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_CT_TIMEOUT_L3PROTO => timeout.family = family(&attribute)?,
            NFTA_CT_TIMEOUT_L4PROTO => timeout.protocol = protocol(&attribute)?,
            NFTA_CT_TIMEOUT_DATA => seconds = Some(attribute.nested()),
            _ => return None,
        }
    }
    let states = CtTimeout::states(timeout.protocol);
    let mut known = 0;
    for attribute in seconds? {
        let attribute = attribute.ok()?;
        let (state, usual) = states.get(usize::from(attribute.kind).checked_sub(1)?)?;
        let seconds = attribute.need_be32().ok()?;
        known += 1;
        if seconds != *usual {
            timeout.policy.insert((*state).to_owned(), seconds);
        }
    }
    (known == states.len() && known > 0).then_some(timeout)
}

fn raise_flowtable(attributes: &[u8]) -> Option<Flowtable> {
    let mut flowtable = Flowtable::new(Priority::FILTER, [""; 0]);
    for attribute in Attributes::new(attributes) {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_FLOWTABLE_HOOK => hook(&mut flowtable, attribute.nested())?,
            NFTA_FLOWTABLE_FLAGS => flowtable.flags = FlowtableFlags::from_bits(attribute.need_be32().ok()?)?,
            NFTA_FLOWTABLE_TABLE | NFTA_FLOWTABLE_NAME => {}
            NFTA_FLOWTABLE_USE | NFTA_FLOWTABLE_HANDLE | NFTA_FLOWTABLE_PAD => {}
            _ => return None,
        }
    }
    Some(flowtable)
}

fn hook(flowtable: &mut Flowtable, attributes: Attributes<'_>) -> Option<()> {
    for attribute in attributes {
        let attribute = attribute.ok()?;
        match attribute.kind {
            NFTA_FLOWTABLE_HOOK_NUM if attribute.need_be32().ok()? == INGRESS => {}
            NFTA_FLOWTABLE_HOOK_PRIORITY => {
                flowtable.priority = Priority(i32::from_ne_bytes(attribute.need_be32().ok()?.to_ne_bytes()));
            }
            NFTA_FLOWTABLE_HOOK_DEVS => {
                for device in attribute.nested() {
                    let device = device.ok().filter(|device| device.kind == NFTA_DEVICE_NAME)?;
                    flowtable.devices.push(device.text()?.to_owned());
                }
            }
            _ => return None,
        }
    }
    Some(())
}

/// Returns a text, which the kernel ends with a NUL and nft does not.
fn text<'a>(attribute: &Attribute<'a>) -> Option<&'a str> {
    std::str::from_utf8(attribute.value.strip_suffix(&[0]).unwrap_or(attribute.value)).ok()
}

fn byte(attribute: &Attribute<'_>) -> Option<u8> {
    let [byte] = attribute.value else { return None };
    Some(*byte)
}

fn family(attribute: &Attribute<'_>) -> Option<Family> {
    Family::from_number(u8::try_from(attribute.need_be16().ok()?).ok()?)
}

fn protocol(attribute: &Attribute<'_>) -> Option<Protocol> {
    byte(attribute).map(Protocol)
}

/// `NFT_QUOTA_F_INV` and `NFT_LIMIT_F_INV`; that a quota was used up is of the running system.
fn when(attribute: &Attribute<'_>) -> Option<LimitWhen> {
    match attribute.need_be32().ok()? {
        0 => Some(LimitWhen::Until),
        1 => Some(LimitWhen::Over),
        _ => None,
    }
}

/// `NF_CT_HELPER_NAME_LEN`.
const HELPER: usize = 16;
/// `NFT_SECMARK_CTX_MAXLEN`.
const CONTEXT: usize = 256;
/// `NF_NETDEV_INGRESS`.
const INGRESS: u32 = 0;
