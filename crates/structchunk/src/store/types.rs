//! The types of a store: numbers, and what they mean.

use std::any::TypeId;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::Inner;
use super::inner::Writer;
use crate::chunk::Record;
use crate::disk::PerProcess;
use crate::error::{Error, Result};
use crate::format::Kind;
use crate::layout::{Conversion, Evolves, Fingerprint, Layout, LayoutMismatch, Object};
use crate::quick_hash::Quick;
use crate::sparse_table::SparseTable;

/// One more than the highest number a type can have.
pub(crate) const MAX_TYPES: u32 = 1 << 20;

/// So many numbers have their fingerprints in a plain array: more types than nearly all stores have.
const LOW_NUMBERS: usize = 1 << 10;

/// A type as the store has it.
pub(crate) struct TypeEntry {
    pub number: u32,
    pub layout: Layout,
    pub fingerprint: Fingerprint,
    /// The payload of its type records.
    pub encoding: Vec<u8>,
}

/// The types met so far. Looking one up by number takes no lock.
pub(crate) struct Types {
    by_number: SparseTable<TypeEntry>,
    /// The fingerprints of the lowest numbers again, 0 where none is known: side by side, for who compares and needs no more.
    fingerprints: Box<[AtomicU64; LOW_NUMBERS]>,
    numbers: Mutex<Numbers>,
    /// From stored types, by their numbers, to types of the program that extend them.
    conversions: PerProcess<Mutex<Conversions>>,
}

type Conversions = HashMap<(u32, TypeId), Arc<Conversion>>;

#[derive(Default)]
struct Numbers {
    /// By the program's type.
    of_type: HashMap<TypeId, u32, Quick>,
    /// By the encoded layout.
    of_encoding: HashMap<Vec<u8>, u32>,
    /// The layout described at run time that was stored last, and its number.
    last_described: Option<(Layout, u32)>,
    /// All numbers below this have been looked for in the store.
    loaded: u32,
}

/// The types that have a record in the active chunk.
#[derive(Default)]
pub(crate) struct TypesHere {
    numbers: HashSet<u32, Quick>,
    /// One of them, or 0, which stands for no type.
    last: u32,
}

impl TypesHere {
    /// Whether nothing has to be done before a record of this type is appended.
    #[inline]
    pub(crate) fn has(&self, number: u32) -> bool {
        number == self.last || number == 0 || self.numbers.contains(&number)
    }

    pub(crate) fn insert(&mut self, number: u32) {
        self.numbers.insert(number);
        self.last = number;
    }

    pub(crate) fn clear(&mut self) {
        self.numbers.clear();
        self.last = 0;
    }
}

impl Types {
    pub(crate) fn new() -> Self {
        Self {
            by_number: SparseTable::new(),
            fingerprints: Box::new([const { AtomicU64::new(0) }; LOW_NUMBERS]),
            numbers: Mutex::default(),
            conversions: PerProcess::new(Mutex::default()),
        }
    }

    /// Remembers a type.
    fn remember(&self, entry: TypeEntry) -> &TypeEntry {
        let number = entry.number;
        let entry = self.by_number.insert(number, entry);
        if let Some(fingerprint) = self.fingerprints.get(number as usize) {
            fingerprint.store(entry.fingerprint.to_bits(), Ordering::Relaxed);
        }
        entry
    }

    /// Whether the type with this number has this fingerprint; false also where that takes a look into the store.
    #[inline]
    pub(crate) fn is(&self, number: u32, fingerprint: Fingerprint) -> bool {
        match self.fingerprints.get(number as usize) {
            Some(known) if fingerprint.to_bits() != 0 => {
                known.load(Ordering::Relaxed) == fingerprint.to_bits()
            }
            _ => self.met(number).is_some_and(|stored| stored.fingerprint == fingerprint),
        }
    }

    /// A type that was met before.
    #[inline]
    pub(crate) fn met(&self, number: u32) -> Option<&TypeEntry> {
        self.by_number.get(number)
    }
}

impl Inner {
    /// A type by its number.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when no type record with this number can be read.
    #[inline]
    pub(crate) fn stored_type(&self, number: u32) -> Result<&TypeEntry> {
        match self.types.met(number) {
            Some(stored) => Ok(stored),
            None => self.find_type(number)?.ok_or_else(|| {
                Error::corrupt(&self.path, 0, format!("there is no record of type number {number}"))
            }),
        }
    }

    #[cold]
    fn find_type(&self, number: u32) -> Result<Option<&TypeEntry>> {
        if let Some(stored) = self.types.met(number) {
            return Ok(Some(stored));
        }
        let key = number.to_le_bytes();
        let is_it = |record: &Record<'_>| record.header().kind == Kind::Type && record.key_is(&key);
        let record = self.look_up(self.views.hashes.of_type(number), |location| {
            Ok(self.chunks.record(location)?.filter(is_it))
        })?;
        record.map(|record| self.learn_type(&record)).transpose()
    }

    /// Takes a type from its record.
    pub(crate) fn learn_type(&self, record: &Record<'_>) -> Result<&TypeEntry> {
        let damaged = |what: String| Error::corrupt(record.chunk.path(), record.offset(), what);
        let number = record.header().type_number;
        if record.key() != number.to_le_bytes() || !record.payload_checksum_holds(self.chunks.seed) {
            return Err(damaged(format!("the record of type {number} is damaged")));
        }
        let encoding = record.frozen_payload();
        let layout = Layout::decode(encoding)
            .map_err(|error| damaged(format!("the layout of type {number} cannot be read: {error}")))?;
        let fingerprint = layout.fingerprint();
        let stored = TypeEntry { number, layout, fingerprint, encoding: encoding.to_vec() };
        Ok(self.types.remember(stored))
    }

    /// [`Inner::number_of`] under the writer's lock, which remembers the last answer.
    #[inline]
    pub(crate) fn number_at_hand<T: Object + ?Sized>(&self, writer: &mut Writer) -> Result<u32> {
        match writer.last_type {
            Some((last, number)) if last == TypeId::of::<T>() => Ok(number),
            _ => self.number_anew::<T>(writer),
        }
    }

    #[cold]
    fn number_anew<T: Object + ?Sized>(&self, writer: &mut Writer) -> Result<u32> {
        let number = self.number_of::<T>(&mut writer.next_type)?;
        writer.last_type = Some((TypeId::of::<T>(), number));
        Ok(number)
    }

    /// The number of `T`'s element type, a new one when the store has not seen it. Called under the writer's lock;
    /// `next_type` is the next free number.
    pub(crate) fn number_of<T: Object + ?Sized>(&self, next_type: &mut u32) -> Result<u32> {
        let mut numbers = self.types.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = numbers.of_type.get(&TypeId::of::<T>()) {
            return Ok(number);
        }
        let number = self.number_among(&mut numbers, &Layout::from(T::ELEMENT), next_type)?;
        numbers.of_type.insert(TypeId::of::<T>(), number);
        Ok(number)
    }

    /// The same for a layout that was made at run time.
    pub(crate) fn number_of_layout(&self, layout: &Layout, next_type: &mut u32) -> Result<u32> {
        let mut numbers = self.types.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        match &numbers.last_described {
            Some((last, number)) if last.is(layout) => Ok(*number),
            _ => {
                let number = self.number_among(&mut numbers, layout, next_type)?;
                numbers.last_described = Some((layout.clone(), number));
                Ok(number)
            }
        }
    }

    fn number_among(&self, numbers: &mut Numbers, layout: &Layout, next_type: &mut u32) -> Result<u32> {
        for number in numbers.loaded.max(1)..*next_type {
            // One that cannot be read is met by whoever reads its objects; others can be stored all the same.
            if let Ok(Some(stored)) = self.find_type(number) {
                numbers.of_encoding.entry(stored.encoding.clone()).or_insert(number);
            }
        }
        numbers.loaded = *next_type;
        let encoding = layout.encode()?;
        if let Some(&number) = numbers.of_encoding.get(&encoding) {
            return Ok(number);
        }
        let number = *next_type;
        if number >= MAX_TYPES {
            return Err(Error::Exhausted { what: "type numbers" });
        }
        *next_type = number + 1;
        numbers.loaded = *next_type;
        numbers.of_encoding.insert(encoding.clone(), number);
        let (layout, fingerprint) = (layout.clone(), layout.fingerprint());
        self.types.remember(TypeEntry { number, layout, fingerprint, encoding });
        Ok(number)
    }

    /// Whether an object of this type and kind may be seen as a `T`.
    ///
    /// # Errors
    /// [`Error::LayoutMismatch`] names the first field that differs.
    #[inline]
    pub(crate) fn check_type<T: Object + ?Sized>(&self, record: &Record<'_>) -> Result<()> {
        let header = record.header();
        let stored = self.stored_type(header.type_number)?;
        if stored.fingerprint == T::FINGERPRINT && header.flags.array == T::ARRAY {
            return Ok(());
        }
        Err(self.mismatch::<T>(record))
    }

    /// How objects of a stored type become objects of the `T` that says it extends it; `None` when it does not say so.
    ///
    /// # Errors
    /// [`Error::NoExtension`] when it says so, and the layouts contradict it.
    pub(crate) fn conversion<T: Evolves + ?Sized>(
        &self,
        stored: &TypeEntry,
    ) -> Result<Option<Arc<Conversion>>> {
        if !T::EVOLUTION.declares(stored.fingerprint) {
            return Ok(None);
        }
        let known = self.types.conversions.here(|_| Mutex::default());
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_both = (stored.number, TypeId::of::<T>());
        if let Some(conversion) = known.get(&of_both) {
            return Ok(Some(conversion.clone()));
        }
        let refuse = |mismatch| Error::NoExtension { fingerprint: stored.fingerprint, mismatch };
        let conversion = Conversion::new(&stored.layout, T::ELEMENT, T::EVOLUTION).map_err(refuse)?;
        Ok(Some(known.entry(of_both).or_insert(Arc::new(conversion)).clone()))
    }

    /// The types of the store, by number.
    pub(crate) fn all_types(&self, next_type: u32) -> Result<Vec<&TypeEntry>> {
        (1..next_type).filter_map(|number| self.find_type(number).transpose()).collect()
    }
}

impl Inner {
    /// Why an object may not be seen as a `T`.
    #[cold]
    pub(crate) fn mismatch<T: Object + ?Sized>(&self, record: &Record<'_>) -> Error {
        let stored = match self.stored_type(record.header().type_number) {
            Ok(stored) => stored,
            Err(error) => return error,
        };
        let shape = record.header().flags.array.then(|| record.extension().shape);
        let bytes = self.object_bytes(record).unwrap_or(0);
        let mismatch = LayoutMismatch::explain::<T>(&stored.layout, shape.as_deref(), bytes);
        Error::LayoutMismatch { key: record.key().to_vec(), mismatch: Box::new(mismatch) }
    }
}
