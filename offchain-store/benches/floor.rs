//! What a durable commit costs here, as lines of JSON: the floor that other measurements are compared with.
//!
//! `cargo bench -p offchain-store --bench floor`. The values of commits are wall time on the disk of the temporary
//! folder (`TMPDIR`): an `fsync` that does not reach the medium, as on many virtual machines, flatters them.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use offchain_store::{FileDisk, RedbStore, RootKey, SealedStore, system_random};
use walytis_core::{Batch, Store, Table};

const RECORDS: Table = Table::permanent("bench.records");
const BY_ID: Table = Table::hidden("bench.by-id");
const BY_AUTHOR: Table = Table::permanent("bench.by-author");

/// An entry of 100 bytes as a block's record: signed, chained, with its header.
const RECORD_BYTES: usize = 300;
const ENTRY_BYTES: usize = 100;
const SINGLE_COMMITS: usize = 2_000;
const GROUPS: usize = 200;
const GROUP: usize = 100;
/// Units of the processor times that Linux reports in `/proc`: `USER_HZ`, 100 on every architecture that Rust supports.
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), Box<dyn Error>> {
    // Without `--bench` (`cargo test --benches`) one round shows that it works.
    let share = if std::env::args().any(|argument| argument == "--bench") { 1 } else { 100 };
    let folder = tempfile::tempdir()?;
    let new_disk = |name: &str| {
        let path = folder.path().join(name);
        std::fs::File::create_new(&path)?;
        FileDisk::open(&path)
    };
    let plain = RedbStore::on_disk(new_disk("plain")?)?;
    measure("floor", "f", &plain, share)?;
    let root_key = RootKey::generate(&mut *system_random()?);
    let sealed = SealedStore::create(RedbStore::on_disk(new_disk("sealed")?)?, &root_key, system_random()?)?;
    measure("offchain-store", "sealed", &sealed, share)
}

fn measure(system: &str, prefix: &str, store: &dyn Store, share: usize) -> Result<(), Box<dyn Error>> {
    let report = |metric: &str, n: usize, value: f64, unit: &str, cpu_s: Option<f64>| {
        let cpu_s = cpu_s.map_or("null".to_owned(), |seconds| format!("{seconds:.2}"));
        writeln!(
            std::io::stdout().lock(),
            r#"{{"system":"{system}","metric":"{prefix}_{metric}","n":{n},"bytes":{ENTRY_BYTES},"value":{value:.4},"unit":"{unit}","cpu_s":{cpu_s}}}"#
        )
    };
    let mut position = 0;
    let singles = SINGLE_COMMITS / share;
    let cpu = cpu_seconds();
    let mut times = Vec::with_capacity(singles);
    for _ in 0..singles {
        let batch = entries(&mut position, 1);
        let start = Instant::now();
        store.commit(&batch)?;
        times.push(start.elapsed());
    }
    let cpu = since(cpu);
    times.sort();
    let at = |per_cent: usize| times.get(times.len() * per_cent / 100).map_or(f64::NAN, milliseconds);
    report("single_commit_median", singles, at(50), "ms", cpu)?;
    report("single_commit_p99", singles, at(99), "ms", cpu)?;

    let groups = GROUPS / share;
    let cpu = cpu_seconds();
    let start = Instant::now();
    for _ in 0..groups {
        store.commit(&entries(&mut position, GROUP))?;
    }
    let per_second = (groups * GROUP) as f64 / start.elapsed().as_secs_f64();
    report("group_commit_100", groups * GROUP, per_second, "entries/s", since(cpu))?;
    Ok(())
}

/// A batch of entries as a chain keeps them: the record by its position, and two rows that lead to it.
fn entries(position: &mut u64, count: usize) -> Batch {
    let mut batch = Batch::new();
    for _ in 0..count {
        *position += 1;
        let key = position.to_be_bytes();
        let id = *blake3::hash(&key).as_bytes();
        let record: Vec<u8> = id.iter().copied().cycle().take(RECORD_BYTES).collect();
        batch.put(RECORDS, key, record);
        batch.put(BY_ID, id, key);
        batch.put(BY_AUTHOR, [&[7; 4][..], &key].concat(), key);
    }
    batch
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn since(before: Option<f64>) -> Option<f64> {
    Some(cpu_seconds()? - before?)
}

/// The processor time of this process so far, of all its threads, user and system, to a hundredth of a second; `None`
/// where there is no `/proc`.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the program's name in parentheses and may hold spaces: count from its end. The times are the
    // fields 14 and 15 (proc_pid_stat(5)), here the 11th and 12th after it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(11).map(str::parse::<f64>);
    Some((times.next()?.ok()? + times.next()?.ok()?) / TICKS_PER_SECOND)
}
