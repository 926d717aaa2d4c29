//! The server as an operator runs it, a process of its own, and what becomes of runs when it is killed, stopped, starved of
//! disk, or left without Docker. The forge lives in the test's process, so that it outlives every server.

mod also;
mod claude;
mod clis;
mod containers;
mod disk;
mod kill;
mod mixed;
mod network;
mod process_one;
mod stop;
mod world;
