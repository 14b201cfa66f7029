//! What the runtime says of a pod: its Kubernetes object, or its annotations alone.

use serde_json::{Map, Value};

use super::config::Config;
use super::environment::Environment;
use super::failure::{AGAIN, CONFIGURATION, Failure};

/// A pod as far as it is known.
#[derive(Default)]
pub(crate) struct Pod<'c> {
    /// Its Kubernetes namespace; empty when it is not known.
    pub(crate) namespace: String,
    /// Its object, from `runtimeConfig.pod` or `args.cni.pod`.
    object: Option<&'c Value>,
    /// The object of its namespace.
    around: Option<&'c Value>,
    /// Its annotations, where only these are known.
    annotations: Option<&'c Map<String, Value>>,
}

/// A container of a pod.
pub(crate) struct Container<'c>(&'c Value);

impl<'c> Pod<'c> {
    /// Returns what is known of the pod; an error where too little is, and `None` for a pod that
    /// no Kubernetes knows where its pods are meant.
    pub(crate) fn known(config: &'c Config, environment: &Environment) -> Result<Option<Self>, Failure> {
        let argument = |name: &str| environment.arguments.get(name).cloned().unwrap_or_default();
        let (namespace, name) = (argument("K8S_POD_NAMESPACE"), argument("K8S_POD_NAME"));
        if config.kubernetes && (namespace.is_empty() || name.is_empty()) {
            return Ok(None);
        }
        let pod = Pod {
            namespace,
            object: object(config, "pod")?,
            around: object(config, "namespace")?,
            annotations: config.annotations(),
        };
        if config.kubernetes && pod.object.is_none() && pod.annotations.is_none() {
            let message = format!("nothing is known of pod {name} of namespace {}", pod.namespace);
            let details = "list io.kubernetes.cri.pod-annotations under capabilities, or give runtimeConfig.pod";
            return Err(Failure::new(AGAIN, message, details));
        }
        Ok(Some(pod))
    }

    /// Returns whether its annotations are known.
    pub(crate) fn is_described(&self) -> bool {
        self.object.is_some() || self.annotations.is_some()
    }

    /// Returns whether its containers are known.
    pub(crate) fn has_containers(&self) -> bool {
        self.object.is_some()
    }

    /// Returns an annotation of the pod.
    pub(crate) fn annotation(&self, name: &str) -> Result<Option<&'c str>, Failure> {
        match self.object {
            Some(object) => text(object, "annotations", name),
            None => {
                self.annotations.and_then(|annotations| annotations.get(name)).map(|value| of(name, value)).transpose()
            }
        }
    }

    /// Returns an annotation of the pod, or else of its namespace.
    pub(crate) fn annotation_around(&self, name: &str) -> Result<Option<&'c str>, Failure> {
        match (self.annotation(name)?, self.around) {
            (None, Some(around)) => text(around, "annotations", name),
            (found, _) => Ok(found),
        }
    }

    /// Returns all annotations of the pod.
    pub(crate) fn annotations(&self) -> Result<Vec<(&'c str, &'c str)>, Failure> {
        let all = match self.object {
            Some(object) => object.get("metadata").and_then(|metadata| metadata.get("annotations")?.as_object()),
            None => self.annotations,
        };
        all.into_iter().flatten().map(|(name, value)| Ok((name.as_str(), of(name, value)?))).collect()
    }

    /// Returns whether the pod has no network of its own.
    pub(crate) fn is_on_host_network(&self) -> bool {
        let spec = self.object.and_then(|object| object.get("spec"));
        spec.and_then(|spec| spec.get("hostNetwork")?.as_bool()).unwrap_or(false)
    }

    /// Returns a label of the pod, or else of its namespace.
    pub(crate) fn label_around(&self, name: &str) -> Result<Option<&'c str>, Failure> {
        match (self.label(name)?, self.around) {
            (None, Some(around)) => text(around, "labels", name),
            (found, _) => Ok(found),
        }
    }

    /// Returns a label of the pod.
    pub(crate) fn label(&self, name: &str) -> Result<Option<&'c str>, Failure> {
        self.object.map_or(Ok(None), |object| text(object, "labels", name))
    }

    /// Returns its containers; with those that run before or beside them.
    pub(crate) fn containers(&self) -> impl Iterator<Item = Container<'c>> {
        self.listed("containers").chain(self.listed("initContainers"))
    }

    /// Returns whether an init container has this name.
    pub(crate) fn has_init(&self, name: &str) -> bool {
        self.listed("initContainers").any(|container| container.name() == name)
    }

    fn listed(&self, list: &str) -> impl Iterator<Item = Container<'c>> + use<'c> {
        let spec = self.object.and_then(|object| object.get("spec"));
        spec.and_then(|spec| spec.get(list)?.as_array()).into_iter().flatten().map(Container)
    }
}

impl<'c> Container<'c> {
    pub(crate) fn name(&self) -> &'c str {
        self.0.get("name").and_then(Value::as_str).unwrap_or_default()
    }

    /// Returns a variable that its definition sets.
    pub(crate) fn variable(&self, name: &str) -> Option<&'c str> {
        let set = self.0.get("env")?.as_array()?.iter();
        let mut of_name = set.filter(|variable| variable.get("name").and_then(Value::as_str) == Some(name));
        of_name.next_back()?.get("value")?.as_str()
    }

    pub(crate) fn arguments(&self) -> impl Iterator<Item = &'c str> {
        let given = self.0.get("args").and_then(Value::as_array);
        given.into_iter().flatten().filter_map(Value::as_str)
    }

    /// Returns the user or group that it runs as.
    pub(crate) fn owner(&self, key: &str) -> Option<u64> {
        self.0.get("securityContext")?.get(key)?.as_u64()
    }
}

fn object<'c>(config: &'c Config, name: &str) -> Result<Option<&'c Value>, Failure> {
    match config.of_pod(name) {
        Some(value) if !value.is_object() => {
            let details = "give the object of Kubernetes";
            Err(Failure::new(CONFIGURATION, format!("runtimeConfig.{name} is not an object"), details))
        }
        found => Ok(found),
    }
}

fn text<'c>(object: &'c Value, kind: &str, name: &str) -> Result<Option<&'c str>, Failure> {
    let found = object.get("metadata").and_then(|metadata| metadata.get(kind)?.get(name));
    found.map(|value| of(name, value)).transpose()
}

fn of<'c>(name: &str, value: &'c Value) -> Result<&'c str, Failure> {
    let wrong = || Failure::new(CONFIGURATION, format!("annotation {name} is not valid"), "annotations are texts");
    value.as_str().ok_or_else(wrong)
}
