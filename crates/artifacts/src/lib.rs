//! Artifact storage: repositories of several kinds behind one enum, the paths inside them, and the resolution of stored
//! locations.

mod azure;
pub mod bucket;
pub mod buckets;
mod client;
mod direct;
mod gcs;
pub mod local;
pub mod location;
pub mod mime;
pub mod path;
pub mod repository;
pub mod s3;
mod served;
mod sweep;
mod trial;
pub mod workspaces;

pub use bucket::{BucketRepository, PresignedUrl, StartedUpload};
pub use buckets::Buckets;
pub use client::responds;
pub use direct::DirectRoot;
pub use local::LocalRepository;
pub use location::{Location, Locations};
pub use path::ArtifactPath;
pub use repository::{ArtifactRepository, ByteStream, FileInfo, OpenedArtifact, Stat};
pub use sweep::Sweeper;
pub use trial::{Failure, Presigned, Trial};
