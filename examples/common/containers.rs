//! Options that limit a mesh to some containers of a pod, by control group.

use std::sync::Arc;

use nftmesh::mesh::{ByCgroup, Cgroup, Containers, Mesh};

/// Names of the options, and their descriptions.
pub const EXCLUDE: (&str, &str) =
    ("exclude-cgroups", "control groups (version 2) whose outbound traffic is left alone: paths with commas");
pub const INCLUDE: (&str, &str) =
    ("include-cgroups", "control groups (version 2) whose outbound traffic alone is captured: paths with commas");

/// Limits a mesh as these options say.
pub fn limited(mesh: Arc<dyn Mesh>, exclude: Option<&str>, include: Option<&str>) -> Result<Arc<dyn Mesh>, String> {
    let containers = match (exclude.filter(|paths| !paths.is_empty()), include.filter(|paths| !paths.is_empty())) {
        (None, None) => return Ok(mesh),
        (Some(_), Some(_)) => return Err(format!("--{} and --{}: give one of them", EXCLUDE.0, INCLUDE.0)),
        (Some(paths), None) => Containers::AllBut(groups(EXCLUDE.0, paths)?),
        (None, Some(paths)) => Containers::Only(groups(INCLUDE.0, paths)?),
    };
    Ok(Arc::new(ByCgroup::new(mesh, containers)))
}

fn groups(option: &str, paths: &str) -> Result<Vec<Cgroup>, String> {
    let find = |path: &str| Cgroup::find(path.trim()).map_err(|error| format!("--{option}: {error}"));
    paths.split(',').map(find).collect()
}
