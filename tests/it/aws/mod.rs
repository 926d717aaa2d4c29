//! AWS, as moto stands in for it: one process for all tests of this binary, started by the first that needs it.

mod also;
mod cases;
mod flow;
mod gateway;
mod iam;
mod kills;
mod server;
mod stack;
mod starts;
mod world;

pub(crate) use world::{Aws, REGION};
