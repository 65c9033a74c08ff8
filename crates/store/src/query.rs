//! Parts of search statements: comparisons, and restriction to what the caller may see.

pub(crate) mod bound;
pub(crate) mod compare;
pub(crate) mod experiments;
pub(crate) mod scope;
pub(crate) mod select;
pub(crate) mod visible;
