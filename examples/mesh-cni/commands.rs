//! The commands of the protocol.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use nftmesh::Escaped;
use nftmesh::kernel::{Kernel, NetNs};
use nftmesh::mesh::{Held, Mesh};
use nftmesh::pod::Leftovers;
use serde_json::Value;

use super::config::Config;
use super::environment::{Command, Environment};
use super::failure::{self, Failure};
use super::mesh::{self, Network, Wanted};
use super::pod::Pod;
use super::version;

/// Does what the runtime asks for, and returns what it reads.
pub(crate) fn run(environment: &Environment, input: &[u8]) -> Result<String, Failure> {
    if environment.command == Command::Version {
        return Ok(versions(input));
    }
    let config = match Config::parse(input) {
        // What cannot be understood must not keep a pod from its end.
        Err(failure) if environment.command == Command::Del && failure.is(failure::CONFIGURATION) => Config::default(),
        config => config?,
    };
    let asked = config.version().to_owned();
    version::allows(&asked, environment.command.name())?;
    let outcome = match environment.command {
        Command::Add => add(environment, &config),
        Command::Check => check(environment, &config).map(|()| String::new()),
        Command::Del => delete(environment, &config).map(|()| String::new()),
        // All that belongs to a pod is in its namespace, and ends with it.
        Command::Gc => Ok(String::new()),
        Command::Status => status(&config).map(|()| String::new()),
        Command::Version => Ok(versions(input)),
    };
    outcome.map_err(|failure| {
        let failure = failure.in_version(&asked);
        log(&config, &failure.line());
        failure
    })
}

fn versions(input: &[u8]) -> String {
    let asked: Option<Value> = serde_json::from_slice(input).ok();
    let asked = asked.as_ref().and_then(|asked| asked.get("cniVersion")).and_then(Value::as_str);
    let version = asked.filter(|asked| version::SUPPORTED.contains(asked)).unwrap_or(version::NEWEST);
    let object = serde_json::json!({ "cniVersion": version, "supportedVersions": version::SUPPORTED });
    format!("{object}\n")
}

/// Returns the namespace of the pod.
fn namespace(path: &Path) -> Result<NetNs, Failure> {
    let name = Escaped::new(path);
    let namespace = NetNs::from_path(path)
        .map_err(|error| Failure::new(failure::CONTAINER, format!("there is no network namespace {name}"), error))?;
    match namespace.is_current() {
        Ok(false) => Ok(namespace),
        Ok(true) => {
            let details = format!("CNI_NETNS is {name}, whose traffic is the node's; give the pod's");
            Err(Failure::new(failure::ENVIRONMENT, "CNI_NETNS is the node's own namespace", details))
        }
        Err(error) => Err(Failure::of("the namespace of the pod cannot be read", &error)),
    }
}

/// A pod, and what is wanted in it.
struct Captured {
    pod: nftmesh::pod::Pod,
    mesh: Arc<dyn Mesh>,
}

/// Opens the pod, finds what is wanted in it, and does the work there, on one thread in its
/// namespace; `None` where it is left alone.
fn captured<T: Send>(
    environment: &Environment,
    config: &Config,
    work: impl FnOnce(Captured) -> Result<T, Failure> + Send,
) -> Result<Option<T>, Failure> {
    let Some(previous) = &config.previous else {
        let details = "it has to come behind the plugin that makes the pod's interface";
        return Err(Failure::new(failure::CONFIGURATION, "required prevResult missing", details));
    };
    let previous: Value = serde_json::from_str(previous.get())
        .map_err(|why| Failure::new(failure::DECODE, "prevResult is not JSON", why))?;
    if !previous.is_object() {
        let details = "give what the plugin before this one printed";
        return Err(Failure::new(failure::CONFIGURATION, "prevResult is not an object", details));
    }
    mesh::check(config)?;
    let namespace = namespace(environment.namespace.as_deref().unwrap_or(Path::new("")))?;
    let Some(known) = Pod::known(config, environment)? else {
        log(config, "the pod is left alone: CNI_ARGS has no K8S_POD_NAMESPACE and K8S_POD_NAME");
        return Ok(None);
    };
    let failed = |error: nftmesh::Error| Failure::of("the pod cannot be read", &error);
    let inside = || {
        let mut pod = namespace.pod().map_err(failed)?;
        let network = Network { addresses: pod.addresses().map_err(failed)?, previous: &previous };
        match mesh::wanted(config, &known, &network)? {
            Wanted::Nothing(why) => {
                log(config, &format!("the pod is left alone: {why}"));
                Ok(None)
            }
            Wanted::Rules(mesh, remarks) => {
                mesh.warnings().iter().chain(&remarks).for_each(|warning| log(config, warning));
                work(Captured { pod, mesh: mesh.into() }).map(Some)
            }
        }
    };
    namespace.run(inside).map_err(failed)?
}

/// Checks a configuration as for a pod with addresses of both families, of which nothing is known.
pub(crate) fn check_without_pod(config: &Config) -> Result<(), Failure> {
    let addresses = vec![[10, 0, 0, 2].into(), [0xfd00, 0, 0, 0, 0, 0, 0, 2].into()];
    mesh::wanted(config, &Pod::default(), &Network { addresses, previous: &Value::Null }).map(drop)
}

fn add(environment: &Environment, config: &Config) -> Result<String, Failure> {
    captured(environment, config, |Captured { mut pod, mesh }| {
        let listens = || mesh.outbound_port().is_none_or(|port| pod.listens(port).unwrap_or(false));
        let mesh = if config.hold && !listens() { Arc::new(Held::new(mesh)) } else { mesh };
        let changes =
            pod.install(&*mesh).map_err(|error| Failure::of("the rules of the mesh are not installed", &error))?;
        changes.to_string().lines().for_each(|line| log(config, line));
        changes.precedence.lines().for_each(|line| log(config, &line));
        Ok(())
    })?;
    let previous = config.previous.as_ref().map(|previous| previous.get()).unwrap_or_default();
    Ok(format!("{previous}\n"))
}

fn check(environment: &Environment, config: &Config) -> Result<(), Failure> {
    captured(environment, config, |captured| check_inside(captured, config)).map(drop)
}

fn check_inside(Captured { mut pod, mesh }: Captured, config: &Config) -> Result<(), Failure> {
    let mut plan = |mesh: &dyn Mesh| {
        let plan = pod.plan(mesh, Leftovers::Keep);
        plan.map_err(|error| Failure::of("the rules of the mesh cannot be read", &error))
    };
    let plan_now = plan(&*mesh)?;
    // Somebody else lets connections go.
    if plan_now.is_in_sync() || config.hold && plan(&Held::new(Arc::clone(&mesh)))?.is_in_sync() {
        return Ok(());
    }
    let text = plan_now.to_string();
    let first = text.lines().next().unwrap_or_default().to_owned();
    Err(Failure::new(failure::DIFFERS, "the rules of the mesh are not in place", first))
}

/// Removes exactly what was added; what is gone already needs no removal, and nothing was ever
/// added to the node's own namespace.
fn delete(environment: &Environment, config: &Config) -> Result<(), Failure> {
    let Some(path) = environment.namespace.as_deref().filter(|path| path.exists()) else { return Ok(()) };
    let namespace = match namespace(path) {
        Err(failure) if failure.is(failure::CONTAINER) || failure.is(failure::ENVIRONMENT) => {
            log(config, &failure.line());
            return Ok(());
        }
        outcome => outcome?,
    };
    let failed = |error: nftmesh::Error| Failure::of("the rules of the mesh are not removed", &error);
    namespace.run(|| namespace.pod()?.remove()).and_then(|removed| removed).map(drop).map_err(failed)
}

fn status(config: &Config) -> Result<(), Failure> {
    mesh::check(config)?;
    let ready = Kernel::open().and_then(|mut kernel| kernel.generation());
    ready.map(drop).map_err(|error| Failure::new(failure::UNAVAILABLE, "nf_tables cannot be used here", error))
}

/// Writes a line to the log, if there is one. Nothing depends on it.
fn log(config: &Config, line: &str) {
    let line = format!("mesh-cni[{}]: {}\n", std::process::id(), Escaped::new(line));
    match &config.log_file {
        Some(path) => {
            let file = OpenOptions::new().create(true).append(true).open(path);
            // One write: lines of several plugins do not mix.
            drop(file.and_then(|mut file| file.write_all(line.as_bytes())));
        }
        None => drop(std::io::stderr().lock().write_all(line.as_bytes())),
    }
}
