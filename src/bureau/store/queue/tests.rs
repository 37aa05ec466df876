//! That pages lead through everything, and that an index serves each of them.

use super::statement::states;
use super::*;
use crate::bureau::review::Claim;
use crate::bureau::seed::tests::filled;
use crate::bureau::store::Database;
use crate::bureau::store::tests::on_both;

const ORDERS: [QueueOrder; 2] = [QueueOrder::Serious, QueueOrder::Newest];

/// Every page from the top down; then every page back up, in order again.
async fn both_ways(store: &Store, filter: &QueueFilter, order: QueueOrder) -> Vec<QueuePlace> {
    let (mut down, mut from) = (Vec::new(), QueueFrom::Start);
    loop {
        let page = store.queue_page(filter, order, from, 40).await.unwrap();
        assert_eq!(page.has_before, from != QueueFrom::Start);
        down.extend(page.rows.iter().map(QueueRow::at));
        let Some(last) = down.last().copied() else { return down };
        if !page.has_after {
            break;
        }
        from = QueueFrom::After(last);
    }
    let mut up = vec![*down.last().unwrap()];
    loop {
        let page = store.queue_page(filter, order, QueueFrom::Before(up[0]), 40).await.unwrap();
        assert!(page.has_after && page.rows.len() <= 40);
        up.splice(0..0, page.rows.iter().map(QueueRow::at));
        if !page.has_before {
            break;
        }
    }
    assert_eq!(up, down);
    down
}

/// Arrivals of what a condition lets through, in order, asked for simply.
async fn simply(store: &Store, condition: &str, order: QueueOrder) -> Vec<i64> {
    let order = match order {
        QueueOrder::Serious => "seriousness DESC, arrival DESC",
        QueueOrder::Newest => "arrival DESC",
    };
    let sql = format!("SELECT arrival FROM alerts WHERE {condition} ORDER BY {order}");
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&store.pool).await.unwrap()
}

async fn one(store: &Store, sql: &'static str) -> String {
    sqlx::query_scalar(sql).fetch_one(&store.pool).await.unwrap()
}

#[tokio::test]
async fn pages_lead_through_everything_that_a_filter_lets_through_both_ways_and_in_order() {
    on_both(async |store| {
        filled(&store, 700).await;
        let hospital = one(&store, "SELECT hospital FROM alerts ORDER BY arrival LIMIT 1").await;
        let district = one(&store, "SELECT district FROM hospitals ORDER BY code LIMIT 1").await;
        let busiest =
            "SELECT cardholder FROM alerts GROUP BY cardholder ORDER BY COUNT(*) DESC, cardholder LIMIT 1";
        let mark = one(&store, busiest).await;
        let at = |ms| Some(WallTime::from_millis(ms));
        let (from, until) = (1_790_000_000_000, 1_793_000_000_000);
        let all = QueueFilter::default;
        let of = |word: &str| vec![QueueState::of(word).unwrap()];
        let cases = [
            ("1 = 1".to_owned(), all()),
            ("state = 'open'".into(), QueueFilter { states: of("open"), ..all() }),
            ("state = 'withdrawn'".into(), QueueFilter { states: of("withdrawn"), ..all() }),
            (
                format!("hospital = '{hospital}' AND state = 'decided'"),
                QueueFilter { hospital: hospital.parse().ok(), states: of("decided"), ..all() },
            ),
            (
                format!("hospital IN (SELECT code FROM hospitals WHERE district = '{district}')"),
                QueueFilter { district: Some(district), ..all() },
            ),
            (
                format!("occurred_at >= {from} AND occurred_at < {until} AND counter = 'w02'"),
                QueueFilter { from: at(from), until: at(until), counter: "w02".parse().ok(), ..all() },
            ),
            (
                "score_bin >= 22 AND score_bin <= 24 AND amount_fen >= 20000 AND amount_fen <= 90000".into(),
                QueueFilter {
                    bins: Some((22, 24)),
                    amount_from: Some(20_000),
                    amount_to: Some(90_000),
                    ..all()
                },
            ),
            (
                "assignee = 'li'".into(),
                QueueFilter { assignee: Some(Assignee::Account(String::from("li"))), ..all() },
            ),
            (
                "assignee IS NULL AND state = 'open'".into(),
                QueueFilter { assignee: Some(Assignee::Nobody), states: of("open"), ..all() },
            ),
            (format!("cardholder = '{mark}'"), QueueFilter { cardholder: Some(mark), ..all() }),
            (
                "score_bin < 0 AND state = 'open'".into(),
                QueueFilter { claim: Some(Claim::Absent), states: of("open"), ..all() },
            ),
            (
                "score_bin >= 0 AND amount_fen >= 30000".into(),
                QueueFilter { claim: Some(Claim::Mismatch), amount_from: Some(30_000), ..all() },
            ),
            (
                "score_bin < 0 AND score_bin > 0".into(),
                QueueFilter { claim: Some(Claim::Absent), bins: Some((0, 21)), ..all() },
            ),
            ("arrival > 650".into(), QueueFilter { arrived_after: Some(650), ..all() }),
            ("amount_fen > 99999999999".into(), QueueFilter { amount_from: Some(99_999_999_999), ..all() }),
        ];
        for (condition, filter) in &cases {
            for order in ORDERS {
                let paged = both_ways(&store, filter, order).await;
                let arrivals: Vec<i64> = paged.iter().map(|p| p.arrival).collect();
                assert_eq!(arrivals, simply(&store, condition, order).await, "{condition} {order:?}");
            }
            let counted = store.queue_counts(&QueueFilter { states: Vec::new(), ..filter.clone() }).await;
            let counted = counted.unwrap();
            let in_states: i64 = states(filter)
                .into_iter()
                .map(|s| match s {
                    QueueState::Open => counted.open,
                    QueueState::Decided => counted.decided,
                    QueueState::Withdrawn => counted.withdrawn,
                })
                .sum();
            let found = simply(&store, condition, QueueOrder::Newest).await.len();
            assert_eq!(in_states, i64::try_from(found).unwrap(), "{condition}");
        }
    })
    .await;
}

/// How the database would go about a page.
async fn plan(store: &Store, asked: Asked<'_>) -> String {
    let Statement { sql, values } = asked.statement();
    let (explain, column) = match store.at {
        Database::File(_) => ("EXPLAIN QUERY PLAN ", "detail"),
        Database::Server(_) => ("EXPLAIN ", "QUERY PLAN"),
    };
    let mut query = sqlx::query(AssertSqlSafe(format!("{explain}{sql}")));
    for value in values {
        query = match value {
            Value::Number(n) => query.bind(n),
            Value::Text(t) => query.bind(t),
        };
    }
    let mut tx = store.pool.begin().await.unwrap();
    if matches!(store.at, Database::Server(_)) {
        // So few alerts are quickest read whole; what is asked is whether an index serves.
        sqlx::query("SET LOCAL enable_seqscan = off").execute(&mut *tx).await.unwrap();
    }
    let rows = query.fetch_all(&mut *tx).await.unwrap();
    rows.iter().map(|r| r.try_get::<String, _>(column).unwrap() + "\n").collect()
}

#[tokio::test]
async fn a_page_is_read_from_an_index_and_never_sorted_out_of_the_whole_table() {
    on_both(async |store| {
        filled(&store, 4_000).await;
        let hospital = one(&store, "SELECT hospital FROM alerts ORDER BY arrival LIMIT 1").await;
        let district = one(&store, "SELECT district FROM hospitals ORDER BY code LIMIT 1").await;
        let open = QueueFilter { states: vec![QueueState::Open], ..QueueFilter::default() };
        let filters = [
            QueueFilter::default(),
            open.clone(),
            QueueFilter { hospital: hospital.parse().ok(), ..open.clone() },
            QueueFilter { district: Some(district), ..open.clone() },
            QueueFilter { from: Some(WallTime::from_millis(1_790_000_000_000)), ..open.clone() },
            QueueFilter { claim: Some(Claim::Absent), ..open.clone() },
            QueueFilter { bins: Some((22, 24)), amount_from: Some(50_000), ..open },
        ];
        let deep = QueuePlace { seriousness: 0, arrival: 2_000 };
        for filter in &filters {
            for order in ORDERS {
                for from in [QueueFrom::Start, QueueFrom::After(deep), QueueFrom::Before(deep)] {
                    let asked = Asked { filter, order, from, limit: 51 };
                    let told = plan(&store, asked).await;
                    check(&store, &told);
                }
            }
        }
    })
    .await;
}

/// That alerts come out of an index in order, and that what is sorted was cut to a
/// page's length before.
fn check(store: &Store, told: &str) {
    match store.at {
        Database::File(_) => check_file(told),
        Database::Server(_) => check_server(told),
    }
}

/// A search stands in a block of its own, `CO-ROUTINE cN`; what comes after
/// `SCAN cN` is about its few results.
fn check_file(told: &str) {
    let mut within = false;
    for line in told.lines() {
        match line {
            _ if line.starts_with("CO-ROUTINE c") => within = true,
            _ if line.starts_with("SCAN c") => within = false,
            _ if line.contains(" alerts ") => {
                let fits = line.contains("(state=? AND seriousness=?)")
                    || line.contains("(hospital=? AND state=? AND seriousness=?");
                let bounded = line.contains("(state=? AND seriousness=? AND arrival");
                assert!(line.starts_with("SEARCH alerts USING INDEX") && (fits || bounded), "{line}\n{told}");
            }
            _ => assert!(!(within && line.contains("TEMP B-TREE")), "{told}"),
        }
    }
    assert!(told.contains("SEARCH alerts"), "{told}");
}

/// No month is read whole, and nothing is sorted but what was cut to a page's length
/// for each state and seriousness, or is estimated to be less than that.
fn check_server(told: &str) {
    let most = 51 * 9;
    for line in told.lines() {
        assert!(!line.contains("Seq Scan on alerts"), "{line}\n{told}");
        if line.trim_start().trim_start_matches("->  ").starts_with("Sort  (") {
            let rows = line.split("rows=").nth(1).and_then(|r| r.split(' ').next()).unwrap();
            assert!(rows.parse::<u64>().unwrap() <= most, "{line}\n{told}");
        }
    }
    assert!(told.contains("Index Scan"), "{told}");
}
