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

/// Openings of each store. Every one of them is a recovery, as none of the stores is closed.
const OPENINGS: usize = 10;

/// Seconds that all threads of this process have been at work.
fn busy_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).expect("a time").as_secs_f64()
}

/// Opens stores whose process was killed. What counts is the clock on the wall, at the best of all openings: a machine that others
/// use, too, makes any of them slower, and none faster. A quick run only shows the figure.
pub fn part(plan: &Plan) -> Part {
    let objects = plan.pick(30_000, 1_000_000);
    let mut part = Part::new(NAME);
    let mut openings = Vec::new();
    part.repeat(plan.pick(1, 3), |_, what| {
        let folder = folder();
        let path = folder.path().join("store");
        *what = format!("{objects} objects");
        let path_text = path.to_str().expect("a path");
        let task = ["kill-filled", path_text, &objects.to_string()];
        let status = command(&task).and_then(|mut command| command.status()).expect("a child");
        assert_eq!(status.signal(), Some(libc::SIGKILL), "{status}");
        for _ in 0..OPENINGS {
            let (start, busy) = (Instant::now(), busy_time());
            let store = open_with(Store::options(), &path).expect("open");
            openings.push((start.elapsed().as_secs_f64(), busy_time() - busy));
            assert_eq!((store.recovery().found, store.len()), (Found::ProcessDied, objects));
        }
    });
    openings.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (Some(&(best, busy)), Some(&(median, _))) = (openings.first(), openings.get(openings.len() / 2))
    else {
        return part;
    };
    let rate = |seconds: f64| f64::from(objects as u32) / seconds;
    if plan.pick(0, 1) == 1 && !cfg!(debug_assertions) && rate(best) < PROMISED {
        part.failures += 1;
    }
    part.notes = format!(
        "{:.1} M of {objects} objects/s by the clock at the best of {} openings, where all threads were busy for {:.1} x that time; \
         median {:.1} (promised: {:.0})",
        rate(best) / 1e6,
        openings.len(),
        busy / best,
        rate(median) / 1e6,
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
