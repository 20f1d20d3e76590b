//! Tests of [`super`].

use super::*;

#[test]
fn every_metric_is_in_the_reference_by_its_name_in_prometheus() {
    let registry = prometheus::Registry::new();
    let reader = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .build()
        .unwrap();
    let provider = opentelemetry_sdk::metrics::SdkMeterProvider::builder()
        .with_reader(reader)
        .build();
    let meter = provider.meter(METER);
    let mut metrics = Registrar::new(&meter);
    let all = Instruments::register(&mut metrics);
    let figures = JournalFigures {
        records: [("begun", 1); 6],
        bytes: 1,
        evicted: 1,
    };
    journal::register(&mut metrics, move || Some(figures));
    let upstream = UpstreamFigures {
        breaker: "closed",
        permits: 1,
        waiting: 1,
        waiting_writes: 0,
    };
    upstream::register(&mut metrics, move || Some(upstream));
    security::register(&mut metrics, || {
        let certificate = Expiry {
            subject: security::Subject::Certificate("tls.certificate_file"),
            at: 1,
        };
        Some(vec![certificate, Expiry::token("portal", UNIX_EPOCH)])
    });
    process::register(&mut metrics);
    // A metric is exported once it has a value.
    for histogram in [&all.calls, &all.requests, &all.journal_commits] {
        histogram.record(1.0, &[]);
    }
    for counter in [
        &all.errors,
        &all.upstream_outcomes,
        &all.retries,
        &all.breaker_openings,
        &all.writes,
        &all.repaired_fields,
        &all.request_id_hits,
        &all.audit_failures,
        &all.accepted,
        &all.journal_refused,
        &all.reload_failures,
    ] {
        counter.add(1, &[]);
    }
    for level in [&all.in_flight, &all.connections] {
        level.add(1, &[]);
    }
    all.reload_time.record(1.0, &[]);
    let families = registry.gather();
    let exported = families
        .iter()
        .filter(|family| !["target_info", "otel_scope_info"].contains(&family.name()));
    let exported: Vec<String> = exported.map(|family| family.name().to_owned()).collect();
    assert_eq!(exported, Vec::from_iter(metrics.names()));
    for name in exported {
        assert!(reference().contains(&format!("| `{name}` |")), "{name}");
    }
}
