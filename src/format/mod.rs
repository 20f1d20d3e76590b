//! The two text formats of the upstream: its CSV dialect and JSV. Imports nothing of ours.
