//! What needs no chance: kept inputs, former findings, a BEAM's verdicts, and frames as large as may be.

mod beam;
mod corpus;
mod large;
