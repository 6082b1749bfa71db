//! Objects of an older layout, made objects of the type that extends it.
//!
//! What a type says of older layouts is compared with what the store has of them, field by field; then the fields that
//! both have are copied into a value of defaults.

use unicode_normalization::UnicodeNormalization;

use super::difference::{LayoutMismatch, describe};
use super::evolution::Evolution;
use super::field::{Field, FieldContent};
use super::statics::{Content, FieldLayout, TypeLayout};
use super::stored::Layout;

/// How objects of one stored layout become objects of a type of the program.
#[derive(Debug)]
pub(crate) struct Conversion {
    old_bytes: usize,
    new_bytes: usize,
    evolution: &'static Evolution,
    steps: Vec<Step>,
}

/// What an older object gives to the new one. Both have it at the same place.
#[derive(Debug)]
enum Step {
    Copy {
        at: usize,
        bytes: usize,
    },
    /// Structs that have evolved themselves, and kept their size.
    Nested {
        at: usize,
        count: usize,
        conversion: Conversion,
    },
}

impl Conversion {
    /// Compares a stored layout with the type that says it extends it.
    ///
    /// # Errors
    /// The first field of the stored layout, in the order of fingerprints, that the type does not keep.
    pub(crate) fn new(
        stored: &Layout,
        new: &TypeLayout,
        evolution: &'static Evolution,
    ) -> Result<Self, Box<LayoutMismatch>> {
        let refuse = |field: String, was: String, is: String| {
            Err(Box::new(LayoutMismatch {
                stored_type: stored.name().to_owned(),
                asked_type: new.name().to_owned(),
                field: (!field.is_empty()).then_some(field),
                stored: was,
                asked: is,
            }))
        };
        if stored.size() > new.size() as u64 {
            let bytes = |size: u64| format!("{size} bytes");
            return refuse(String::new(), bytes(stored.size()), bytes(new.size() as u64));
        }
        let described = Layout::from(new);
        let fields = match new.content {
            Content::Struct { fields } => fields,
            Content::Scalar { .. } => &[],
        };
        let fields = fields.iter().filter(|field| !field.is_padding());
        let fields: Vec<(&FieldLayout, &Field)> = fields.zip(described.fields()).collect();
        let mut steps = Vec::new();
        for old in stored.sorted() {
            let place = || fields.iter().filter(|(_, field)| field.first_bit() == old.first_bit());
            let kept =
                place().find(|(new, field)| was_named(new, old.name()) && field.shape() == old.shape());
            let step = match kept {
                Some((new, field)) => step(old, field, new.element),
                None => Err((String::new(), None)),
            };
            match step {
                Ok(step) => steps.push(step),
                Err((inner, said)) => {
                    let name = super::stored::Escaped(old.name()).to_string();
                    let dot = if inner.is_empty() { "" } else { "." };
                    let there = kept.or_else(|| place().next()).map(|(_, field)| *field);
                    let renamed = there.is_some_and(|field| field.name() != old.name());
                    let (was, is) =
                        said.unwrap_or_else(|| (describe(Some(old), false), describe(there, renamed)));
                    return refuse(format!("{name}{dot}{inner}"), was, is);
                }
            }
        }
        let old_bytes = stored.size() as usize;
        Ok(Self { old_bytes, new_bytes: new.size(), evolution, steps: join(steps) })
    }

    /// Size of an older object, in bytes; of an array, of its elements.
    pub(crate) fn old_bytes(&self) -> usize {
        self.old_bytes
    }

    /// Size of a new object, in bytes; of an array, of its elements.
    pub(crate) fn new_bytes(&self) -> usize {
        self.new_bytes
    }

    /// What a new object is before it gets what the older one has.
    pub(crate) fn defaults(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.new_bytes];
        (self.evolution.defaults)(&mut bytes);
        for step in &self.steps {
            let Step::Nested { at, count, conversion } = step else { continue };
            let defaults = conversion.defaults();
            let end = at + count * defaults.len();
            let part = bytes.get_mut(*at..end).unwrap_or_default();
            part.chunks_exact_mut(defaults.len()).for_each(|each| each.copy_from_slice(&defaults));
        }
        bytes
    }

    /// Gives a new object, which holds the defaults, what the older one has.
    pub(crate) fn carry_over(&self, old: &[u8], new: &mut [u8]) {
        for step in &self.steps {
            match step {
                Step::Copy { at, bytes } => {
                    let range = *at..at + bytes;
                    if let (Some(from), Some(to)) = (old.get(range.clone()), new.get_mut(range)) {
                        to.copy_from_slice(from);
                    }
                }
                Step::Nested { at, count, conversion } => {
                    let size = conversion.new_bytes;
                    let range = *at..at + count * size;
                    if let (Some(from), Some(to)) = (old.get(range.clone()), new.get_mut(range)) {
                        let pairs = from.chunks_exact(size).zip(to.chunks_exact_mut(size));
                        pairs.for_each(|(from, to)| conversion.carry_over(from, to));
                    }
                }
            }
        }
    }
}

/// Names in files are NFC; those in a program may be written otherwise.
fn was_named(field: &FieldLayout, name: &str) -> bool {
    field.was_named(name) || field.former_names.iter().any(|former| former.nfc().eq(name.chars()))
}

/// A difference: in which field of the field, and what both sides say where that is within it.
type Difference = (String, Option<(String, String)>);

/// How a field gets its value, which lies at the same place and has the same shape.
fn step(old: &Field, new: &Field, element: &TypeLayout) -> Result<Step, Difference> {
    let at = old.offset() as usize;
    let bytes = (old.bits() / 8) as usize;
    match (old.content(), new.content()) {
        (FieldContent::Nested(was), FieldContent::Nested(is)) if was.fingerprint() != is.fingerprint() => {
            let declared = element.evolution.filter(|evolution| evolution.declares(was.fingerprint()));
            let declared = declared.filter(|_| was.size() == is.size());
            // Structs are nested at most 32 deep, so this ends.
            let made = declared.map(|evolution| Conversion::new(was, element, evolution));
            match made {
                Some(Ok(conversion)) => {
                    let count = bytes / conversion.new_bytes;
                    Ok(Step::Nested { at, count, conversion })
                }
                Some(Err(mismatch)) => {
                    let LayoutMismatch { field, stored, asked, .. } = *mismatch;
                    Err((field.unwrap_or_default(), Some((stored, asked))))
                }
                None => {
                    let difference = LayoutMismatch::between(was, is).map(|differ| {
                        (differ.field.unwrap_or_default(), Some((differ.stored, differ.asked)))
                    });
                    Err(difference.unwrap_or_default())
                }
            }
        }
        (was, is) if was.code().parts() == is.code().parts() => Ok(Step::Copy { at, bytes }),
        _ => Err(Difference::default()),
    }
}

/// Makes one copy of those that lie side by side.
fn join(steps: Vec<Step>) -> Vec<Step> {
    let mut joined: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        match (joined.last_mut(), &step) {
            (Some(Step::Copy { at, bytes }), Step::Copy { at: next, bytes: more })
                if *at + *bytes == *next =>
            {
                *bytes += more;
            }
            _ => joined.push(step),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::{Conversion, Step};
    use crate::{ByteOrder, Evolves, Field, FieldContent, Kind, Layout, Object, Scalar};

    #[derive(Object)]
    #[repr(C)]
    struct Inner {
        a: u16,
        #[object(padding)]
        _pad: [u8; 2],
    }

    #[derive(Object)]
    #[repr(C)]
    struct Old {
        x: u32,
        y: u32,
        pair: [Inner; 2],
        #[object(padding)]
        _pad: [u8; 8],
    }

    #[derive(Object)]
    #[object(extends = Inner)]
    #[repr(C)]
    struct Grown {
        #[object(renamed_from = "a")]
        first: u16,
        #[object(default = 7)]
        second: u16,
    }

    #[derive(Object)]
    #[object(extends = Old, extends = "0123456789abcdef")]
    #[repr(C)]
    struct New {
        x: u32,
        #[object(renamed_from = "z", renamed_from = "y")]
        why: u32,
        pair: [Grown; 2],
        in_the_gap: u64,
        #[object(default = -1)]
        behind: i64,
    }

    fn conversion<T: Evolves>(stored: &Layout) -> Result<Conversion, String> {
        Conversion::new(stored, T::ELEMENT, T::EVOLUTION).map_err(|mismatch| mismatch.to_string())
    }

    #[test]
    fn what_both_have_is_copied_and_the_rest_is_the_default_also_within_fields() {
        let conversion = conversion::<New>(&Layout::from(Old::ELEMENT)).unwrap();
        assert_eq!((conversion.old_bytes(), conversion.new_bytes()), (24, 32));
        // Noise in padding is not taken for a field.
        let old: Vec<u8> = (1..=24).collect();
        let mut new = conversion.defaults();
        conversion.carry_over(&old, &mut new);
        let mut expected: Vec<u8> = (1..=10).chain([7, 0, 13, 14, 7, 0]).collect();
        expected.extend([0; 8]);
        expected.extend([0xff; 8]);
        assert_eq!(new, expected);
    }

    #[test]
    fn fields_side_by_side_are_one_copy() {
        #[derive(Object)]
        #[object(extends = Flat)]
        #[repr(C)]
        struct More {
            a: u32,
            b: u32,
            c: u64,
            d: u64,
        }
        #[derive(Object)]
        #[repr(C)]
        struct Flat {
            a: u32,
            b: u32,
            c: u64,
        }
        let conversion = conversion::<More>(&Layout::from(Flat::ELEMENT)).unwrap();
        assert!(matches!(conversion.steps[..], [Step::Copy { at: 0, bytes: 16 }]), "{conversion:?}");
    }

    #[test]
    fn the_first_stored_field_that_is_not_kept_is_named_with_both_sides() {
        let field = |name: &str, at, kind| Field::new(name, at, FieldContent::Scalar(Scalar::native(kind)));
        let inner = |fields| FieldContent::Nested(Layout::new("Inner", 4, 2, fields).unwrap());
        let refusal = |fields| {
            let stored = Layout::new("Old", 24, 4, fields).unwrap();
            conversion::<New>(&stored).err().unwrap_or_default()
        };
        let both = "stored as Old, asked for as New: field";
        assert_eq!(refusal(vec![field("x", 0, Kind::U4)]), "");
        assert_eq!(
            refusal(vec![field("x", 0, Kind::F4)]),
            format!("{both} x is f4 at 0 in the store, u4 at 0 in the program")
        );
        assert_eq!(
            refusal(vec![field("q", 4, Kind::U4)]),
            format!("{both} q is u4 at 4 in the store, why: u4 at 4 in the program")
        );
        assert_eq!(
            refusal(vec![field("x", 2, Kind::U2)]),
            format!("{both} x is u2 at 2 in the store, absent in the program")
        );
        assert_eq!(
            refusal(vec![field("x", 0, Kind::U4).with_shape(vec![1])]),
            format!("{both} x is u4[1] at 0 in the store, u4 at 0 in the program")
        );
        let big = FieldContent::Scalar(Scalar::new(Kind::U4, ByteOrder::Big));
        assert_eq!(
            refusal(vec![Field::new("x", 0, big)]),
            format!("{both} x is >u4 at 0 in the store, u4 at 0 in the program")
        );
        let bits = FieldContent::Bits { width: 32, signed: false, order: ByteOrder::Little };
        assert_eq!(
            refusal(vec![Field::at_bit("x", 0, bits)]),
            format!("{both} x is u:32 at bit 0 in the store, u4 at 0 in the program")
        );
        // A nested struct that says nothing of this layout.
        let other = Field::new("pair", 8, inner(vec![field("b", 0, Kind::U2)])).with_shape(vec![2]);
        assert_eq!(
            refusal(vec![other]),
            format!("{both} pair.b is b: u2 at 0 in the store, first: u2 at 0 in the program")
        );
        let stored = Layout::new("Old", 40, 8, vec![field("x", 0, Kind::U4)]).unwrap();
        assert_eq!(
            conversion::<New>(&stored).unwrap_err(),
            "stored as Old, asked for as New: 40 bytes in the store, 32 bytes in the program"
        );
    }

    #[test]
    fn a_former_name_counts_however_its_accents_are_written() {
        #[derive(Object)]
        #[object(extends = "0123456789abcdef")]
        #[repr(C)]
        struct Named {
            #[object(renamed_from = "e\u{301}")]
            e: u32,
        }
        let field = Field::new("\u{e9}", 0, FieldContent::Scalar(Scalar::native(Kind::U4)));
        assert!(conversion::<Named>(&Layout::new("Old", 4, 4, vec![field]).unwrap()).is_ok());
    }
}
