//! The table that people read: ratios first, then what they are ratios of.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::cost::{Cost, Ratio};

#[derive(Default, Serialize, Deserialize)]
pub struct Table {
    lines: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
enum Line {
    Title(String),
    Row {
        what: String,
        ratio: Option<Ratio>,
        of: String,
        cpu: Option<f64>,
        wall: Option<f64>,
    },
    Note(String),
    Verdict {
        met: bool,
        text: String,
    },
}

impl Table {
    pub fn title(&mut self, text: &str) {
        self.lines.push(Line::Title(text.to_owned()));
    }

    pub fn note(&mut self, text: impl Into<String>) {
        self.lines.push(Line::Note(text.into()));
    }

    /// What one deed costs, in itself.
    pub fn row(&mut self, what: &str, cost: Cost) {
        self.row_to(what, cost, None, "");
    }

    /// The same with its ratio to another.
    pub fn row_to(&mut self, what: &str, cost: Cost, ratio: Option<Ratio>, of: &str) {
        let shown = |value: f64| (value.is_finite() && value > 0.0).then_some(value);
        let (cpu, wall) = (shown(cost.cpu), shown(cost.wall));
        self.lines.push(Line::Row {
            what: what.into(),
            ratio,
            of: of.into(),
            cpu,
            wall,
        });
    }

    /// All as text, for another process.
    pub fn packed(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
    }

    /// Another process's table, behind this one's. Times of another kernel say nothing here: only the
    /// ratios are kept.
    pub fn append(&mut self, packed: &str) -> Result<()> {
        let other: Self = serde_json::from_str(packed)?;
        self.lines
            .extend(other.lines.into_iter().map(Line::without_times));
        Ok(())
    }

    /// A limit from below.
    pub fn at_least(&mut self, what: &str, bar: f64, got: Ratio) {
        let text = format!(
            "bar at least {bar:.3}, got {:.3} ({:.3} to {:.3})",
            got.value, got.least, got.most
        );
        self.judge(what, &text, got.value >= bar);
    }

    /// A limit from above.
    pub fn bar(&mut self, what: &str, bar: f64, got: Ratio) {
        let text = format!(
            "bar {bar:.3}, got {:.3} ({:.3} to {:.3})",
            got.value, got.least, got.most
        );
        self.judge(what, &text, got.value <= bar);
    }

    /// The same for a single figure, with its unit.
    pub fn bar_on(&mut self, what: &str, bar: f64, got: f64, unit: &str) {
        self.judge(
            what,
            &format!("bar {bar}{unit}, got {got:.3}{unit}"),
            got <= bar,
        );
    }

    pub fn judge(&mut self, what: &str, figures: &str, met: bool) {
        let text = format!("{what}: {figures}");
        self.lines.push(Line::Verdict { met, text });
    }

    pub fn print(&self) {
        let width = self.lines.iter().map(Line::width).max().unwrap_or_default();
        println!(
            "{:<width$}  {:>8}  {:<17}  {:>12}  {:>12}",
            "", "ratio", "(span) to", "CPU us", "wall us"
        );
        self.lines.iter().for_each(|line| line.print(width));
        let verdicts = self.lines.iter().filter_map(Line::verdict);
        let (met, missed): (Vec<_>, Vec<_>) = verdicts.partition(|(met, _)| *met);
        println!("\n{} bars met, {} missed", met.len(), missed.len());
        missed
            .iter()
            .for_each(|(_, missed)| println!("  MISSED  {missed}"));
    }
}

impl Line {
    fn width(&self) -> usize {
        match self {
            Self::Row { what, .. } => what.chars().count() + 2,
            _ => 0,
        }
    }

    fn verdict(&self) -> Option<(bool, &str)> {
        match self {
            Self::Verdict { met, text } => Some((*met, text)),
            _ => None,
        }
    }

    fn without_times(self) -> Self {
        match self {
            Self::Row {
                what, ratio, of, ..
            } => Self::Row {
                what,
                ratio,
                of,
                cpu: None,
                wall: None,
            },
            line => line,
        }
    }

    fn print(&self, width: usize) {
        match self {
            Self::Title(text) => println!("\n{text}"),
            Self::Note(text) => println!("    {text}"),
            Self::Verdict { met, text } => {
                let verdict = if *met { "met" } else { "MISSED" };
                println!("    {verdict:<6}  {text}");
            }
            Self::Row {
                what,
                ratio,
                of,
                cpu,
                wall,
            } => {
                let figure = |value: &Option<f64>| {
                    value.map_or_else(String::new, |value| format!("{value:.0}"))
                };
                let value = ratio.map_or_else(String::new, |r| format!("x{:.2}", r.value));
                let span = ratio.map_or_else(String::new, |r| {
                    format!("({:.2}-{:.2}) {of}", r.least, r.most)
                });
                println!(
                    "  {what:<0$}  {value:>8}  {span:<17}  {1:>12}  {2:>12}",
                    width - 2,
                    figure(cpu),
                    figure(wall)
                );
            }
        }
    }
}
