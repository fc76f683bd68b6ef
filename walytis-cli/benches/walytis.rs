//! What the system itself takes: JSON lines, one a metric.
//!
//! `p1_private_append` is how many private blocks a second are acknowledged as durable, 64 under way, in a sealed store.
//! `p4_private_latency` is the time from the call that adds a block at one process to the application's event at
//! another, over TCP on the loopback interface, one block at a time; both read the same monotonic clock. `p7_idle_cpu` is
//! what a serving process with a group and a connected peer takes of a core while nothing happens.
//!
//! For the second process the program starts itself again.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should stop")]

#[cfg(unix)]
fn main() {
    measure::main();
}

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod measure {
    use std::io::{BufRead, BufReader, Write};
    use std::path::Path;
    use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use rustix::time::{ClockId, clock_gettime};
    use walytis_node::{Address, Delivery, History, Home, KdfCost, Node, Post, ServeOptions, Unlock};

    const MEDIAN: &str = "p4_private_latency_median";
    const P99: &str = "p4_private_latency_p99";
    const BYTES: usize = 100;
    const IN_FLIGHT: u64 = 64;
    const GROUP: &str = "group";
    const LISTEN: &str = "/ip4/127.0.0.1/tcp/0";
    /// Says to the program that it is the second process.
    const SECOND: &str = "--second-process";

    /// The beginnings of the metrics that are asked for; none stands for all.
    struct Picks(Vec<String>);

    impl Picks {
        fn want(&self, metric: &str) -> bool {
            self.0.is_empty() || self.0.iter().any(|pick| metric.starts_with(pick.as_str()))
        }
    }

    pub(super) fn main() {
        let mut arguments = std::env::args().skip(1).peekable();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        if arguments.next_if(|argument| argument == SECOND).is_some() {
            let folder = arguments.next().unwrap();
            let code = arguments.next().unwrap();
            return runtime.block_on(second_process(Path::new(&folder), &code));
        }
        let rest: Vec<String> = arguments.filter(|argument| argument != "--bench").collect();
        let quick = rest.iter().any(|argument| argument == "--quick");
        let picks = Picks(rest.into_iter().filter(|argument| !argument.starts_with("--")).collect());
        runtime.block_on(async {
            if picks.want("p1_private_append") {
                private_append(if quick { 2_000 } else { 20_000 }).await;
            }
            if picks.want(MEDIAN) || picks.want(P99) {
                private_latency(&picks, if quick { 200 } else { 2_000 }).await;
            }
            if picks.want("p7_idle_cpu") {
                idle_cpu(Duration::from_secs(if quick { 10 } else { 60 })).await;
            }
        });
    }

    /// A new home, opened.
    fn home(folder: &Path) -> Home {
        // Stretching a passphrase is not what is measured.
        let unlock = Unlock::key(rand::random());
        Home::create(folder, &unlock, KdfCost::DEFAULT).unwrap();
        Home::open(folder, &unlock).unwrap()
    }

    async fn private_append(n: u64) {
        let folder = tempfile::tempdir().unwrap();
        let node = home(&folder.path().join("home")).offline().unwrap();
        node.new_group(GROUP, History::All).await.unwrap();
        append(&node, n / 10).await;
        let (cpu, start) = (cpu_seconds(), Instant::now());
        append(&node, n).await;
        let value = n as f64 / start.elapsed().as_secs_f64();
        report("p1_private_append", n, BYTES, value, "entries/s", cpu_seconds() - cpu);
        node.shutdown().await;
    }

    async fn append(node: &Node, n: u64) {
        let next = Arc::new(AtomicU64::new(0));
        let writers: Vec<_> = (0..IN_FLIGHT)
            .map(|_| {
                let (node, next) = (node.clone(), Arc::clone(&next));
                tokio::spawn(async move {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= n {
                            return;
                        }
                        node.post(GROUP, content(number)).await.unwrap();
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
    }

    async fn private_latency(picks: &Picks, n: u64) {
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Pair::new(folder.path()).await;
        let mut samples = Vec::new();
        let warm_up = n / 10;
        let mut cpu = 0.0;
        for number in 0..warm_up + n {
            if number == warm_up {
                cpu = cpu_seconds() + pair.ask_cpu();
            }
            let called = clock_ns(ClockId::Monotonic);
            pair.node.post(GROUP, content(number)).await.unwrap();
            let (arrived, at) = pair.arrival();
            assert_eq!(arrived, number);
            if number >= warm_up {
                samples.push(at.checked_sub(called).unwrap());
            }
        }
        let cpu = cpu_seconds() + pair.ask_cpu() - cpu;
        samples.sort_unstable();
        for (metric, per_mille) in [(MEDIAN, 500), (P99, 990)] {
            if picks.want(metric) {
                let value = samples[(samples.len() - 1) * per_mille / 1000] as f64 / 1e6;
                report(metric, n, BYTES, value, "ms", cpu);
            }
        }
        pair.end().await;
    }

    async fn idle_cpu(span: Duration) {
        let folder = tempfile::tempdir().unwrap();
        let mut pair = Pair::new(folder.path()).await;
        pair.node.post(GROUP, content(0)).await.unwrap();
        pair.arrival();
        let (cpu, start) = (pair.ask_cpu(), Instant::now());
        tokio::time::sleep(span).await;
        let cpu = pair.ask_cpu() - cpu;
        let value = cpu / start.elapsed().as_secs_f64() * 100.0;
        report("p7_idle_cpu", span.as_secs(), 0, value, "%", cpu);
        assert_eq!(pair.node.status().await.unwrap().peers.len(), 1, "they were to stay connected");
        pair.end().await;
    }

    /// This process with a node that founded a group, and a second that joined it.
    struct Pair {
        node: Node,
        child: Child,
        ask: ChildStdin,
        told: BufReader<ChildStdout>,
    }

    impl Pair {
        async fn new(folder: &Path) -> Self {
            let listen = vec![Address::new(LISTEN).unwrap()];
            let node =
                home(&folder.join("first")).serve(ServeOptions { listen, ..ServeOptions::default() }).await.unwrap();
            node.new_group(GROUP, History::All).await.unwrap();
            let code = node.invite(GROUP, 1).await.unwrap();
            let mut child = Command::new(std::env::current_exe().unwrap())
                .arg(SECOND)
                .arg(folder.join("second"))
                .arg(code)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let ask = child.stdin.take().unwrap();
            let mut told = BufReader::new(child.stdout.take().unwrap());
            // The runtime's other threads go on meanwhile.
            tokio::task::block_in_place(|| assert_eq!(line(&mut told), "ready"));
            Self { node, child, ask, told }
        }

        /// Which block arrived at the second, and when.
        fn arrival(&mut self) -> (u64, u64) {
            let line = tokio::task::block_in_place(|| line(&mut self.told));
            let (number, at) = line.split_once(' ').unwrap();
            (number.parse().unwrap(), at.parse().unwrap())
        }

        /// Processor time of the second so far, in seconds.
        fn ask_cpu(&mut self) -> f64 {
            self.ask.write_all(b"cpu\n").unwrap();
            tokio::task::block_in_place(|| line(&mut self.told)).parse().unwrap()
        }

        async fn end(mut self) {
            drop(self.ask);
            self.child.wait().unwrap();
            self.node.shutdown().await;
        }
    }

    fn line(from: &mut BufReader<ChildStdout>) -> String {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Joins, tells when each block arrives, and answers how much processor time it took, until its input ends.
    async fn second_process(folder: &Path, code: &str) {
        let listen = vec![Address::new(LISTEN).unwrap()];
        let node = home(folder).serve(ServeOptions { listen, ..ServeOptions::default() }).await.unwrap();
        node.join(code, Some(GROUP)).await.unwrap().finish().await.unwrap();
        let mut subscription = node.subscribe(GROUP).await.unwrap();
        let say = |line: String| writeln!(std::io::stdout().lock(), "{line}").unwrap();
        let (asked, mut asks) = tokio::sync::mpsc::unbounded_channel();
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let _ = asked.send(line.unwrap());
            }
        });
        say("ready".to_owned());
        let mut newest = None;
        loop {
            tokio::select! {
                delivery = subscription.next() => {
                    let at = clock_ns(ClockId::Monotonic);
                    let (Delivery::Block(entry) | Delivery::Content(entry)) = delivery.unwrap() else { continue };
                    let Some(content) = entry.content else { continue };
                    let number = u64::from_le_bytes(content.bytes[..8].try_into().unwrap());
                    if newest.replace(number) != Some(number) {
                        say(format!("{number} {at}"));
                    }
                }
                ask = asks.recv() => match ask {
                    Some(_) => say(cpu_seconds().to_string()),
                    None => break,
                },
            }
        }
        drop(subscription);
        node.shutdown().await;
    }

    fn content(number: u64) -> Post {
        let mut bytes = vec![b'x'; BYTES];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Post::new(bytes)
    }

    fn clock_ns(clock: ClockId) -> u64 {
        let now = clock_gettime(clock);
        u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
    }

    /// Processor time of this process so far, in seconds.
    fn cpu_seconds() -> f64 {
        clock_ns(ClockId::ProcessCPUTime) as f64 / 1e9
    }

    fn report(metric: &str, n: u64, bytes: usize, value: f64, unit: &str, cpu_s: f64) {
        writeln!(
            std::io::stdout().lock(),
            r#"{{"system":"walytis","metric":"{metric}","n":{n},"bytes":{bytes},"value":{value:.4},"unit":"{unit}","cpu_s":{cpu_s:.2}}}"#
        )
        .unwrap();
    }
}
