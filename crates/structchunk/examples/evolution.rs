//! A type that grows: older objects are read as the newer type, and written anew when there is time. Older programs go on with what
//! is still old, and are told of what is not.
//!
//! `cargo run -p structchunk --example evolution [DIRECTORY]`

#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use structchunk::{Object, Store};

/// What the first release stored. It stays in the program as long as there may be such objects: so the compiler can check
/// that `Account` extends it.
#[derive(Object, Clone, Copy, Debug)]
#[object(name = "Account")]
#[repr(C)]
struct AccountV1 {
    balance: i64,
    #[object(text)]
    owner: [u8; 12],
    #[object(padding)]
    _pad: [u8; 4],
}

/// What this release stores: one field has a better name, one lies where there was padding, one was appended.
#[derive(Object, Clone, Copy, Debug)]
#[object(extends = AccountV1)]
#[repr(C)]
struct Account {
    #[object(renamed_from = "balance")]
    cents: i64,
    #[object(text)]
    owner: [u8; 12],
    flags: u32,
    #[object(default = 0.02)]
    interest: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = parent.join(format!("structchunk-evolution-{}", std::process::id()));
    let outcome = show(&folder);
    std::fs::remove_dir_all(&folder)?;
    outcome
}

fn show(folder: &Path) -> Result<(), Box<dyn Error>> {
    // SAFETY: nobody but structchunk changes or truncates the files while the store is open.
    let store = unsafe { Store::options().create_new(true).open(folder)? };

    // The first release.
    for number in 0..1000 {
        let mut owner = [0; 12];
        owner[..3].copy_from_slice(b"Ada");
        store.put(format!("account/{number}"), &AccountV1 { balance: number, owner, _pad: [0; 4] })?;
    }

    // The second one reads what the first one left. Nothing in the store changes by that.
    if let Some(account) = store.load_as::<Account>("account/42")? {
        println!(
            "read as new: {} cents, flags {}, interest {}",
            account.cents, account.flags, account.interest
        );
    }
    // That a type has the same name is no reason to believe anything; `load` takes no older layout.
    if let Err(error) = store.load::<Account>("account/42") {
        println!("refused: {error}");
    }

    // One object is written anew. From now on it is changed in place like any other, and the first release is told.
    store.upgrade::<Account>("account/42")?;
    store.update("account/42", |account: &mut Account| account.flags |= 1)?;
    if let Err(error) = store.load::<AccountV1>("account/42") {
        println!("an older program: {error}");
    }

    // All others, in pieces: whoever stops half way, or is killed, runs it again.
    let half = store.upgrade_all_with::<Account>(|done| {
        if done.rewritten < 500 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    println!("interrupted: {} of {} rewritten", half.rewritten, store.len());
    let rest = store.upgrade_all::<Account>()?;
    println!("finished: {} more, {} were new already", rest.rewritten, rest.current);

    for stored in store.types()? {
        let (layout, version) = (&stored.layout, stored.version);
        println!("version {version} of {}: {layout}, extends {:?}", layout.name(), layout.extends());
    }
    store.close()?;
    Ok(())
}
