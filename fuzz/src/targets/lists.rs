//! Lists that people write: photographs to enrol, pairs to evaluate, what was settled.

use counterproof::bench::list::PairList;
use counterproof::bureau::enrol;
use counterproof::bureau::figures::calendar::Month;
use counterproof::bureau::figures::import::{self, Allowed};

use super::{choose, refused, with_folder};

/// By the first byte: a CSV file of photographs, or a list of pairs whose
/// pictures `a.jpg`, `b.jpg` and `images/c.jpg` are there, or settlement statistics.
pub fn lists(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 3) else { return false };
    if choice == 2 {
        return settled(data);
    }
    with_folder(|dir| {
        let path = dir.join("list.csv");
        std::fs::write(&path, data).unwrap();
        if choice == 0 {
            return match enrol::list(&path) {
                Ok(photos) => !photos.is_empty(),
                Err(e) => refused(e, data.len()),
            };
        }
        std::fs::create_dir_all(dir.join("images")).unwrap();
        for name in ["a.jpg", "b.jpg", "images/c.jpg"] {
            std::fs::write(dir.join(name), b"").unwrap();
        }
        match PairList::read(&path, dir) {
            Ok(list) => {
                let there = list.pictures.len();
                assert!(list.pairs.iter().all(|p| p.left < there && p.right < there));
                assert!(list.pictures.iter().all(|p| p.is_file()));
                true
            }
            Err(e) => refused(e, data.len()),
        }
    })
}

/// What was settled: a file is taken whole, with each line within its limits, or every
/// fault is told.
fn settled(data: &[u8]) -> bool {
    let month = |number| Month::from_number(number).unwrap();
    let allowed = Allowed { first: month(202_512), last: month(202_611) };
    match import::read(data, allowed) {
        Ok(lines) => {
            let fits = |l: &import::Line| {
                (allowed.first..=allowed.last).contains(&l.month) && l.settlements > 0 && l.amount_fen >= 0
            };
            assert!(!lines.is_empty() && lines.iter().all(fits));
            true
        }
        Err(told) => {
            assert!(told.count >= told.faults.len());
            let faults: Vec<String> = told.faults.iter().take(1).map(ToString::to_string).collect();
            refused(faults.concat(), data.len())
        }
    }
}
