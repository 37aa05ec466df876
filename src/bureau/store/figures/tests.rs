use super::*;
use crate::bureau::figures::counts::tests::posture;
use crate::bureau::retention::Kind;
use crate::bureau::store::tests::on_both;

const DAY: i64 = 86_400_000;

fn at(ms: i64) -> WallTime {
    WallTime::from_millis(ms)
}

/// Counts a posture as `keep_posture` does.
async fn hear(store: &Store, posture: &Posture, now: i64) {
    let mut tx = store.pool.begin().await.unwrap();
    super::super::postures::seen(&mut tx, &posture.agent, at(now)).await.unwrap();
    count(&mut tx, posture, at(now)).await.unwrap();
    tx.commit().await.unwrap();
}

async fn with_box(store: &Store) {
    let (agent, _) = crate::bureau::store::tests::box_with_key("box-1");
    store.add_agent(&agent, at(1)).await.unwrap();
}

fn days(first: i64, last: i64) -> Days {
    Days { first: Day::from_number(first), last: Day::from_number(last) }
}

async fn matches(store: &Store, first: i64, last: i64) -> u64 {
    let all = store.verdicts(By::Day, days(first, last), &Place::default()).await.unwrap();
    all.iter().filter(|v| v.verdict == "match").map(|v| v.n).sum()
}

#[tokio::test]
async fn postures_add_up_over_restarts_losses_and_days() {
    on_both(async |store| {
        with_box(&store).await;
        let told = |run, n| posture(Some(run), &[("w1", "match", n), ("w1", "inconclusive(no_face)", 1)]);
        // 9 o'clock in China on the tenth day.
        let nine = 10 * DAY + 3_600_000;
        hear(&store, &told(1, 5), nine).await;
        hear(&store, &told(1, 9), nine + 60_000).await;
        // Late, and once more.
        hear(&store, &told(1, 5), nine + 61_000).await;
        hear(&store, &told(1, 9), nine + 62_000).await;
        // The next morning it was started again; a posture of the run before comes after its first.
        let next = nine + 20 * 3_600_000;
        hear(&store, &told(2, 4), next).await;
        hear(&store, &told(1, 9), next + 1).await;
        hear(&store, &told(2, 6), next + 60_000).await;
        assert_eq!(
            (matches(&store, 10, 10).await, matches(&store, 11, 11).await, matches(&store, 12, 12).await),
            (9, 6, 0)
        );
        let by_reason = store.verdicts(By::Reason, days(0, 99), &Place::default()).await.unwrap();
        let told: Vec<_> = by_reason.iter().map(|v| (v.of.as_str(), v.verdict.as_str(), v.n)).collect();
        assert_eq!(told, [("", "match", 15), ("no_face", "inconclusive", 2)]);
        let of =
            |hospital: &str, district: &str| Place { hospital: hospital.into(), district: district.into() };
        for (place, n) in [(of("H1", ""), 2), (of("H2", ""), 0), (of("", "nowhere"), 0)] {
            assert_eq!(
                store.verdicts(By::Hospital, days(0, 99), &place).await.unwrap().len(),
                n,
                "{place:?}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn counting_begins_with_what_a_running_box_had_told_before() {
    on_both(async |store| {
        with_box(&store).await;
        let held = posture(Some(1), &[("w1", "match", 1000)]);
        sqlx::query(
            "INSERT INTO postures (agent, at, received_at, body, signature) VALUES ('box-1', 1, 1, $1, '')",
        )
        .bind(serde_json::to_vec(&held).unwrap())
        .execute(&store.pool)
        .await
        .unwrap();
        hear(&store, &posture(Some(1), &[("w1", "match", 1003)]), 2 * DAY).await;
        assert_eq!(matches(&store, 0, 9).await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_counter_is_covered_for_as_long_as_its_camera_was_seen_working() {
    on_both(async |store| {
        with_box(&store).await;
        let mut p = posture(Some(1), &[("w1", "match", 1), ("w2", "match", 1)]);
        let start = 10 * DAY;
        for minute in 0..10 {
            let state = if minute < 7 { "ok" } else { "covered" };
            p.cameras = serde_json::from_value(serde_json::json!({ "w1": state, "w2": "silent" })).unwrap();
            hear(&store, &p, start + minute * 60_000).await;
        }
        let place = Place::default();
        for (least, n) in [(6, 1), (7, 0)] {
            let covered = store.covered(days(10, 10), &place, least * 60_000).await.unwrap();
            assert_eq!(covered.first().map_or(0, |c| c.2), n, "{least}");
        }
        let known = store.known_counters(&place).await.unwrap();
        assert_eq!(known.len(), 2);
        assert_eq!((known[0].counter.as_str(), known[0].first.number(), known[0].last), ("w1", 10, None));
        // A counter that the box names no more is known until then.
        sqlx::query("UPDATE postures SET received_at = received_at").execute(&store.pool).await.unwrap();
        sqlx::query(
            "INSERT INTO postures (agent, at, received_at, body, signature) VALUES ('box-1', 1, $1, $2, '')",
        )
        .bind(start + DAY)
        .bind(Vec::<u8>::new())
        .execute(&store.pool)
        .await
        .unwrap();
        let known = store.known_counters(&place).await.unwrap();
        assert_eq!(known[1].last, Some(Day::from_number(10)));
    })
    .await;
}

#[tokio::test]
async fn counts_end_with_their_day() {
    on_both(async |store| {
        with_box(&store).await;
        hear(&store, &posture(Some(1), &[("w1", "match", 3)]), 10 * DAY).await;
        hear(&store, &posture(Some(1), &[("w1", "match", 8)]), 12 * DAY).await;
        // The tenth day in China ends at 16:00 UTC.
        let ends = 10 * DAY + 16 * 3_600_000;
        let purge = async |cutoff| store.purge(Kind::Figures, at(cutoff), at(20 * DAY)).await.unwrap();
        let kept = purge(ends - 1).await;
        assert_eq!((kept.deleted, kept.oldest_left), (0, Some(at(ends - 1))));
        let done = purge(ends).await;
        assert_eq!((done.deleted, done.oldest_deleted), (1, Some(at(ends - 1))));
        assert_eq!(matches(&store, 0, 99).await, 5);
        // With its last posture a run's marks go, and the counter.
        purge(13 * DAY).await;
        assert_eq!(store.known_counters(&Place::default()).await.unwrap().len(), 0);
        assert_eq!(purge(i64::MAX / 4).await.oldest_left, None);
    })
    .await;
}
