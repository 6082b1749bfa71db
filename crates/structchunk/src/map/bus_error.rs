//! What to say before a process dies of a page that is not there any more.
//!
//! Where a file was cut, or its disk gives a page not back, an access through a mapping is a signal, SIGBUS, and by default nothing says which
//! file it was. This handler says so, and hands over to the handler that was there before: it makes nothing go on, as nothing could be
//! sound afterwards (ARCHITECTURE.md says why).
#![expect(
    unsafe_code,
    reason = "installs a signal handler, which is called by the kernel and calls the one before it"
)]

use std::ffi::{c_int, c_void};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use libc::{SIG_DFL, SIG_IGN, SIGBUS, siginfo_t};

use super::whereabouts::{self, Found};
use crate::disk::no_fork;

/// The handler that was there before: its address, and in the lowest bit, above which the address is, whether it takes three arguments.
/// One word, so that no handler meets half of it.
static EARLIER: AtomicUsize = AtomicUsize::new(SIG_DFL << 1);

/// Says, on standard error, which byte of which file was touched when this process dies of a SIGBUS in the files of a store.
///
/// That happens when somebody else truncates a file of an open store, when its disk does not give a page back, and when an
/// unbacked part of a sparse object is touched on a full disk. The process dies then, as by default: a reference to bytes that have
/// become others cannot be honoured. But instead of nothing there is one line:
///
/// ```text
/// structchunk: my.store/chunks/00000000.chunk, byte 81920, is not there: the file was truncated by somebody else, or its disk failed or is full; this process cannot go on, opening the store again recovers it or says what is lost
/// ```
///
/// This is for programs, not for libraries: it takes the process's handler of SIGBUS. The one that was there before is called after the line,
/// and at once for addresses that are not in a store's files; where there was none, the process dies by the signal. A
/// handler that is installed later and does not call this one takes its place. Further calls change nothing. Stores that are open
/// already are known too; of more than 65,536 mapped files the rest is not. Forked children inherit all of this.
///
/// # Errors
/// What the system says when it accepts no handler.
pub fn explain_bus_errors() -> io::Result<()> {
    // Once: a handler that was installed since then, and calls this one, must not be called by it.
    static OUTCOME: OnceLock<Result<(), i32>> = OnceLock::new();
    // (A child would wait for ever for another thread that is at it.)
    let _no_fork = no_fork();
    let outcome =
        OUTCOME.get_or_init(|| install().map_err(|error| error.raw_os_error().unwrap_or(libc::EINVAL)));
    outcome.map_err(io::Error::from_raw_os_error)
}

fn install() -> io::Result<()> {
    let earlier = exchange(None)?;
    EARLIER.store(packed(&earlier), Ordering::Release);
    let mut action = earlier;
    action.sa_sigaction = (handle as extern "C" fn(_, _, _)) as usize;
    // What the earlier handler wants to be blocked, and not, stays so while it runs below this one.
    action.sa_flags = earlier.sa_flags & !libc::SA_RESETHAND | libc::SA_SIGINFO | libc::SA_ONSTACK;
    let replaced = exchange(Some(&action))?;
    // Another thread may have installed one in between.
    EARLIER.store(packed(&replaced), Ordering::Release);
    Ok(())
}

/// Installs a handler, if one is given; the one that was there.
fn exchange(action: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut earlier = MaybeUninit::uninit();
    // SAFETY: both point to what they should, or are null, which is allowed. The one handler that is ever installed does only what is
    // allowed in one, and is there as long as the program (which cannot unload what it was linked with).
    let answer = unsafe {
        libc::sigaction(SIGBUS, action.map_or(std::ptr::null(), std::ptr::from_ref), earlier.as_mut_ptr())
    };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: after a success it was filled in.
    Ok(unsafe { earlier.assume_init() })
}

fn packed(action: &libc::sigaction) -> usize {
    action.sa_sigaction << 1 | usize::from(action.sa_flags & libc::SA_SIGINFO != 0)
}

/// The handler. Atomic loads, `writev`, and what the earlier one does.
extern "C" fn handle(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid description of the signal, whatever its kind.
    let what = unsafe { &*info };
    // What a process sends has no address; those codes are not positive.
    let is_fault = what.si_code > 0;
    if is_fault {
        // SAFETY: of a fault the description has an address (or zeroes in its place).
        let address = unsafe { what.si_addr() };
        if let Some(found) = whereabouts::find(address.addr()) {
            say(found);
        }
    }
    let earlier = EARLIER.load(Ordering::Acquire);
    match earlier >> 1 {
        SIG_IGN if !is_fault => {}
        // Nobody ignores a fault: the kernel would end the process too.
        SIG_DFL | SIG_IGN => die(),
        address if earlier & 1 == 1 => {
            // SAFETY: installed by somebody with this flag, so it is a function of these three arguments.
            let handler = unsafe {
                std::mem::transmute::<usize, extern "C" fn(c_int, *mut siginfo_t, *mut c_void)>(address)
            };
            handler(signal, info, context);
        }
        address => {
            // SAFETY: installed by somebody without that flag, so it is a function of the signal's number.
            let handler = unsafe { std::mem::transmute::<usize, extern "C" fn(c_int)>(address) };
            handler(signal);
        }
    }
}

/// Has the process end by the signal when the handler returns; until then it is blocked.
fn die() {
    // SAFETY: no handler is passed.
    unsafe { libc::signal(SIGBUS, SIG_DFL) };
    // SAFETY: has no preconditions.
    unsafe { libc::raise(SIGBUS) };
}

/// One line in one call. Whether it arrives is of no interest any more.
fn say(found: Found) {
    // SAFETY: the thread that runs this was about to use the mapping that was found. So the mapping is there, and with it its
    // `Whereabouts`, which own the name, until it goes on.
    let name = unsafe { std::slice::from_raw_parts(found.name, found.name_bytes) };
    let mut digits = [0; 20];
    let line = [
        IoSlice::new(b"structchunk: "),
        IoSlice::new(name),
        IoSlice::new(b", byte "),
        IoSlice::new(decimal(found.offset, &mut digits)),
        IoSlice::new(
            b", is not there: the file was truncated by somebody else, or its disk failed or is full; \
            this process cannot go on, opening the store again recovers it or says what is lost\n",
        ),
    ];
    // Where standard error is closed there is nobody to tell.
    let _ = rustix::io::writev(io::stderr(), &line);
}

/// A number as text, without allocating.
fn decimal(mut number: usize, digits: &mut [u8; 20]) -> &[u8] {
    let mut first = digits.len();
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        first -= 1;
        if number == 0 {
            break;
        }
    }
    &digits[first..]
}

#[cfg(test)]
mod tests {
    use super::decimal;

    #[test]
    fn numbers_are_written_as_everybody_writes_them() {
        for number in [0, 7, 10, 4095, 1_000_000, usize::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }
}
