//! structchunk against its peers and against the floor; see `docs/benchmarks.md`.
#![expect(clippy::cast_precision_loss, reason = "figures are shown with three or four digits")]

mod arguments;
mod clock;
mod contestant;
mod data;
mod engine;
mod report;
mod rounds;
mod second;
mod targets;
mod workload;

use std::process::ExitCode;

use arguments::{Arguments, Request};

fn main() -> ExitCode {
    let outcome = match Arguments::parse(std::env::args_os().skip(1)) {
        Ok(Request::Run(arguments)) => run(&arguments),
        Ok(Request::Second(task)) => task.carry_out(),
        Ok(Request::Help) => {
            println!("{}", arguments::help());
            return ExitCode::SUCCESS;
        }
        Err(sentence) => {
            eprintln!("structchunk-bench: {sentence}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("structchunk-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> engine::Outcome<()> {
    let folder = rounds::Folder::create(&arguments.folder)?;
    let results = rounds::measure(arguments, folder.path())?;
    if arguments.json {
        report::print_json(&results);
    } else {
        report::print_table(&results);
        targets::print(&results);
    }
    Ok(())
}
