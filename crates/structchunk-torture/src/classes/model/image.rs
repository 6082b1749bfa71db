//! What is there after a crash, and what a store must make of it.

use std::sync::Arc;

use super::files::{Bytes, Files, SECTOR};
use crate::common::Random;
use crate::script::Tracked;

/// What is derived, and may be lost at any time.
pub const VIEWS: [&str; 3] = ["directory", "live", "shared"];

/// How things stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process dies; what it stored is in the page cache.
    Kill,
    /// The same, and the page that says how far it had come is lost.
    KillSharedLost,
    /// The process dies after one of its syncs has failed.
    Poisoned,
    /// The machine dies.
    Power,
    /// The machine dies, and one of the two checkpoints cannot be read any more.
    PowerAndSlot,
    /// Both checkpoints are gone, and nothing was to be lost: what the chunks say is put together again.
    CheckpointsLost,
}

impl Crash {
    /// One that may come at any time.
    pub fn any(random: &mut Random) -> Self {
        match random.below(20) {
            0..7 => Self::Kill,
            7 => Self::KillSharedLost,
            8..15 => Self::Power,
            _ => Self::PowerAndSlot,
        }
    }

    /// Whether the machine goes on.
    pub fn same_boot(self) -> bool {
        matches!(self, Self::Kill | Self::KillSharedLost | Self::Poisoned)
    }
}

/// What may be found: one of some states, and in it the bytes of objects as they were at some time since.
#[derive(Clone, Default)]
pub struct Expected {
    pub states: Vec<Arc<Tracked>>,
    /// What objects have been, where they changed in place.
    pub later: Arc<Tracked>,
    /// The counter, which is changed in place without notice, has at least this value and at most this one.
    pub hits: (u64, u64),
}

impl Expected {
    /// Either may be found.
    pub fn or(&self, other: &Self) -> Self {
        let states = self.states.iter().chain(&other.states).cloned().collect();
        let mut later = (*self.later).clone();
        for (object, versions) in &other.later.history {
            later.history.entry(*object).or_default().extend(versions.iter().cloned());
        }
        let hits = (self.hits.0.min(other.hits.0), self.hits.1.max(other.hits.1));
        Self { states, later: Arc::new(later), hits }
    }
}

/// What is under way, and what may be found if it is stopped.
#[derive(Clone, Default)]
pub struct Stage {
    /// The store is being opened.
    pub opening: bool,
    /// After a kill.
    pub kill: Expected,
    /// After a power cut.
    pub power: Expected,
    /// What the two checkpoints describe.
    pub slots: Expected,
    /// What a checkpoint that is written now describes.
    pub cut: Arc<Tracked>,
    /// Only one of the two can be read.
    pub one_slot: bool,
}

impl Stage {
    /// There is a checkpoint in place of the older one.
    pub fn checkpoint(&mut self, cut: Arc<Tracked>) {
        let first = self.slots.states.len().saturating_sub(1);
        self.slots.states.drain(..first);
        self.slots.states.push(cut);
    }
}

/// What is there after a crash.
pub struct Image {
    pub files: Files,
    pub crash: Crash,
    pub stage: Stage,
    /// The last sequence that was given, where the next session must go on right behind it.
    pub sequence: Option<u64>,
    /// It is known what came of the step that was under way.
    pub done: bool,
    /// Before what.
    pub at: String,
}

impl Image {
    pub fn of(
        crash: Crash,
        seen: &Files,
        old_views: &[(&'static str, Bytes)],
        stage: &Stage,
        random: &mut Random,
        at: String,
    ) -> Self {
        let crash = if stage.one_slot && crash == Crash::PowerAndSlot { Crash::Power } else { crash };
        let mut files = match crash {
            Crash::Power | Crash::PowerAndSlot => seen.after_power_cut(random),
            Crash::CheckpointsLost => seen.clone().settled(),
            _ => seen.clone(),
        };
        for view in VIEWS {
            // As long as the machine lives, nobody but its owner takes the page away by which a process is believed.
            if view == "shared" && crash.same_boot() {
                continue;
            }
            spoil(&mut files, view, old_views, random);
        }
        match crash {
            Crash::KillSharedLost => files.remove("shared"),
            Crash::PowerAndSlot => destroy(&mut files, 1 + random.below(2), random),
            Crash::CheckpointsLost => {
                destroy(&mut files, 1, random);
                destroy(&mut files, 2, random);
            }
            _ => {}
        }
        Self { done: false, ..Self::new(files, crash, stage.clone(), at) }
    }

    /// One of which all is known.
    pub fn new(files: Files, crash: Crash, stage: Stage, at: String) -> Self {
        Self { files, crash, stage, sequence: None, done: true, at }
    }

    /// What may be found.
    pub fn expected(&self) -> Expected {
        let Stage { kill, power, slots, cut, .. } = &self.stage;
        match self.crash {
            Crash::Kill | Crash::CheckpointsLost => kill.clone(),
            Crash::KillSharedLost | Crash::Power => power.clone(),
            Crash::PowerAndSlot => power.or(slots),
            Crash::Poisoned => {
                let mut expected = power.or(slots);
                expected.states.push(cut.clone());
                expected
            }
        }
    }
}

/// Sometimes a view is lost, or old, or noise.
fn spoil(files: &mut Files, view: &str, old: &[(&'static str, Bytes)], random: &mut Random) {
    match random.below(16) {
        0 => files.remove(view),
        1 => {
            if let Some((_, old)) = old.iter().find(|(name, _)| *name == view) {
                files.set(view, old.to_vec());
            }
        }
        2 => {
            if let Some(bytes) = files.get(view).cloned() {
                let mut bytes = bytes.to_vec();
                let from = random.below(bytes.len() as u64 + 1) as usize;
                let to = (from + 700).min(bytes.len());
                bytes[from..to].fill_with(|| random.next() as u8);
                // A disk does not do that to what is durable; so what says that it is goes too.
                bytes.iter_mut().take(64).for_each(|byte| *byte = random.next() as u8);
                files.set(view, bytes);
            }
        }
        _ => {}
    }
}

/// A sector with a checkpoint cannot be read any more.
fn destroy(files: &mut Files, slot: u64, random: &mut Random) {
    let Some(bytes) = files.get("STORE").cloned() else { return };
    let mut bytes = bytes.to_vec();
    let start = 4096 * slot as usize;
    if bytes.len() >= start + SECTOR {
        bytes[start..start + SECTOR].fill_with(|| random.next() as u8);
        files.set("STORE", bytes);
    }
}
