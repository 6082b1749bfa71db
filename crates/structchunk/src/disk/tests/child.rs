//! Tests that change what belongs to the whole process (umask, limits) run it in a process of its own.

use std::process::Command;

const MARK: &str = "STRUCTCHUNK_TEST_CHILD";

/// Runs `body` in a child process that runs only the test `name` (with its module path), and fails as it fails.
pub(super) fn in_a_process_of_its_own(name: &str, body: impl FnOnce()) {
    if std::env::var_os(MARK).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(MARK, "1")
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {text}", output.status);
    assert!(text.contains("1 passed"), "no test of this name ran: {text}");
}
