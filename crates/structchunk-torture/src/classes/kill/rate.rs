//! How fast the next open is.

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

use structchunk::{Found, Store};

use crate::child::command;
use crate::common::{Point, folder, open_with};
use crate::plan::{Part, Plan};

pub const NAME: &str = "rate of recovery";

/// What is promised, in objects a second.
const PROMISED: f64 = 5e6;

/// Seconds that this thread has been at work: what else the machine does must not decide.
fn processor_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time").as_secs_f64()
}

/// Opens a store whose process was killed. A quick run only shows the figure.
pub fn part(plan: &Plan) -> Part {
    let objects = plan.pick(30_000, 1_000_000);
    let mut part = Part::new(NAME);
    let (mut best, mut by_clock) = (0.0_f64, 0.0_f64);
    part.repeat(plan.pick(1, 3), |_, what| {
        let folder = folder();
        let path = folder.path().join("store");
        *what = format!("{objects} objects");
        let path_text = path.to_str().expect("a path");
        let task = ["kill-filled", path_text, &objects.to_string()];
        let status = command(&task).and_then(|mut command| command.status()).expect("a child");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
        let (start, worked) = (Instant::now(), processor_time());
        let store = open_with(Store::options(), &path).expect("open");
        let (seconds, worked) = (start.elapsed().as_secs_f64(), processor_time() - worked);
        assert_eq!((store.recovery().found, store.len()), (Found::ProcessDied, objects));
        best = best.max(f64::from(objects as u32) / worked);
        by_clock = by_clock.max(f64::from(objects as u32) / seconds);
    });
    if plan.pick(0, 1) == 1 && !cfg!(debug_assertions) && best < PROMISED {
        part.failures += 1;
    }
    part.notes = format!(
        "{:.1} M objects/s after a kill, of {objects} ({:.1} by the clock; promised: {:.0})",
        best / 1e6,
        by_clock / 1e6,
        PROMISED / 1e6
    );
    part
}

/// What the child does: fills a store, and dies.
pub fn child(path: &Path, objects: u64) {
    let store = open_with(Store::options().create(true), path).expect("open");
    for number in 0..objects {
        let value = Point { x: 1.0, y: f64::from(number as u32) };
        store.put(format!("object {number:08}"), &value).expect("put");
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).expect("to die");
}
