//! Random calls, link flaps, address changes, foreign writes, thefts, kills and restarts, against a real daemon and
//! kernel. At every quiet point the kernel is compared with what the acknowledged calls and the world ask for.
//!
//! `BEAMROUTE_RANDOM_SEED=N` plays one seed, `BEAMROUTE_RANDOM_STEPS=N` makes it longer (the seeds run from the first on
//! until so many steps are done), and a failure says both. Timing is part of it, so a seed need not fail twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a panic is how a test fails")]

mod scene;
#[path = "../support/mod.rs"]
mod support;

use scene::Scene;
use support::dice::Dice;

/// Steps of one seed, in one pair of namespaces.
const STEPS: usize = 150;
/// Seeds that are played when nothing else is asked for.
const SEEDS: u64 = 3;

#[test]
fn the_kernel_is_what_was_asked_for_whatever_happens() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let first = number("BEAMROUTE_RANDOM_SEED");
    let steps = number("BEAMROUTE_RANDOM_STEPS").map(|steps| usize::try_from(steps).unwrap());
    let wanted = steps.unwrap_or(if first.is_some() { STEPS } else { STEPS * usize::try_from(SEEDS).unwrap() });
    let (mut done, mut seed) = (0, first.unwrap_or(1));
    while done < wanted {
        println!("BEAMROUTE_RANDOM_SEED={seed}: {done} of {wanted} steps done");
        let Some(steps) = play(seed, STEPS.min(wanted - done)) else { return };
        done += steps;
        seed += 1;
    }
    println!("{done} steps, seeds {} to {}", first.unwrap_or(1), seed - 1);
}

fn play(seed: u64, steps: usize) -> Option<usize> {
    let mut dice = Dice::new(seed);
    let mut scene = Scene::new()?;
    let mut until_quiet = 0;
    for _ in 0..steps {
        scene.step(&mut dice);
        if until_quiet == 0 {
            scene.check();
            until_quiet = 1 + dice.below(9);
        }
        until_quiet -= 1;
    }
    scene.check();
    Some(steps)
}
