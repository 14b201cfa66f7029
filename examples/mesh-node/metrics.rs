//! What is counted, and served for Prometheus.

use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use tiny_http::{Header, Response, Server};

use super::common::source::Complaint;

/// Whose commit was the last that changed a pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Drift {
    pod: String,
    by: String,
}

#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) pods: Gauge,
    pub(crate) in_sync: Gauge,
    pub(crate) refused: Gauge,
    pub(crate) healed: Counter,
    pub(crate) failed: Counter,
    pub(crate) installed: Histogram,
    pub(crate) restored: Histogram,
    last_drift: Family<Drift, Gauge<f64, AtomicU64>>,
    last: Arc<Mutex<Vec<Drift>>>,
    registry: Arc<Registry>,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        let mut metrics = Metrics {
            pods: Gauge::default(),
            in_sync: Gauge::default(),
            refused: Gauge::default(),
            healed: Counter::default(),
            failed: Counter::default(),
            installed: seconds(),
            restored: seconds(),
            last_drift: Family::default(),
            last: Arc::default(),
            registry: Arc::default(),
        };
        let mut all = Registry::with_prefix("mesh_node");
        all.register("pods", "Namespaces that are to be kept", metrics.pods.clone());
        all.register("pods_in_sync", "Namespaces whose rules are as wanted", metrics.in_sync.clone());
        all.register("pods_refused", "Namespaces that could not be opened or written to", metrics.refused.clone());
        all.register("healed", "Changes of others that were restored", metrics.healed.clone());
        all.register("heal_failures", "Attempts to restore that failed", metrics.failed.clone());
        all.register("install_seconds", "Time to open a namespace and to commit its rules", metrics.installed.clone());
        all.register("restore_seconds", "Time from a change of others to its restoration", metrics.restored.clone());
        all.register(
            "last_drift_time_seconds",
            "When, and by whose commit, a pod was changed last",
            metrics.last_drift.clone(),
        );
        metrics.registry = Arc::new(all);
        metrics
    }
}

impl Metrics {
    /// Records whose commit changed a pod; a pod has one such record.
    pub(crate) fn drifted(&self, pod: &str, by: &str) {
        let drift = Drift { pod: pod.to_owned(), by: by.to_owned() };
        self.forget(pod);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        self.last_drift.get_or_create(&drift).set(now);
        if let Ok(mut last) = self.last.lock() {
            last.push(drift);
        }
    }

    /// Forgets a pod that is gone.
    pub(crate) fn forget(&self, pod: &str) {
        let Ok(mut last) = self.last.lock() else { return };
        last.retain(|drift| {
            let other = drift.pod != pod;
            if !other {
                self.last_drift.remove(drift);
            }
            other
        });
    }
}

/// Serves /metrics and /healthz in a thread of its own.
pub(crate) fn serve(metrics: &Metrics, address: SocketAddr) -> Result<(), Complaint> {
    let server = Server::http(address).map_err(|why| format!("--metrics {address}: {why}; give a free address"))?;
    let metrics = metrics.clone();
    thread::spawn(move || {
        for request in server.incoming_requests() {
            let answer = match request.url() {
                "/metrics" => {
                    let mut text = String::new();
                    match encode(&mut text, &metrics.registry) {
                        Ok(()) => Response::from_string(text).with_header(kind(OPEN_METRICS)),
                        Err(_) => Response::from_string("not encoded\n").with_status_code(500),
                    }
                }
                "/healthz" => match (metrics.pods.get(), metrics.in_sync.get()) {
                    (pods, in_sync) if pods == in_sync => Response::from_string("ok\n"),
                    (pods, in_sync) => {
                        Response::from_string(format!("{in_sync} of {pods} pods in sync\n")).with_status_code(503)
                    }
                },
                _ => Response::from_string("there are /metrics and /healthz\n").with_status_code(404),
            };
            // A client that is gone needs no answer.
            drop(request.respond(answer));
        }
    });
    Ok(())
}

fn kind(value: &[u8]) -> Header {
    Header::from_bytes(&b"Content-Type"[..], value).unwrap_or_else(|()| unreachable!("both are ASCII"))
}

const OPEN_METRICS: &[u8] = b"application/openmetrics-text; version=1.0.0; charset=utf-8";
