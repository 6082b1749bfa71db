//! A child whose system calls are stopped at, one by one: to kill it there, to look at its files, to let a call fail.
//!
//! This is what `strace --inject` does, without the start of the program, and with a look at what the call is about. Only the
//! child's main thread is traced, which is the one that uses the store.
#![expect(unsafe_code, reason = "tracing is done by system calls that take pointers")]

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::ptr::{null_mut, without_provenance_mut};

use rustix::process::{Pid, Signal, WaitOptions, waitpid};

/// In a child: from here on its parent decides what happens.
///
/// # Errors
/// Where tracing is forbidden.
pub fn hand_over() -> io::Result<()> {
    let nothing = null_mut::<libc::c_void>();
    // SAFETY: the request takes no pointer.
    if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, nothing, nothing) } < 0 {
        return Err(io::Error::last_os_error());
    }
    rustix::process::kill_process(rustix::process::getpid(), Signal::STOP)?;
    Ok(())
}

/// Whether this process may trace others.
pub fn is_allowed() -> Result<(), String> {
    let started = crate::child::command(&["hand-over"]).and_then(|mut command| Traced::start(&mut command));
    match started {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("processes may not be traced here".into()),
        Err(error) => Err(format!("processes may not be traced here: {error}")),
    }
}

/// What the child came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A system call, before the kernel has done it.
    Before,
    /// The same one, when the kernel has done it.
    After,
    /// An instruction.
    Instruction,
    /// Its end.
    End,
}

/// A child that is traced. It is killed when this goes.
pub struct Traced {
    child: Child,
    pid: Pid,
    memory: File,
    status: Option<ExitStatus>,
}

/// A system call, by its number, and what it is given.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    pub number: i64,
    pub arguments: [u64; 6],
}

impl Traced {
    /// Starts a program that calls [`hand_over`], and lets it run until there. `None` when it ended before, or may not be traced.
    pub fn start(command: &mut Command) -> io::Result<Option<Self>> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let pid = Pid::from_child(&child);
        let memory = File::open(format!("/proc/{}/mem", pid.as_raw_nonzero()))?;
        let mut traced = Self { child, pid, memory, status: None };
        traced.wait()?;
        if traced.status.is_some() {
            return Ok(None);
        }
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        traced.request(libc::PTRACE_SETOPTIONS, options.cast_unsigned() as usize)?;
        Ok(Some(traced))
    }

    /// Runs up to where the next system call begins or ends.
    pub fn next_call(&mut self) -> io::Result<Stop> {
        self.go_on(libc::PTRACE_SYSCALL)
    }

    /// Runs one instruction.
    pub fn step(&mut self) -> io::Result<Stop> {
        self.go_on(libc::PTRACE_SINGLESTEP)
    }

    fn go_on(&mut self, request: libc::c_uint) -> io::Result<Stop> {
        let mut signal = 0;
        while self.status.is_none() {
            self.request(request, signal)?;
            let Some(stopped_by) = self.wait()? else { break };
            if stopped_by == libc::SIGTRAP | 0x80 {
                return Ok(if self.is_before_call()? { Stop::Before } else { Stop::After });
            }
            if stopped_by == libc::SIGTRAP {
                return Ok(Stop::Instruction);
            }
            // A signal of its own: it gets it.
            signal = stopped_by.cast_unsigned() as usize;
        }
        Ok(Stop::End)
    }

    /// The signal that it stopped at; `None` at its end.
    fn wait(&mut self) -> io::Result<Option<i32>> {
        loop {
            match waitpid(Some(self.pid), WaitOptions::UNTRACED) {
                Ok(Some((_, status))) => {
                    if let Some(signal) = status.stopping_signal() {
                        return Ok(Some(signal));
                    }
                    self.status = Some(ExitStatus::from_raw(status.as_raw()));
                    return Ok(None);
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn request(&self, request: libc::c_uint, data: usize) -> io::Result<()> {
        let (pid, data) = (self.pid.as_raw_nonzero().get(), without_provenance_mut::<libc::c_void>(data));
        // SAFETY: the requests that get here take a number as their data.
        if unsafe { libc::ptrace(request, pid, null_mut::<libc::c_void>(), data) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// Whether the call at which it stopped is yet to be done.
    fn is_before_call(&self) -> io::Result<bool> {
        // SAFETY: a struct of integers and of unions of such.
        let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
        let (pid, bytes) = (self.pid.as_raw_nonzero().get(), size_of_val(&info));
        // SAFETY: the request writes at most so many bytes to one such struct, and `info` is one.
        let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, pid, bytes, &raw mut info) };
        if written < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(info.op == libc::PTRACE_SYSCALL_INFO_ENTRY)
    }

    fn registers(&self) -> io::Result<libc::user_regs_struct> {
        let (pid, nothing) = (self.pid.as_raw_nonzero().get(), null_mut::<libc::c_void>());
        // SAFETY: a struct of integers.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        // SAFETY: the request writes one such struct, and `registers` is one.
        if unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, nothing, &raw mut registers) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(registers)
    }

    fn set_registers(&self, registers: &libc::user_regs_struct) -> io::Result<()> {
        let (pid, nothing) = (self.pid.as_raw_nonzero().get(), null_mut::<libc::c_void>());
        // SAFETY: the request reads one such struct, and `registers` is one.
        if unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, nothing, &raw const *registers) } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }

    /// The call that it stopped at.
    pub fn call(&self) -> io::Result<Call> {
        let it = self.registers()?;
        #[expect(clippy::cast_possible_wrap, reason = "the number of a call")]
        let number = it.orig_rax as i64;
        Ok(Call { number, arguments: [it.rdi, it.rsi, it.rdx, it.r10, it.r8, it.r9] })
    }

    /// Lets the call that it stopped before fail, undone, and runs up to where it has.
    pub fn fail(&mut self, errno: i32) -> io::Result<Stop> {
        let mut registers = self.registers()?;
        // There is no such call.
        registers.orig_rax = u64::MAX;
        self.set_registers(&registers)?;
        let stop = self.next_call()?;
        if stop == Stop::After {
            let mut registers = self.registers()?;
            registers.rax = i64::from(-errno).cast_unsigned();
            self.set_registers(&registers)?;
        }
        Ok(stop)
    }

    /// What one of its open descriptors is.
    pub fn file(&self, descriptor: u64) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/{}/fd/{descriptor}", self.pid.as_raw_nonzero())).ok()
    }

    /// Whether its next instruction is a system call.
    pub fn is_at_call(&self) -> io::Result<bool> {
        let mut bytes = [0; 2];
        self.memory.read_at(&mut bytes, self.registers()?.rip)?;
        Ok(bytes == [0x0f, 0x05])
    }

    /// A text in its memory, up to the first zero.
    pub fn text(&self, address: u64) -> io::Result<String> {
        let mut bytes = [0; 512];
        let read = self.memory.read_at(&mut bytes, address)?;
        let end = bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(read);
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }

    /// What it has said up to now.
    pub fn said(&mut self) -> io::Result<Vec<u8>> {
        let mut said = Vec::new();
        let Some(output) = &mut self.child.stdout else { return Ok(said) };
        rustix::fs::fcntl_setfl(&*output, rustix::fs::OFlags::NONBLOCK)?;
        match output.read_to_end(&mut said) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(said),
        }
    }

    /// Lets it run to its end; what it had said since it was last asked, and how it ended.
    pub fn finish(mut self) -> io::Result<Ended> {
        if self.status.is_none() {
            self.request(libc::PTRACE_DETACH, 0)?;
            while self.status.is_none() {
                self.wait()?;
            }
        }
        self.end()
    }

    /// Kills it where it is, if it is still there; what it had said since it was last asked, and how it ended.
    pub fn end(mut self) -> io::Result<Ended> {
        if self.status.is_none() {
            self.child.kill()?;
            while self.status.is_none() {
                self.wait()?;
            }
        }
        let said = self.said()?;
        let mut complaint = String::new();
        if let Some(mut errors) = self.child.stderr.take() {
            errors.read_to_string(&mut complaint)?;
        }
        let status = self.status.ok_or(io::ErrorKind::Other)?;
        Ok(Ended { said, complaint, status })
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = self.child.kill();
            let _ = self.wait();
        }
    }
}

/// How a child ended.
pub struct Ended {
    /// What it said, as far as nobody had asked before.
    pub said: Vec<u8>,
    /// What it said of its errors.
    pub complaint: String,
    pub status: ExitStatus,
}

impl Ended {
    /// Panics unless it ended well or by the signal that kills.
    pub fn expect_no_panic(&self) {
        let killed = self.status.signal() == Some(libc::SIGKILL);
        assert!(killed || self.status.success(), "the child: {}, {}", self.status, self.complaint);
    }
}
