//! A typed gRPC facade for the PortaFollowMe (call forwarding) web service.
//!
//! # One call's way through the house
//!
//! `Update` of a number, as an example:
//!
//! 1. [`grpc::server`] accepts the connection and opens the server span, a child of the caller's.
//!    [`security::Authorizer`] says who calls and whether they may.
//! 2. [`grpc::Service`] builds the [`operations::Call`] from metadata and message, and a
//!    [`domain::Draft`] from the number; it collects all violations.
//! 3. [`operations::Operations::update`] looks the request id up, waits for the account's turn and for
//!    a place upstream, and goes on in a task of its own, since a write that has begun is finished
//!    whatever becomes of its caller.
//! 4. The operation reads the list, checks the etag, merges the draft into the number, and asks
//!    [`upstream::Client`] to send it.
//! 5. The client builds a target in which no value can reach another field, sends it, and
//!    classifies the reply; [`format::csv`] and [`format::jsv`] take the body apart.
//! 6. The operation settles what became of the write by reading back, compares every field, and
//!    tries what did not take a second way.
//! 7. The answer goes back as a message, or as a status made in the one table of errors, `grpc/status.rs`.
//!
//! # The map
//!
//! | room | what it is |
//! |---|---|
//! | `main.rs` | the command line: `serve`, `demo`, `simulate`, `config` |
//! | [`app`] | the composition root: builds the facade from its configuration |
//! | [`config`] | TOML file, environment and flags, parsed and checked |
//! | [`domain`] | checked types: ids, numbers, drafts, periods, etags, the plan of a replace-all |
//! | [`format`](mod@format) | the upstream's two text formats: `csv`, and `jsv`, a serde data format |
//! | [`upstream`] | the typed client: routes, targets, answers, errors, what is remembered of the host |
//! | [`operations`] | what each RPC does in terms of the client; request ids, turns, settling |
//! | [`grpc`] | generated code, the tonic service, conversion, statuses, deadlines, health, the server |
//! | [`security`] | who may call, over what, and what they may: TLS, callers, tokens, rates |
//! | [`health`] | what `grpc.health.v1` says of the facade and of upstream |
//! | [`simulator`] | the upstream's double: framework, service, faults |
//! | [`telemetry`] | logs, traces, metrics, the calls in flight, the audit log |
//! | `admin` | the admin pages: health, metrics, configuration, log filter, calls in flight |
//!
//! A call flows one way: `grpc` → `operations` → `upstream` → `format`, over the words of `domain`.
//!
//! # Invariants
//!
//! - `format` and `domain` import none of our other rooms.
//! - `simulator` shares with the rest only `format`.
//! - Generated types stop at `grpc`; wire records stop at `upstream`.
//! - `tonic::Status` is built in `grpc/status` only.
//! - The environment and files are read by `config` only, at start and while the facade runs; but
//!   for `/proc/self`, which `telemetry` reads, and what libraries read themselves: the `OTEL_*`
//!   variables and the certificates of the system.
//! - Nobody is admitted, and no License taken, because something is missing or cannot be read.
//! - The text of a License is asked for by `upstream` only; nothing that upstream says of a failure
//!   reaches a caller, and it reaches a log only scrubbed.
//! - No span, metric or log line is given a URL of upstream, a redirect number or a name; the audit
//!   log is given numbers and names, and never a URL.
//! - Nothing imports `app`.
//! - No request that writes is sent a second time by itself; another way is taken only after the
//!   proof that nothing ran (docs/upstream/wire.md 8), or for what reading back shows not to have
//!   taken.
//!
//! `docs/upstream/wire.md` and `docs/upstream/domain.md` hold what is known of the upstream: how its
//! framework behaves on the wire, and what its fields mean. Citations such as
//! "(docs/upstream/wire.md 8)" name a section there.

mod admin;
pub mod app;
pub mod config;
pub mod domain;
pub mod format;
pub mod grpc;
pub mod health;
pub mod journal;
pub mod operations;
pub mod security;
pub mod simulator;
pub mod telemetry;
pub mod upstream;
