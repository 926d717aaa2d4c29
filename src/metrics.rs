//! Every metric's name, labels and meaning in one table, and the recorder that `/metrics` reads.
//!
//! Labels have few values by construction: never a repository, a run, a delivery or a path.

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

/// Counter of webhook calls; `outcome`: `accepted`, `duplicate`, `ping`, `unauthorized`, `too_large`, `invalid`, `unavailable`.
pub const DELIVERIES: &str = "cloud_code_deliveries_total";
/// Counter of decided deliveries; `outcome`: `started`, `refused`, `ignored`, `cancelled`.
pub const DECISIONS: &str = "cloud_code_decisions_total";
/// Histogram of the time from a webhook's head to its answer.
pub const WEBHOOK_DURATION: &str = "cloud_code_webhook_duration_seconds";
/// Gauge of the messages in the queue; `lane` as in [`crate::ports::Lane`], `state`: `waiting`, `leased`, `dead`.
pub const QUEUE_DEPTH: &str = "cloud_code_queue_depth";
/// Counter of ended runs; `conclusion` as in the API.
pub const RUNS: &str = "cloud_code_runs_total";
/// Gauge of the attempts that a runner has now.
pub const ATTEMPTS_ACTIVE: &str = "cloud_code_attempts_active";
/// Counter of requests to the forge; `method`, `status` (`error` where no answer came).
pub const FORGE_REQUESTS: &str = "cloud_code_forge_requests_total";
/// Histogram of the time from a run's creation to its end.
pub const RUN_DURATION: &str = "cloud_code_run_duration_seconds";
/// Histogram of the time an attempt waits from its creation until the runner has it.
pub const LAUNCH_WAIT: &str = "cloud_code_launch_wait_seconds";

#[derive(Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    /// With the upper bounds of its buckets, in seconds.
    Histogram(&'static [f64]),
}

const QUICK: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
const LONG: &[f64] = &[1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0, 21600.0];
const WAIT: &[f64] = &[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0];

const TABLE: &[(&str, Kind, &str)] = &[
    (DELIVERIES, Kind::Counter, "Webhook calls by outcome"),
    (DECISIONS, Kind::Counter, "Decided deliveries by outcome"),
    (WEBHOOK_DURATION, Kind::Histogram(QUICK), "Time to answer a webhook call, in seconds"),
    (QUEUE_DEPTH, Kind::Gauge, "Messages in the queue by lane and state"),
    (RUNS, Kind::Counter, "Ended runs by conclusion"),
    (ATTEMPTS_ACTIVE, Kind::Gauge, "Attempts that this worker launches or watches now"),
    (FORGE_REQUESTS, Kind::Counter, "Requests to the forge by method and status"),
    (RUN_DURATION, Kind::Histogram(LONG), "Time from a run's creation to its end, in seconds"),
    (LAUNCH_WAIT, Kind::Histogram(WAIT), "Time an attempt waits until the runner has it, in seconds"),
];

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for (name, kind, _) in TABLE {
        if let Kind::Histogram(buckets) = kind {
            builder = builder.set_buckets_for_metric(Matcher::Full((*name).to_owned()), buckets)?;
        }
    }
    Ok(builder.build_recorder())
}

fn describe() {
    for (name, kind, help) in TABLE {
        match kind {
            Kind::Counter => ::metrics::describe_counter!(*name, *help),
            Kind::Gauge => ::metrics::describe_gauge!(*name, *help),
            Kind::Histogram(_) => ::metrics::describe_histogram!(*name, ::metrics::Unit::Seconds, *help),
        }
    }
}

/// Why metrics can't be recorded.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// Our bug: a histogram without buckets.
    #[error("the metrics recorder can't be made: {0}")]
    Build(#[from] BuildError),
    /// Another recorder was installed first.
    #[error("a metrics recorder is installed already")]
    Installed,
}

/// Makes all of the process's metrics go to the returned handle. Once a process.
///
/// # Errors
/// When a recorder is installed already.
pub fn install() -> Result<PrometheusHandle, MetricsError> {
    let recorder = recorder()?;
    let handle = recorder.handle();
    ::metrics::set_global_recorder(recorder).map_err(|_| MetricsError::Installed)?;
    describe();
    Ok(handle)
}

/// A handle of its own that nothing is recorded to, for tests that don't look at metrics.
///
/// # Errors
/// When a histogram's buckets are wrong, which would be our bug.
pub fn detached() -> Result<PrometheusHandle, MetricsError> {
    Ok(recorder()?.handle())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_metric_is_described_and_histograms_have_buckets() {
        let recorder = recorder().unwrap();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            describe();
            for (name, kind, _) in TABLE {
                match kind {
                    Kind::Counter => ::metrics::counter!(*name).increment(1),
                    Kind::Gauge => ::metrics::gauge!(*name).set(1.0),
                    Kind::Histogram(_) => ::metrics::histogram!(*name).record(0.3),
                }
            }
        });
        let text = handle.render();
        for (name, kind, help) in TABLE {
            assert!(text.contains(&format!("# HELP {name} {help}")), "{name} in {text}");
            assert!(name.ends_with("_total") == matches!(kind, Kind::Counter), "{name}");
            if matches!(kind, Kind::Histogram(_)) {
                assert!(text.contains(&format!("{name}_bucket{{le=\"+Inf\"}} 1")), "{name} in {text}");
            }
        }
    }
}
