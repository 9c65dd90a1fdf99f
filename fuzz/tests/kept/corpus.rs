//! All targets over all inputs that are kept, and over those that were findings once.

use std::path::Path;

use beamroute_fuzz::{corpus, run, targets};

#[test]
fn nothing_that_was_ever_tried_is_a_fault() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for target in targets() {
        let inputs = corpus::read(&here.join(format!("corpus/{}.hex", target.name))).unwrap();
        assert!(!inputs.is_empty(), "{} has no corpus", target.name);
        for input in inputs {
            run(&target, &input);
        }
    }
}

/// `regressions/TARGET-WHAT.hex`: each of these was a fault.
#[test]
fn what_was_found_stays_mended() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in std::fs::read_dir(here.join("regressions")).unwrap() {
        let file = file.unwrap().path();
        let name = file.file_stem().unwrap().to_str().unwrap();
        let target = targets().into_iter().find(|target| name.starts_with(&format!("{}-", target.name)));
        let target = target.unwrap_or_else(|| panic!("{name} is of no target"));
        for input in corpus::read(&file).unwrap() {
            run(&target, &input);
        }
    }
}
