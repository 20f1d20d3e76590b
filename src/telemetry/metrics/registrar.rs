//! Registration of metrics, and the table of them that it leaves behind.

use opentelemetry::{
    KeyValue,
    metrics::{
        AsyncInstrumentBuilder, Counter, Gauge, Histogram, Meter, ObservableCounter,
        ObservableGauge, UpDownCounter,
    },
};

/// The bounds of histograms of durations, in seconds, as the semantic conventions advise.
const SECONDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];

/// The bounds of histograms of commits to a local disk, in seconds.
const COMMIT_SECONDS: [f64; 13] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 3.0,
];

/// A label: its key, and its values where they are few.
pub(super) type Label = (&'static str, &'static [&'static str]);

/// Registers metrics with a meter, and keeps a row of each for the docs.
pub(super) struct Registrar<'a> {
    meter: &'a Meter,
    rows: Vec<Row>,
}

/// A row of the table in the docs.
struct Row {
    /// The name in Prometheus.
    name: String,
    kind: &'static str,
    labels: &'static [Label],
    description: &'static str,
}

impl<'a> Registrar<'a> {
    pub(super) fn new(meter: &'a Meter) -> Self {
        Self {
            meter,
            rows: Vec::new(),
        }
    }

    fn row(
        &mut self,
        kind: &'static str,
        (name, unit): (&'static str, &'static str),
        labels: &'static [Label],
        description: &'static str,
    ) {
        let unit = match unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let suffix = if kind == "counter" { "_total" } else { "" };
        self.rows.push(Row {
            name: underscores(name) + unit + suffix,
            kind,
            labels,
            description,
        });
    }

    /// Registers a histogram of durations in seconds.
    pub(super) fn seconds(
        &mut self,
        name: &'static str,
        labels: &'static [Label],
        description: &'static str,
    ) -> Histogram<f64> {
        self.histogram(name, labels, description, &SECONDS)
    }

    /// Registers a histogram of the durations of commits, in seconds.
    pub(super) fn commit_seconds(
        &mut self,
        name: &'static str,
        description: &'static str,
    ) -> Histogram<f64> {
        self.histogram(name, &[], description, &COMMIT_SECONDS)
    }

    fn histogram(
        &mut self,
        name: &'static str,
        labels: &'static [Label],
        description: &'static str,
        bounds: &[f64],
    ) -> Histogram<f64> {
        self.row("histogram", (name, "s"), labels, description);
        self.meter
            .f64_histogram(name)
            .with_unit("s")
            .with_description(description)
            .with_boundaries(bounds.to_vec())
            .build()
    }

    /// Registers a counter. Its series exist from the start if the values of all labels are known:
    /// an alert on the increase of a series does not see the event that creates it.
    pub(super) fn counter(
        &mut self,
        (name, unit): (&'static str, &'static str),
        labels: &'static [Label],
        description: &'static str,
    ) -> Counter<u64> {
        self.row("counter", (name, unit), labels, description);
        let counter = self
            .meter
            .u64_counter(name)
            .with_unit(unit)
            .with_description(description)
            .build();
        for series in series(labels) {
            counter.add(0, &series);
        }
        counter
    }

    /// Registers a gauge that is moved up and down.
    pub(super) fn level(
        &mut self,
        name: &'static str,
        labels: &'static [Label],
        description: &'static str,
    ) -> UpDownCounter<i64> {
        self.row("gauge", (name, ""), labels, description);
        self.meter
            .i64_up_down_counter(name)
            .with_description(description)
            .build()
    }

    /// Registers a gauge of seconds that is set.
    pub(super) fn gauge_seconds(
        &mut self,
        name: &'static str,
        description: &'static str,
    ) -> Gauge<f64> {
        self.row("gauge", (name, "s"), &[], description);
        self.meter
            .f64_gauge(name)
            .with_unit("s")
            .with_description(description)
            .build()
    }

    /// Registers a gauge whose value is observed when metrics are collected.
    pub(super) fn observed_gauge(
        &mut self,
        (name, unit): (&'static str, &'static str),
        labels: &'static [Label],
        description: &'static str,
    ) -> AsyncInstrumentBuilder<'a, ObservableGauge<u64>, u64> {
        self.row("gauge", (name, unit), labels, description);
        self.meter
            .u64_observable_gauge(name)
            .with_unit(unit)
            .with_description(description)
    }

    /// Registers a gauge of seconds that is observed when metrics are collected.
    pub(super) fn observed_seconds(
        &mut self,
        name: &'static str,
        labels: &'static [Label],
        description: &'static str,
    ) -> AsyncInstrumentBuilder<'a, ObservableGauge<f64>, f64> {
        self.row("gauge", (name, "s"), labels, description);
        self.meter
            .f64_observable_gauge(name)
            .with_unit("s")
            .with_description(description)
    }

    /// Registers a counter whose value is observed when metrics are collected.
    pub(super) fn observed_counter(
        &mut self,
        (name, unit): (&'static str, &'static str),
        labels: &'static [Label],
        description: &'static str,
    ) -> AsyncInstrumentBuilder<'a, ObservableCounter<f64>, f64> {
        self.row("counter", (name, unit), labels, description);
        self.meter
            .f64_observable_counter(name)
            .with_unit(unit)
            .with_description(description)
    }

    /// Returns the names in Prometheus.
    #[cfg(test)]
    pub(super) fn names(&self) -> std::collections::BTreeSet<String> {
        self.rows.iter().map(|row| row.name.clone()).collect()
    }

    /// Writes the registered metrics as a table in Markdown.
    pub(super) fn table(&self) -> String {
        let mut table =
            "| metric (Prometheus) | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
        for row in &self.rows {
            let labels: Vec<String> = row.labels.iter().map(label).collect();
            table.push_str(&format!(
                "| `{}` | {} | {} | {} |\n",
                row.name,
                row.kind,
                labels.join("; "),
                row.description
            ));
        }
        table
    }
}

/// Returns every combination of the values of the labels; none if the values of one are not known.
fn series(labels: &[Label]) -> Vec<Vec<KeyValue>> {
    labels.iter().fold(vec![Vec::new()], |all, (key, values)| {
        let with = |series: &Vec<KeyValue>, value: &&'static str| {
            let mut series = series.clone();
            series.push(KeyValue::new(*key, *value));
            series
        };
        all.iter()
            .flat_map(|series| values.iter().map(move |value| with(series, value)))
            .collect()
    })
}

fn label((key, values): &Label) -> String {
    let key = format!("`{}`", underscores(key));
    if values.is_empty() {
        key
    } else {
        format!("{key}: {}", values.join(", "))
    }
}

/// Returns a name as Prometheus writes it.
fn underscores(name: &str) -> String {
    name.replace('.', "_")
}
