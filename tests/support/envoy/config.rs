//! Envoy's configuration as a sidecar: as Istio's, without a control plane.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use serde_json::{Value, json};

/// Whose rules a pod has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Kuma's.
    Kuma,
    /// Istio's, and inbound connections are redirected.
    Redirect,
    /// Istio's, and inbound connections keep the address of the client.
    Tproxy,
}

impl Mode {
    /// As `istio-init` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Kuma => "Kuma",
            Mode::Redirect => "REDIRECT",
            Mode::Tproxy => "TPROXY",
        }
    }

    /// Returns user and group of Envoy. Istio runs it as root with TPROXY, which needs
    /// capabilities; Kuma looks at the user only.
    pub fn owner(self) -> [&'static str; 2] {
        match self {
            Mode::Kuma => ["5678", "1000"],
            Mode::Redirect => ["1337", "1337"],
            Mode::Tproxy => ["0", "1337"],
        }
    }
}

/// What a sidecar knows: services, each with the instance that it chooses.
#[derive(Clone, Debug)]
pub struct Sidecar {
    pub mode: Mode,
    pub services: Vec<(SocketAddr, SocketAddr)>,
}

impl Sidecar {
    /// Returns the configuration; admin socket and access log are in `folder`.
    pub fn config(&self, folder: &Path) -> Value {
        let log = folder.join("access.log");
        let mut listeners = Vec::new();
        for (family, any) in [("4", "0.0.0.0"), ("6", "::")] {
            let any: IpAddr = any.parse().expect("an address");
            let mut outbound = listener(&format!("outbound{family}"), (any, OUTBOUND).into(), "onward", &log);
            set(&mut outbound, "use_original_dst", json!(true));
            listeners.push(outbound);

            // With TPROXY the proxy uses the address of the client, else one that tells the rules
            // who it is.
            let cluster = format!("app{family}");
            let mut inbound = listener(&format!("inbound{family}"), (any, INBOUND).into(), &cluster, &log);
            if self.mode == Mode::Tproxy {
                set(&mut inbound, "transparent", json!(true));
                let kind = "type.googleapis.com/envoy.extensions.filters.listener.original_src.v3.OriginalSrc";
                let source = json!({"name": "envoy.filters.listener.original_src",
                                    "typed_config": {"@type": kind, "mark": MARK}});
                inbound["listener_filters"].as_array_mut().expect("a list").push(source);
            }
            listeners.push(inbound);
        }
        let mut clusters = vec![original("onward", None)];
        for (family, source) in [("4", "127.0.0.6"), ("6", "::6")] {
            clusters.push(original(&format!("app{family}"), Some(source).filter(|_| self.mode != Mode::Tproxy)));
        }
        for (address, instance) in &self.services {
            let name = format!("service {address}");
            let mut service = listener(&name, *address, &name, &log);
            set(&mut service, "bind_to_port", json!(false));
            set(&mut service, "listener_filters", json!([]));
            listeners.push(service);
            let endpoint = json!({"endpoint": {"address": socket_address(*instance)}});
            let load = json!({"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]});
            clusters.push(json!({"name": name, "type": "STATIC", "connect_timeout": "5s", "load_assignment": load}));
        }
        json!({
            "admin": {"address": {"pipe": {"path": folder.join("admin")}}},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        })
    }
}

/// A listener that passes every connection on to a cluster, and logs it.
fn listener(name: &str, address: SocketAddr, cluster: &str, log: &Path) -> Value {
    let destination = json!({
        "name": "envoy.filters.listener.original_dst",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"},
    });
    let format = json!({
        "listener": name,
        "from": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "to": "%DOWNSTREAM_LOCAL_ADDRESS%",
        "at": "%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%",
        "onward_from": "%UPSTREAM_LOCAL_ADDRESS%",
        "onward_to": "%UPSTREAM_REMOTE_ADDRESS%",
        "flags": "%RESPONSE_FLAGS%",
    });
    let access = json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": log, "log_format": {"json_format": format},
        },
    });
    let proxy = json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": name, "cluster": cluster, "access_log": [access],
        },
    });
    json!({
        "name": name,
        "address": socket_address(address),
        "listener_filters": [destination],
        "filter_chains": [{"filters": [proxy]}],
    })
}

/// A cluster that connects to where the client wanted to go.
fn original(name: &str, source: Option<&str>) -> Value {
    let mut cluster =
        json!({"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s"});
    if let Some(source) = source {
        let source: IpAddr = source.parse().expect("an address");
        set(&mut cluster, "upstream_bind_config", json!({"source_address": {"address": source, "port_value": 0}}));
    }
    cluster
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip(), "port_value": address.port()}})
}

fn set(object: &mut Value, key: &str, value: Value) {
    object.as_object_mut().expect("an object").insert(key.to_owned(), value);
}

pub const OUTBOUND: u16 = 15001;
pub const INBOUND: u16 = 15006;
const MARK: u32 = 1337;
