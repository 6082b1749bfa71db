//! A board of market data: one process feeds it, several others read it, and none knows of the others. Then the feed is killed, and another one
//! takes over while the readers go on.
//!
//! `cargo run -p structchunk --example quote_board [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use structchunk::{Object, Reader, Store};

const SYMBOLS: [&str; 4] = ["AUDUSD", "EURUSD", "GBPUSD", "USDJPY"];
const READERS: usize = 3;
/// What ends a reader's look at the board.
const LAST: u64 = 4000;

#[derive(Object, Clone, Copy)]
#[repr(C)]
struct Quote {
    /// In hundredths of a cent.
    bid: u64,
    /// Always `bid + 1`: whoever sees anything else has seen half a quote.
    ask: u64,
    number: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().collect();
    match (arguments.get(1).and_then(|role| role.to_str()), arguments.get(2)) {
        (Some("feed"), Some(board)) => feed(Path::new(board)),
        (Some("read"), Some(board)) => read(Path::new(board)),
        _ => {
            let parent = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
            let folder = parent.join(format!("structchunk-quote-board-{}", std::process::id()));
            let outcome = show(&folder);
            std::fs::remove_dir_all(&folder)?;
            outcome
        }
    }
}

/// Runs this program once more.
fn run(role: &str, board: &Path) -> std::io::Result<Child> {
    Command::new(std::env::current_exe()?).arg(role).arg(board).stdout(Stdio::piped()).spawn()
}

fn show(board: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: nobody but structchunk changes or truncates the files.
    unsafe { Store::options().create_new(true).open(board)? }.close()?;
    let mut first = run("feed", board)?;
    let readers = (0..READERS).map(|_| run("read", board)).collect::<Result<Vec<_>, _>>()?;

    // SAFETY: as above.
    let reader = unsafe { Reader::attach(board)? };
    while reader.load::<Quote>("EURUSD")?.is_none_or(|quote| quote.number < LAST / 4) {
        std::thread::sleep(Duration::from_millis(1));
    }
    first.kill()?;
    first.wait()?;
    let left = reader.load::<Quote>("EURUSD")?.map_or(0, |quote| quote.number);
    println!("the first feed was killed; the board is still there, at quote {left}");

    let mut second = run("feed", board)?;
    for reader in readers {
        let output = reader.wait_with_output()?;
        if !output.status.success() {
            return Err("a reader failed".into());
        }
        print!("{}", String::from_utf8_lossy(&output.stdout));
    }
    second.kill()?;
    second.wait()?;
    Ok(())
}

/// Puts quotes, in the order of the symbols, from where the last feed ended.
fn feed(board: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: as in `show`.
    let store = unsafe { Store::options().open(board)? };
    let mut number = store.load::<Quote>(SYMBOLS[0])?.map_or(0, |quote| quote.number);
    loop {
        number += 1;
        let bid = 10_000 + number;
        for symbol in SYMBOLS {
            // (`update` would take no space, but leave the quote half changed when the feed is killed in the middle of it.)
            store.put(symbol, &Quote { bid, ask: bid + 1, number })?;
        }
    }
}

/// Looks at the board until the last quote, whoever feeds it.
fn read(board: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: as in `show`.
    let reader = unsafe { Reader::attach(board)? };
    let (mut looks, mut last) = (0_u64, 0);
    let end = Instant::now() + Duration::from_mins(1);
    while last < LAST && Instant::now() < end {
        for quote in reader.load_many::<Quote, _>(&SYMBOLS)?.into_iter().flatten() {
            if quote.ask != quote.bid + 1 || quote.bid != 10_000 + quote.number {
                return Err("half a quote was seen".into());
            }
            looks += 1;
        }
        let now = reader.load::<Quote>(SYMBOLS[0])?.map_or(0, |quote| quote.number);
        if now < last {
            return Err("the board went back".into());
        }
        last = now;
    }
    let symbols = reader.session()?.keys()?.count();
    println!(
        "reader: {symbols} symbols, {looks} looks, never half a quote, the last one at least {}",
        last.min(LAST)
    );
    Ok(())
}
