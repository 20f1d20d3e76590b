//! followme: a typed gRPC facade for PortaFollowMe, a web service that is driven by URLs, answers
//! CSV, and manages the follow-me (call forwarding) numbers of telephone accounts. "Upstream" is
//! that service.
//!
//! `README.md` shows what followme does, `docs/architecture.md` how it is built, with pictures, and
//! `docs/decisions` why.
//!
//! # Life of a request
//!
//! An `Update` of a number:
//!
//! 1. [`grpc`] accepts the connection and opens the server span, a child of the caller's. Its
//!    middleware writes the access log, enforces the deadline, and bounds the memory of large
//!    requests; [`security`] authenticates the caller and authorizes the call.
//! 2. The service in [`grpc`] builds the [`operations::Call`] from the metadata, and parses the
//!    message into [`domain`] types. It collects every violation and reports all of them together.
//! 3. [`operations`] looks up the request id, acquires the account lock and a permit, and continues
//!    in a task of its own: a write that has begun is finished whatever its caller does.
//! 4. The operation reads the list, checks the etag, merges the fields that the mask names into the
//!    number, and calls the client in [`upstream`].
//! 5. The client builds a target in which no value can reach another field, sends the request, and
//!    classifies the response. [`format::csv`] and [`format::jsv`] decode the body.
//! 6. The operation verifies the write by reading back, compares every field, and repairs those
//!    that were not applied.
//! 7. [`grpc`] answers with a message, or with a status from its one table of errors.
//!
//! # Modules
//!
//! | module | concern |
//! |---|---|
//! | `main`, `cli`, `signals`, `demo` | the binary: the command line, signals, the demo |
//! | [`app`] | the composition root: builds the facade from its configuration |
//! | [`config`] | flags, environment and TOML file: keys, defaults, checks, reload |
//! | [`domain`] | checked types: ids, numbers, drafts, periods, etags, the plan of a ReplaceAll |
//! | [`format`](mod@format) | the upstream's two text formats: `csv`, and `jsv`, a serde data format |
//! | [`upstream`] | the typed client: routes, targets, classification, errors, retries, circuit breaker, concurrency limiter, redaction |
//! | [`operations`] | what each RPC does in terms of the client: plan, write, verify, repair; idempotency, account locks |
//! | [`journal`] | what must survive a crash: write records, in SQLite |
//! | [`grpc`] | generated code, the tonic service, conversion, statuses, middleware, the server |
//! | [`security`] | TLS, authentication, authorization, rate limits |
//! | [`health`] | what `grpc.health.v1` reports about the facade and about upstream |
//! | [`simulator`] | the upstream's double, for demos and tests: framework, service, faults |
//! | [`telemetry`] | logs, traces, metrics, calls in flight, the audit log |
//! | `admin` | the admin pages: health, metrics, configuration, log filter, calls in flight |
//! | `net` | the accept loop of every listener |
//!
//! Data flows one way: `grpc` → `operations` → `upstream` → `format`, over the types of `domain`.
//! `operations` keeps in `journal` what must survive.
//!
//! # Invariants
//!
//! - `format` and `domain` import no other module of this crate; `simulator` imports only `net`;
//!   nothing imports `app`.
//! - Generated types stop at `grpc`; wire records stop at `upstream`; `tonic::Status` is built in
//!   `grpc::status` only.
//! - No request that writes is sent twice as it was. Another format or route is tried only after an
//!   answer that proves that the first did not run (docs/upstream/wire.md 8), or for fields that
//!   reading back shows not to have been applied.
//! - Access fails closed: a credential or License that is missing or unreadable never grants
//!   anything.
//! - Only `upstream` reads the text of a License. What upstream says about a failure never reaches
//!   a caller, and reaches a log only redacted.
//! - No span, metric or log line has a URL of upstream, a redirect number or a name. The audit log
//!   has numbers and names, and never a URL.
//! - Only `config` reads the environment and files, at start and on reload. The exceptions are
//!   `/proc/self`, which `telemetry` reads, and what libraries read: the `OTEL_*` variables and the
//!   system's certificates.
//!
//! Comments cite what is known of upstream by section: "(docs/upstream/wire.md 8)" is section 8 of
//! that page, how upstream answers HTTP; `docs/upstream/domain.md` tells what its fields mean.

mod admin;
pub mod app;
pub mod config;
pub mod domain;
pub mod format;
pub mod grpc;
pub mod health;
pub mod journal;
mod net;
pub mod operations;
pub mod security;
#[cfg(feature = "simulator")]
pub mod simulator;
pub mod telemetry;
pub mod upstream;
