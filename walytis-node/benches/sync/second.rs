//! The other process: a node, or what has its place in a floor.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::node::{CHAIN, Running, append, offline};
use crate::options::{clock_ns, cpu_seconds};

/// Says to the program that it is the second process, with a node.
pub(crate) const WITH_NODE: &str = "--second-process";
/// Says to the program that it is the second process, of a floor.
pub(crate) const OF_FLOOR: &str = "--second-process-of-floor";

/// The second process, as the first one sees it.
pub(crate) struct Second {
    child: Child,
    ask: ChildStdin,
    told: BufReader<ChildStdout>,
}

impl Second {
    pub(crate) fn start(kind: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(kind)
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let ask = child.stdin.take().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        Self { child, ask, told }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.ask, "{line}").unwrap();
    }

    fn numbers(&mut self) -> Vec<f64> {
        // The runtime's other threads go on meanwhile.
        tokio::task::block_in_place(|| {
            let mut line = String::new();
            self.told.read_line(&mut line).unwrap();
            line.split_whitespace().map(|number| number.parse().unwrap()).collect()
        })
    }

    pub(crate) fn one(&mut self) -> f64 {
        self.numbers()[0]
    }

    pub(crate) fn two(&mut self) -> (f64, f64) {
        let numbers = self.numbers();
        (numbers[0], numbers[1])
    }

    pub(crate) fn ask(&mut self, line: &str) -> f64 {
        self.tell(line);
        self.one()
    }

    pub(crate) fn ask_two(&mut self, line: &str) -> (f64, f64) {
        self.tell(line);
        self.two()
    }

    /// Processor time of both processes so far, in seconds.
    pub(crate) fn cpu_of_both(&mut self) -> f64 {
        self.ask("cpu") + cpu_seconds()
    }

    pub(crate) fn end(mut self) {
        drop(self.ask);
        self.child.wait().unwrap();
    }
}

/// Answers the first process.
pub(crate) fn say(numbers: &[f64]) {
    let line: Vec<String> = numbers.iter().map(f64::to_string).collect();
    writeln!(std::io::stdout().lock(), "{}", line.join(" ")).unwrap();
}

/// Does what it is asked to, a line at a time, until its input ends.
pub(crate) async fn with_node(folder: &Path) {
    let mut lines = tokio::task::block_in_place(|| std::io::stdin().lock().lines());
    let mut running: Option<Running> = None;
    while let Some(line) = tokio::task::block_in_place(|| lines.next()) {
        let line = line.unwrap();
        let words: Vec<&str> = line.split(' ').collect();
        let number = |place: usize| -> u64 { words[place].parse().unwrap() };
        match words[0] {
            "cpu" => say(&[cpu_seconds()]),
            "wire" => say(&[running.as_ref().map_or(0, Running::frame_bytes) as f64]),
            "join" => {
                let now_running = Running::start(folder, false).await;
                let called = clock_ns();
                now_running.node.join_chain(words[1], Some(CHAIN)).await.unwrap().finish().await.unwrap();
                let took = clock_ns() - called;
                say(&[took as f64, now_running.frame_bytes() as f64]);
                running = Some(now_running);
            }
            // Writes while nobody hears it.
            "write" => {
                if let Some(running) = running.take() {
                    running.stop().await;
                }
                let node = offline(folder);
                append(&node, number(1), usize::try_from(number(2)).unwrap()).await;
                let blocks = node.chain(CHAIN).await.unwrap().summary.blocks;
                node.shutdown().await;
                say(&[blocks as f64]);
            }
            // Starts, and waits until so many blocks are here.
            "start" => {
                let called = clock_ns();
                let now_running = Running::start(folder, false).await;
                let mut arriving = now_running.node.follow_chain(CHAIN).await.unwrap();
                // What was here before it followed need not arrive.
                for _ in arriving.from()..number(1) {
                    arriving.next().await.unwrap();
                }
                say(&[called as f64, clock_ns() as f64]);
                running = Some(now_running);
            }
            // Says when so many more have arrived.
            what @ ("next" | "count") => {
                let node = &running.as_ref().unwrap().node;
                let mut arriving = node.follow_chain(CHAIN).await.unwrap();
                say(&[0.0]);
                for _ in 0..if what == "next" { 1 } else { number(1) } {
                    arriving.next().await.unwrap();
                }
                say(&[clock_ns() as f64]);
            }
            other => eprintln!("{other}: not understood"),
        }
    }
    if let Some(running) = running {
        running.stop().await;
    }
}
