# Everyday commands. `just` without arguments lists them; CONTRIBUTING.md explains them.

_default:
    @just --list

# Formats, and checks with clippy
check:
    cargo fmt
    cargo clippy --all-targets -- -D warnings

# Runs the tests, or those whose name holds FILTER
test *FILTER:
    cargo test {{ FILTER }}

# Starts the simulated upstream and followme in front of it
demo *OPTIONS:
    cargo run -- demo {{ OPTIONS }}

# Rewrites the generated tables of the docs and the example configuration
tables:
    UPDATE_DOCS=1 cargo test --test it reference

# Checks the docs, and runs the commands of all pages or of PAGES
docs *PAGES:
    python3 .ci/docs.py check
    python3 .ci/docs.py run {{ PAGES }}

# Runs COUNT seeded histories, from SEED on
histories COUNT='10000' SEED='1':
    FOLLOWME_HISTORIES={{ COUNT }} FOLLOWME_SEED={{ SEED }} cargo test --profile quick --test it linearizability -- --nocapture

# Measures what a call costs: BENCH is codec, rpc or update
bench BENCH='rpc':
    cargo bench --bench {{ BENCH }}

# Runs everything that a change must pass
ci:
    .ci/run
