//! Medians, as a table and as JSON.

use std::collections::BTreeMap;
use std::fmt::{self, Write};

/// The measurements of one run of a case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figure {
    pub(crate) megabytes_per_second: Option<f64>,
    /// CPU of the server, in milliseconds per MiB.
    pub(crate) cpu_per_mib: Option<f64>,
    /// The median and the 99th percentile, or the worst, in microseconds.
    pub(crate) middle_us: Option<f64>,
    pub(crate) worst_us: Option<f64>,
    /// The duration of each of many short transfers, in microseconds, where those of all runs are
    /// counted together: the 99th percentile of a single run would be random.
    pub(crate) taken_us: Vec<f64>,
    /// The number of transfers that failed or gave wrong files, and of files that were visible
    /// before they were complete.
    pub(crate) wrong: Option<u64>,
    pub(crate) seen_partial: Option<u64>,
    /// The maximum of the server's resident memory.
    pub(crate) resident_mib: Option<f64>,
}

/// The name of a figure, and its value in a [`Figure`].
type Column = (&'static str, fn(&Figure) -> Option<f64>);

const COLUMNS: &[Column] = &[
    ("MB/s", |f| f.megabytes_per_second),
    ("CPU ms/MiB", |f| f.cpu_per_mib),
    ("p50 us", |f| f.middle_us),
    ("p99 us", |f| f.worst_us),
    ("wrong", |f| f.wrong.map(|n| n as f64)),
    ("partial", |f| f.seen_partial.map(|n| n as f64)),
    ("RSS MiB", |f| f.resident_mib),
];

impl Figure {
    /// The figure of transfers of these durations.
    pub(crate) fn of_times(mut taken_us: Vec<f64>) -> Self {
        taken_us.sort_by(f64::total_cmp);
        let (middle, worst) = (taken_us.len() / 2, taken_us.len() * 99 / 100);
        let (middle_us, worst_us) = (Some(taken_us[middle]), Some(taken_us[worst]));
        Self { middle_us, worst_us, taken_us, ..Self::default() }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, get) in COLUMNS {
            if let Some(value) = get(self) {
                write!(f, "{name} {value:.1}  ")?;
            }
        }
        Ok(())
    }
}

/// All figures of a run.
pub(crate) struct Report {
    rounds: u32,
    /// Case and server, in the order of the measurements.
    rows: Vec<(String, String)>,
    figures: BTreeMap<(String, String), Vec<Result<Figure, String>>>,
}

impl Report {
    pub(crate) fn new(rounds: u32) -> Self {
        Self { rounds, rows: Vec::new(), figures: BTreeMap::new() }
    }

    pub(crate) fn add(&mut self, case: &str, server: &str, figure: &Result<Figure, String>) {
        let key = (case.to_owned(), server.to_owned());
        if !self.figures.contains_key(&key) {
            self.rows.push(key.clone());
        }
        let figures = self.figures.entry(key).or_default();
        match (figures.last_mut(), figure) {
            (Some(Ok(sum)), Ok(more)) if !more.taken_us.is_empty() => {
                *sum = Figure::of_times([sum.taken_us.as_slice(), &more.taken_us].concat());
            }
            _ => figures.push(figure.clone()),
        }
    }

    fn medians(&self, key: &(String, String)) -> Vec<Option<f64>> {
        let figures: Vec<_> = self.figures[key].iter().flatten().collect();
        let median = |get: fn(&Figure) -> Option<f64>| {
            let mut values: Vec<f64> = figures.iter().filter_map(|f| get(f)).collect();
            values.sort_by(f64::total_cmp);
            values.get(values.len() / 2).copied()
        };
        COLUMNS.iter().map(|(_, get)| median(*get)).collect()
    }

    fn failures(&self, key: &(String, String)) -> Vec<&String> {
        self.figures[key].iter().filter_map(|figure| figure.as_ref().err()).collect()
    }

    pub(crate) fn table(&self) -> String {
        let mut table = format!("{:36}{:12}", "case", "server");
        for (name, _) in COLUMNS {
            write!(table, "{name:>12}").unwrap();
        }
        table.push('\n');
        let mut last = "";
        for key in &self.rows {
            let shown = if key.0 == last { "" } else { &key.0 };
            last = &key.0;
            write!(table, "{shown:36}{:12}", key.1).unwrap();
            for value in self.medians(key) {
                let text = value.map_or(String::new(), |v| format!("{v:.1}"));
                write!(table, "{text:>12}").unwrap();
            }
            if let Some(failure) = self.failures(key).first() {
                write!(table, "  {} of runs failed: {failure}", self.failures(key).len()).unwrap();
            }
            table.push('\n');
        }
        table
    }

    pub(crate) fn json(&self) -> String {
        let rows: Vec<String> = self.rows.iter().map(|key| self.json_row(key)).collect();
        format!("{{\"rounds\": {}, \"rows\": [\n  {}\n]}}\n", self.rounds, rows.join(",\n  "))
    }

    fn json_row(&self, key: &(String, String)) -> String {
        let mut row = format!("{{\"case\": {:?}, \"server\": {:?}", key.0, key.1);
        for ((name, _), value) in COLUMNS.iter().zip(self.medians(key)) {
            let name = name.replace([' ', '/'], "_").to_lowercase();
            let value = value.map_or_else(|| "null".to_owned(), |v| format!("{v:.3}"));
            write!(row, ", {name:?}: {value}").unwrap();
        }
        write!(row, ", \"failed_runs\": {}}}", self.failures(key).len()).unwrap();
        row
    }
}
