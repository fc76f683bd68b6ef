//! `walytis demo`

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::arguments::Demo;
use crate::context::Context;
use crate::demo::{self, Check, News, Plan, Report, Row, lines_of};

/// What is posted if nothing else is given.
const README: &str = include_str!("../../README.md");

#[derive(Serialize)]
struct Took {
    passed: bool,
    took_ms: u64,
}

/// Runs real nodes and checks what they did.
pub(crate) async fn run(context: &mut Context, arguments: Demo) -> anyhow::Result<()> {
    let text = match &arguments.input {
        Some(file) => std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?,
        None => README.as_bytes().to_vec(),
    };
    let folder =
        tempfile::Builder::new().prefix("walytis-demo-").tempdir().context("cannot make a temporary folder")?;
    let peers = usize::from(arguments.peers);
    let plan = Plan::new(peers, lines_of(&text), folder.path().to_path_buf());
    context.output.remark(format_args!("{peers} nodes in {}", folder.path().display()));
    let display = Display::new(context, peers);
    let shown = display.clone();
    let report = context.stop.or(demo::run(plan, Arc::new(move |news| shown.tell(news)))).await;
    display.clear();
    let report = report?;
    print(context, &report)?;
    if report.passed() {
        return Ok(());
    }
    let failed = report.checks.iter().find(|check| !check.passed);
    bail!("a check failed: {}", failed.map_or("", |check| check.detail.as_str()))
}

fn print(context: &mut Context, report: &Report) -> anyhow::Result<()> {
    let head = format!(
        "{:<5} {:<25} {:>7} {:>7} {:>10} {:>11} {:>11} {:>11}",
        "node", "", "posted", "blocks", "converged", "sent", "received", "stored"
    );
    for (number, row) in report.rows.iter().enumerate() {
        let text = if number == 0 { format!("{head}\n{}", line(row)) } else { line(row) };
        context.output.result(text, row)?;
    }
    for (number, check) in report.checks.iter().enumerate() {
        let Check { check: what, passed, detail } = check;
        let mark = if *passed { "ok    " } else { "FAILED" };
        let gap = if number == 0 { "\n" } else { "" };
        context.output.result(format_args!("{gap}{mark} {what}: {}", crate::escape::printable_line(detail)), check)?;
    }
    let took = Took { passed: report.passed(), took_ms: u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX) };
    context.output.result(format_args!("\nIt took {:.1} s.", report.took.as_secs_f64()), &took)
}

fn line(row: &Row) -> String {
    let converged = row.converged_ms.map_or_else(|| "never".to_owned(), |ms| format!("{ms} ms"));
    let [sent, received, stored] =
        [row.sent_bytes, row.received_bytes, row.stored_bytes].map(|bytes| HumanBytes(bytes).to_string());
    format!(
        "{:<5} {:<25} {:>7} {:>7} {converged:>10} {sent:>11} {received:>11} {stored:>11}",
        row.node, row.story, row.posted, row.blocks
    )
}

/// What goes on, on standard error: a line for each node on a terminal, otherwise a line for each step.
#[derive(Clone)]
struct Display(Option<Arc<Lines>>);

enum Lines {
    Terminal { step: ProgressBar, nodes: Vec<ProgressBar> },
    Plain(Mutex<()>),
}

impl Display {
    fn new(context: &Context, peers: usize) -> Self {
        if !context.output.talks() {
            return Self(None);
        }
        if !std::io::stderr().is_terminal() {
            return Self(Some(Arc::new(Lines::Plain(Mutex::default()))));
        }
        let all = MultiProgress::new();
        let nodes = (1..=peers).map(|node| {
            let bar = all.add(ProgressBar::new(0).with_prefix(format!("node {node}")));
            if let Ok(style) = ProgressStyle::with_template("{prefix:8} {bar:40} {pos:>6} of {len} blocks") {
                bar.set_style(style);
            }
            bar
        });
        let nodes = nodes.collect();
        let step = all.add(ProgressBar::new_spinner());
        step.enable_steady_tick(std::time::Duration::from_millis(120));
        Self(Some(Arc::new(Lines::Terminal { step, nodes })))
    }

    fn tell(&self, news: News) {
        let Some(lines) = &self.0 else { return };
        match (&**lines, news) {
            (Lines::Terminal { step, .. }, News::Step(text)) => step.set_message(text),
            (Lines::Terminal { nodes, .. }, News::Held { node, held, of }) => {
                if let Some(bar) = nodes.get(node) {
                    bar.set_length(of as u64);
                    bar.set_position(held as u64);
                }
            }
            (Lines::Plain(one), News::Step(text)) => {
                let _one = one.lock().unwrap_or_else(PoisonError::into_inner);
                crate::output::complain(text);
            }
            (Lines::Plain(_), _) => {}
        }
    }

    fn clear(&self) {
        if let Some(Lines::Terminal { step, nodes, .. }) = self.0.as_deref() {
            nodes.iter().chain([step]).for_each(ProgressBar::finish_and_clear);
        }
    }
}
