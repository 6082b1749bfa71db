//! What bytes mean: layouts of types, their fingerprints, and the traits of what can be stored.

mod codec;
mod conversion;
mod difference;
mod evolution;
mod field;
mod fingerprint;
mod impls;
mod kind;
mod object;
mod racy;
mod shape;
mod show;
mod statics;
mod stored;
#[doc(hidden)]
pub mod support;
mod value;
mod wrappers;

pub use codec::{DecodeError, MAX_ENCODED_BYTES};
pub(crate) use conversion::Conversion;
pub use difference::LayoutMismatch;
pub use evolution::Evolves;
pub use field::{Field, FieldContent};
pub use fingerprint::{Fingerprint, ParseFingerprintError};
pub use kind::{ByteOrder, Kind, Presentation, Scalar, TimeBase, TimeUnit};
pub(crate) use object::fixed_size;
pub use object::{Object, Plain, SharedAtomic};
pub use shape::Shape;
pub(crate) use show::Source;
pub use statics::{MAX_DIMENSIONS, TypeLayout};
pub use stored::{Layout, LayoutError, MAX_DEPTH, MAX_TYPE_BYTES};
pub use value::{Json, Value};
pub use wrappers::{Bool, F16};
