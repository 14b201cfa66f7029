//! Service meshes as plain data: what a mesh wants installed, before anything touches the kernel.

pub mod routes;
