//! `cargo bench`: how long the hot paths take, from a frame to a request, through plan and diff to netlink's messages, and back
//! to a frame. They stand in `budget/src/paths`, for `scripts/budget` counts their instructions.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};

#[path = "../budget/src/paths/mod.rs"]
mod paths;

fn hot(criterion: &mut Criterion) {
    for (name, start) in paths::ALL {
        match start() {
            Ok(mut path) => {
                criterion.bench_function(name, |bencher| bencher.iter(|| black_box(path())));
            }
            Err(why) => eprintln!("{name} cannot be measured: {why:#}"),
        }
    }
}

criterion_group!(benches, hot);
criterion_main!(benches);
