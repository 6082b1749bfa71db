//! Errors on demand: tests make single calls fail and see the order of all of them.
//!
//! In production there is no plan, and [`Faults`] costs one comparison with null for each system call.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::sabotage::Sabotage;

/// The kinds of effects on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Call {
    /// A file or folder is opened.
    Open,
    /// A file is created.
    Create,
    /// A folder is created.
    CreateFolder,
    /// A folder's names are listed, or one is looked for.
    List,
    /// A file's length is set.
    Truncate,
    /// Space is reserved.
    Allocate,
    /// Space is given back.
    Punch,
    /// A file is made durable.
    Sync,
    /// A folder's names are made durable.
    SyncFolder,
    /// Bytes are written.
    Write,
    /// Bytes are read.
    Read,
    /// Bytes are copied from file to file.
    Copy,
    /// A file's length, number or blocks are asked for.
    Inspect,
    /// A file gets another name.
    Rename,
    /// A name is removed.
    Remove,
    /// A file is mapped.
    Map,
    /// A byte is locked, unlocked or looked at.
    Lock,
    /// The kernel is asked to let go of what it caches of a file.
    Forget,
    /// The kernel is asked to cache a part of a file that was just reserved in large pages.
    Cache,
    /// Nothing: a moment between two steps in memory. Only watchers hear of it.
    Memory,
}

/// One call that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What was done.
    pub call: Call,
    /// The last component of the path it was done to; of a rename, the new name.
    pub file: String,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.call, self.file)
    }
}

/// Which call fails, and how. Calls are counted from the moment the fault is planned.
#[derive(Debug, Clone)]
pub struct Fault {
    call: Option<Call>,
    file: Option<String>,
    errno: i32,
    from_then_on: bool,
    calls_before: u64,
}

impl Fault {
    /// The `n`-th call fails with `errno`, once; `n` counts from 1.
    pub fn nth(n: u64, errno: i32) -> Self {
        Self { call: None, file: None, errno, from_then_on: false, calls_before: n.saturating_sub(1) }
    }

    /// Only calls of this kind count.
    #[must_use]
    pub fn of(mut self, call: Call) -> Self {
        self.call = Some(call);
        self
    }

    /// Only calls to a file or folder of this name count.
    #[must_use]
    pub fn on(mut self, file: &str) -> Self {
        self.file = Some(file.to_owned());
        self
    }

    /// All later calls that count fail as well. (With `EINTR` the caller would try for ever.)
    #[must_use]
    pub fn from_then_on(mut self) -> Self {
        self.from_then_on = true;
        self
    }

    /// Counts the call; true when it is to fail.
    fn strikes(&mut self, event: &Event) -> bool {
        if self.call.is_some_and(|call| call != event.call)
            || self.file.as_ref().is_some_and(|file| *file != event.file)
        {
            return false;
        }
        match self.calls_before.checked_sub(1) {
            Some(left) => {
                self.calls_before = left;
                false
            }
            None => true,
        }
    }
}

/// A plan of what fails, shared by a folder and everything opened through it.
#[derive(Clone, Default)]
pub struct Faults {
    plan: Option<Arc<Plan>>,
}

type Watcher = dyn Fn(&Event) + Send + Sync;

#[derive(Default)]
struct Plan {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    trace: Vec<Event>,
    faults: Vec<Fault>,
    watcher: Option<Arc<Watcher>>,
    boot: Boot,
    sabotage: Option<Sabotage>,
}

#[derive(Default)]
enum Boot {
    #[default]
    Real,
    Pretended(Option<[u8; 16]>),
}

impl Faults {
    /// Nothing fails, nothing is recorded.
    pub fn none() -> Self {
        Self::default()
    }

    /// Every call is recorded, and fails where [`Faults::plan`] says so.
    pub fn recorded() -> Self {
        Self { plan: Some(Arc::default()) }
    }

    /// Plans one more fault.
    pub fn plan(&self, fault: Fault) {
        self.change(|state| state.faults.push(fault));
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.change(|state| state.faults.clear());
    }

    /// Calls `watcher` before every effect, for instance to keep an image of the files.
    /// It must not use the store.
    pub fn watch(&self, watcher: impl Fn(&Event) + Send + Sync + 'static) {
        self.change(|state| state.watcher = Some(Arc::new(watcher)));
    }

    /// Makes the machine look as if it had this boot id, or (`None`) none that can be read.
    pub fn pretend_boot(&self, boot_id: Option<[u8; 16]>) {
        self.change(|state| state.boot = Boot::Pretended(boot_id));
    }

    /// All calls since the beginning or the last [`Faults::forget`], those that failed included.
    pub fn trace(&self) -> Vec<Event> {
        self.change(|state| state.trace.clone()).unwrap_or_default()
    }

    /// How many calls of one kind the trace holds.
    pub fn count(&self, call: Call) -> usize {
        self.change(|state| state.trace.iter().filter(|event| event.call == call).count()).unwrap_or_default()
    }

    /// Empties the trace.
    pub fn forget(&self) {
        self.change(|state| state.trace.clear());
    }

    /// The boot id that is pretended, else the real one.
    pub(super) fn boot_id(&self, real: impl FnOnce() -> Option<[u8; 16]>) -> Option<[u8; 16]> {
        let pretended = self.change(|state| match state.boot {
            Boot::Real => Err(()),
            Boot::Pretended(boot_id) => Ok(boot_id),
        });
        if let Some(Ok(boot_id)) = pretended { boot_id } else { real() }
    }

    /// The rule that is to be broken.
    pub(super) fn sabotaged(&self) -> Option<Sabotage> {
        self.change(|state| state.sabotage).flatten()
    }

    pub(super) fn set_sabotage(&self, rule: Sabotage) {
        self.change(|state| state.sabotage = Some(rule));
    }

    /// Tells the watcher, if there is one, of what is no call.
    pub(super) fn pass(&self, event: impl FnOnce() -> Event) {
        if let Some(watcher) = self.change(|state| state.watcher.clone()).flatten() {
            watcher(&event());
        }
    }

    /// Makes one system call, or lets it fail as planned. A signal that came between only means: once more.
    pub(crate) fn guard<T, E: Into<io::Error>>(
        &self,
        call: Call,
        path: &Path,
        mut action: impl FnMut() -> Result<T, E>,
    ) -> io::Result<T> {
        loop {
            match self.before(call, path).and_then(|()| action().map_err(Into::into)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    #[inline]
    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        match &self.plan {
            None => Ok(()),
            Some(plan) => plan.before(call, path),
        }
    }

    fn change<T>(&self, action: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.plan.as_ref().map(|plan| action(&mut plan.lock()))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").field("recorded", &self.plan.is_some()).finish()
    }
}

impl Plan {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cold]
    fn before(&self, call: Call, path: &Path) -> io::Result<()> {
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let event = Event { call, file };
        let watcher = self.lock().watcher.clone();
        if let Some(watcher) = watcher {
            watcher(&event);
        }
        let mut state = self.lock();
        let mut errno = None;
        // Every fault counts the call, also when another one strikes.
        state.faults.retain_mut(|fault| {
            let strikes = fault.strikes(&event);
            if strikes {
                errno.get_or_insert(fault.errno);
            }
            !strikes || fault.from_then_on
        });
        state.trace.push(event);
        errno.map_or(Ok(()), |errno| Err(io::Error::from_raw_os_error(errno)))
    }
}
