//! Lists that people write: photographs to enrol, pairs to evaluate.

use counterproof::bench::list::PairList;
use counterproof::bureau::enrol;

use super::{choose, refused, with_folder};

/// By the first byte: a CSV file of photographs, or a list of pairs whose
/// pictures `a.jpg`, `b.jpg` and `images/c.jpg` are there.
pub fn lists(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 2) else { return false };
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
