//! The knobs, faults and control pages of the simulator.
