//! The made-up city: districts, hospitals, boxes, cardholders. No name or number in
//! it belongs to anybody.

use super::chance::Chance;
use crate::bureau::BureauError;
use crate::bureau::store::{Hospital, MADE_UP};
use crate::crypto::sign::{SignatureError, SigningKey};
use crate::protocol::id::{AgentId, CardholderId, CounterId, HospitalId, MedicalType};

/// Districts with what their hospitals are called.
const DISTRICTS: [(&str, &[&str]); 6] = [
    (
        "青石区",
        &["青石区人民医院", "青石区中医医院", "青石区妇幼保健院", "石桥街道社区卫生服务中心", "青石口腔医院"],
    ),
    ("白塔区", &["白塔区人民医院", "白塔区第二人民医院", "白塔区中医医院", "塔前街道社区卫生服务中心"]),
    ("云桥区", &["云桥区人民医院", "云桥肾病专科医院", "云桥康复医院", "桥东社区卫生服务中心"]),
    ("南浦区", &["南浦区人民医院", "南浦区中医医院", "南浦眼科医院", "浦南镇卫生院"]),
    ("双溪县", &["双溪县人民医院", "双溪县中医医院", "溪口镇卫生院"]),
    ("北岸新区", &["样本市第一人民医院", "样本大学附属医院", "样本市肿瘤医院", "北岸社区卫生服务中心"]),
];
/// It has a dialysis room; so has the largest hospital of each district.
const DIALYSIS: &str = "云桥肾病专科医院";
/// So many cardholders raise an alert once or twice.
const CARDHOLDERS: usize = 60_000;
/// So few come again and again.
const FREQUENT: usize = 700;
/// What share of alerts is theirs.
const FREQUENT_SHARE: f64 = 0.06;

/// A box at two windows, and here and there at the entrance of a dialysis room.
pub(super) struct MadeBox {
    pub(super) name: AgentId,
    pub(super) hospital: HospitalId,
    pub(super) windows: Vec<CounterId>,
    pub(super) entrance: Option<CounterId>,
    pub(super) key: SigningKey,
}

impl MadeBox {
    /// Every counter, the windows first.
    pub(super) fn counters(&self) -> impl Iterator<Item = &CounterId> {
        self.windows.iter().chain(&self.entrance)
    }
}

/// The city.
pub(super) struct City {
    pub(super) hospitals: Vec<Hospital>,
    /// Each with how busy it is.
    pub(super) boxes: Vec<(f64, MadeBox)>,
}

fn named<T: std::str::FromStr>(text: &str) -> Result<T, BureauError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| BureauError::Command(e.to_string()))
}

fn key() -> Result<SigningKey, BureauError> {
    let made = SigningKey::generate_pkcs8().and_then(|der| SigningKey::from_pkcs8(&der));
    made.map_err(|e: SignatureError| BureauError::Command(format!("a made-up box has no key: {e}")))
}

impl City {
    /// Lays it out; keys are new each time.
    pub(super) fn new(chance: &mut Chance) -> Result<Self, BureauError> {
        let (mut hospitals, mut boxes) = (Vec::new(), Vec::new());
        for (d, (district, names)) in DISTRICTS.iter().enumerate() {
            for (h, name) in names.iter().enumerate() {
                let number = format!("99{:02}{:02}", d + 1, h + 1);
                let code: HospitalId = named(&format!("H{number}"))?;
                // The first of each district is the largest.
                let of_boxes = if h == 0 { 4 } else { 1 + chance.below(2) };
                for b in 0..of_boxes {
                    let dialyses = b == 0 && (h == 0 || *name == DIALYSIS);
                    let windows = [2 * b + 1, 2 * b + 2].map(|n| named(&format!("w{n:02}")));
                    boxes.push((
                        0.4 + chance.share(),
                        MadeBox {
                            name: named(&format!("{MADE_UP}{number}-{}", b + 1))?,
                            hospital: code.clone(),
                            windows: windows.into_iter().collect::<Result<_, _>>()?,
                            entrance: dialyses.then(|| named("d01")).transpose()?,
                            key: key()?,
                        },
                    ));
                }
                let (name, district) = ((*name).to_owned(), (*district).to_owned());
                hospitals.push(Hospital { code, name, district });
            }
        }
        Ok(Self { hospitals, boxes })
    }
}

/// A cardholder; a few of them often.
pub(super) fn cardholder(chance: &mut Chance) -> Result<CardholderId, BureauError> {
    let n = if chance.happens(FREQUENT_SHARE) { chance.below(FREQUENT) } else { chance.below(CARDHOLDERS) };
    named(&format!("MADEUP{n:07}"))
}

/// One of those who come again and again, by number.
pub(super) fn frequent_cardholder(n: usize) -> Result<CardholderId, BureauError> {
    named(&format!("MADEUP{:07}", n % FREQUENT))
}

/// An amount in fen: half of all are below 280 yuan, one in eight is above 1,000.
pub(super) fn amount_fen(chance: &mut Chance) -> u64 {
    let yuan = chance.normal(280_f64.ln(), 1.1).exp();
    (yuan * 100.0).clamp(100.0, 20_000_000.0).round() as u64
}

/// A kind of care: mostly outpatient, and chronic illness.
pub(super) fn medical_type(chance: &mut Chance) -> Result<MedicalType, BureauError> {
    const KINDS: [(f64, &str); 5] = [(0.52, "11"), (0.31, "14"), (0.08, "13"), (0.06, "12"), (0.03, "51")];
    named(chance.weighted(&KINDS).copied().unwrap_or("11"))
}

/// A moment of the day in China, in milliseconds since midnight: windows open at
/// half past seven, are busiest at nine and at two, and a few never close.
pub(super) fn time_of_day_ms(chance: &mut Chance) -> i64 {
    const HOURS: [(f64, (f64, f64)); 3] = [(0.58, (9.4, 1.0)), (0.37, (14.6, 1.1)), (0.05, (20.0, 3.5))];
    let (mean, spread) = chance.weighted(&HOURS).copied().unwrap_or((9.0, 1.0));
    let hour = chance.normal(mean, spread).rem_euclid(24.0);
    (hour * 3_600_000.0) as i64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn amounts_times_and_people_are_spread_as_said() {
        let mut chance = Chance::new(1);
        let amounts: Vec<u64> = (0..10_000).map(|_| amount_fen(&mut chance)).collect();
        let above = |fen: u64| amounts.iter().filter(|a| **a >= fen).count();
        assert!((4_700..5_300).contains(&above(28_000)) && (1_000..1_500).contains(&above(100_000)));
        let by_day = (0..10_000)
            .map(|_| time_of_day_ms(&mut chance) / 3_600_000)
            .filter(|h| (7..18).contains(h))
            .count();
        assert!(by_day > 9_000, "{by_day}");
        let mut people: BTreeMap<CardholderId, usize> = BTreeMap::new();
        for _ in 0..20_000 {
            *people.entry(cardholder(&mut chance).unwrap()).or_default() += 1;
        }
        assert!(people.len() > 10_000 && people.values().any(|n| *n > 3));
    }

    #[test]
    fn every_box_has_a_name_of_its_own_that_says_that_it_is_made_up() {
        let city = City::new(&mut Chance::new(1)).unwrap();
        let mut names: Vec<&str> = city.boxes.iter().map(|(_, b)| b.name.as_str()).collect();
        let n = names.len();
        names.sort_unstable();
        names.dedup();
        let entrances = city.boxes.iter().filter(|(_, b)| b.entrance.is_some()).count();
        assert_eq!(entrances, 7);
        assert!(names.len() == n && n > 30 && names.iter().all(|name| name.starts_with(MADE_UP)));
    }
}
