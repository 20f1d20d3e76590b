//! The upstream's double. Shares only `format` with the rest.
