//! The run engine under simulation: seeded schedules over runs, their store, their concurrency groups, a queue that loses and repeats, and a
//! runner whose containers die, hang, and report late, twice or for an older attempt; with crashes between any two writes and between a write
//! and its effect, clocks that jump, and cancels, approvals and reruns at any moment. After each step the invariants are checked; at the end
//! everything is let run, and must come to rest.
//!
//! `CLOUD_CODE_SCHEDULES` says how many schedules (default: 2,000 in a debug build, 100,000 else), `CLOUD_CODE_SEED` where to begin. A failure
//! prints its seed and the shortest list of choices that still fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs, reason = "tests")]

mod choices;
mod invariants;
mod operations;
mod world;

use choices::Choices;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Steps of one schedule before everything is let run.
const STEPS: usize = 120;

/// Plays one schedule; says how many steps that took, or what went wrong.
fn play(choices: &mut Choices) -> Result<u64, String> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut world = world::World::new(choices);
        for _ in 0..STEPS {
            world.act(choices);
            invariants::check(&mut world);
        }
        world.come_to_rest();
        invariants::at_rest(&world);
        world.steps
    }));
    played.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn no_schedule_breaks_the_engine() {
    let many = number("CLOUD_CODE_SCHEDULES").unwrap_or(if cfg!(debug_assertions) { 2_000 } else { 100_000 });
    let first = number("CLOUD_CODE_SEED").unwrap_or(1);
    let (next, steps) = (AtomicU64::new(0), AtomicU64::new(0));
    let began = Instant::now();
    std::panic::set_hook(Box::new(|_| {}));
    let failure = std::thread::scope(|scope| {
        let worker = || {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= many {
                    return None;
                }
                let mut choices = Choices::seeded(first + n);
                match play(&mut choices) {
                    Ok(taken) => {
                        steps.fetch_add(taken, Ordering::Relaxed);
                    }
                    Err(why) => {
                        next.store(many, Ordering::Relaxed);
                        return Some((first + n, choices.taken(), why));
                    }
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().find_map(|worker| worker.join().unwrap())
    });
    let shrunk =
        failure.map(|(seed, taken, why)| (seed, why, choices::shrink(taken, |choices| play(choices).err())));
    drop(std::panic::take_hook());
    if let Some((seed, why, (shortest, last))) = shrunk {
        panic!("seed {seed}: {why}\nshrunk to {} choices: {shortest:?}\n{last}", shortest.len());
    }
    let (steps, seconds) = (steps.into_inner(), began.elapsed().as_secs_f64());
    println!(
        "{many} schedules, {steps} steps of the engine, {seconds:.1} s: {:.0} steps/s",
        steps as f64 / seconds
    );
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let trace = |seed| {
        let mut choices = Choices::seeded(seed);
        let mut world = world::World::new(&mut choices);
        for _ in 0..STEPS {
            world.act(&mut choices);
        }
        format!("{:?}", world.runs)
    };
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}
