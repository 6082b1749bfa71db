//! What the engines are asked to do.

/// One thing to do. A workload may give several rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    Load,
    Put,
    PutLongest,
    Size,
    Get,
    Chain,
    GetMany,
    Absent,
    Scan,
    ScanKeys,
    ScanSorted,
    Prefix,
    Change,
    Open,
    Recover,
    DurablePut,
    Delete,
    Compact,
    CatchUp,
    Large,
    Threads,
    SecondProcess,
}

/// How much of everything.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Objects in each database.
    pub objects: u64,
    /// Look-ups and changes in one round.
    pub operations: u64,
    /// Accesses of each kind by a second process, and by the writer beside it, in one round.
    pub accesses: u64,
    /// Durable puts in one round.
    pub durable: u64,
    /// Large objects, of 1 MiB each.
    pub large: u64,
    /// How often a database is opened in one round.
    pub opens: usize,
}

impl Workload {
    /// All of them, in the order in which they are done.
    pub const ALL: [Self; 22] = [
        Self::Load,
        Self::Put,
        Self::PutLongest,
        Self::Size,
        Self::Get,
        Self::Chain,
        Self::GetMany,
        Self::Absent,
        Self::Scan,
        Self::ScanKeys,
        Self::ScanSorted,
        Self::Prefix,
        Self::Change,
        Self::Open,
        Self::Recover,
        Self::DurablePut,
        Self::Delete,
        Self::Compact,
        Self::CatchUp,
        Self::Large,
        Self::Threads,
        Self::SecondProcess,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Put => "put",
            Self::PutLongest => "put_longest",
            Self::Size => "size",
            Self::Get => "get",
            Self::Chain => "get_chain",
            Self::GetMany => "get_many",
            Self::Absent => "absent",
            Self::Scan => "scan",
            Self::ScanKeys => "scan_keys",
            Self::ScanSorted => "scan_sorted",
            Self::Prefix => "prefix",
            Self::Change => "change",
            Self::Open => "open",
            Self::Recover => "recover",
            Self::DurablePut => "durable_put",
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::CatchUp => "catch_up",
            Self::Large => "large",
            Self::Threads => "threads",
            Self::SecondProcess => "second_process",
        }
    }

    /// Whether every round would give the same figure.
    pub const fn once_is_enough(self) -> bool {
        matches!(self, Self::Size)
    }
}

impl Scale {
    /// For figures that mean something.
    pub const fn full(objects: u64) -> Self {
        let operations = if objects < 1_000_000 { objects } else { 1_000_000 };
        Self { objects, operations, accesses: 200_000, durable: 200, large: 128, opens: 11 }
    }

    /// For a look at whether it works.
    pub const fn quick(objects: u64) -> Self {
        let operations = if objects < 20_000 { objects } else { 20_000 };
        Self { objects, operations, accesses: 5_000, durable: 10, large: 8, opens: 3 }
    }
}
