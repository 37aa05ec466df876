//! `counterproof-bureau bench queue`: how long a reviewer waits for the list of
//! alerts.
//!
//! Measured over HTTP against the real server with a session that was signed in, from
//! the request to the last byte of the page; each view is recorded on the disk before
//! it is answered, and that is in the figure. One request at a time: it is what one
//! reviewer waits, not how many the server can serve.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::{Value, json};

use super::sample::SampleBureau;
use super::{BenchError, Folder};

/// The deep page's number, from 1.
const DEEP: usize = 500;
/// Who looks.
const NAME: &str = "bench";
/// Filters that are tried, as they stand in an address.
const FILTERS: [&str; 6] = [
    "state=all",
    "order=newest",
    "hospital=H990101",
    "district=%E9%9D%92%E7%9F%B3%E5%8C%BA&score=near",
    "least=3000&order=newest",
    "state=all&counter=w02&most=20&score=near",
];

/// Arguments of `bench queue`.
#[derive(Debug, clap::Args)]
pub struct QueueArgs {
    /// A PostgreSQL database to fill and measure: postgres://USER@HOST/NAME. Without it, and without
    /// --config, a SQLite file in a folder that goes afterwards.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub database: Option<String>,
    /// A bureau whose store is empty or was filled by `seed`; its addresses are used.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many alerts.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub alerts: u32,
    /// Requests for each figure.
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(20..))]
    pub requests: u32,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// Times in milliseconds, sorted.
struct Times(Vec<f64>);

impl Times {
    fn at(&self, share: f64) -> f64 {
        let last = self.0.len().saturating_sub(1);
        let i = (share * last as f64).round() as usize;
        super::round(self.0.get(i.min(last)).copied().unwrap_or_default())
    }
}

/// Somebody who looks at pages.
struct Reader {
    client: reqwest::Client,
    console: String,
    cookie: String,
}

impl Reader {
    async fn page(&self, path: &str) -> io::Result<String> {
        let get = self.client.get(format!("{}{path}", self.console)).header("cookie", &self.cookie);
        let answer = get.header("accept", "text/html").send().await.map_err(io::Error::other)?;
        let answer = answer.error_for_status().map_err(io::Error::other)?;
        answer.text().await.map_err(io::Error::other)
    }

    async fn times(&self, path: &str, requests: u32) -> io::Result<Times> {
        let mut times = Vec::new();
        // The first few fill caches, as a desk at work has them.
        for n in 0..requests + 5 {
            let begun = Instant::now();
            let page = self.page(path).await?;
            let ms = begun.elapsed().as_secs_f64() * 1000.0;
            if !page.contains("class=\"queue\"") {
                return Err(io::Error::other(format!("{path} is no page of the queue")));
            }
            if n >= 5 {
                times.push(ms);
            }
        }
        times.sort_by(f64::total_cmp);
        Ok(Times(times))
    }

    /// The address of a page deep in the list, found as a reader does: by its links.
    async fn deep(&self, pages: usize) -> io::Result<(usize, String)> {
        let mut path = "/alerts".to_owned();
        for n in 1..pages {
            let page = self.page(&path).await?;
            let Some(next) = next_link(&page) else { return Ok((n, path)) };
            path = next;
        }
        Ok((pages, path))
    }
}

/// Where the link to the next page leads.
fn next_link(page: &str) -> Option<String> {
    let before = page.split("\" rel=\"next\"").next().filter(|b| b.len() < page.len())?;
    let (_, link) = before.rsplit_once("href=\"")?;
    Some(link.replace("&amp;", "&").replace("&#38;", "&"))
}

/// Fills a store, starts the bureau on it, and measures.
///
/// # Errors
/// If the store holds anything real, or the bureau does not start or answer.
pub async fn run(args: &QueueArgs, program: &Path) -> Result<(), BenchError> {
    let folder = Folder::new("queue")?;
    let mut bureau = match (&args.config, &args.database) {
        (Some(config), _) => SampleBureau::of(program, &folder.0, config),
        (None, Some(url)) => {
            let store = format!("database = {}", json!(url));
            SampleBureau::make(program, &folder.0, &store, "127.0.0.1:0")?
        }
        (None, None) => SampleBureau::make(program, &folder.0, "path = \"bureau.db\"", "127.0.0.1:0")?,
    };
    eprintln!("filling the store with {} made-up alerts", args.alerts);
    let begun = Instant::now();
    bureau.fill(args.alerts)?;
    let seed_s = begun.elapsed().as_secs_f64();
    bureau.add_account(NAME, NAME, &["reviewer"])?;
    bureau.start()?;
    let found = measure(args, &bureau, seed_s).await;
    bureau.end()?;
    print(args, &found?)?;
    Ok(())
}

async fn measure(args: &QueueArgs, bureau: &SampleBureau, seed_s: f64) -> io::Result<Value> {
    let client = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
    let cookie = bureau.sign_in(NAME).await?;
    let reader = Reader { client, console: bureau.console().to_owned(), cookie };
    eprintln!("measuring, {} requests each", args.requests);
    let first = reader.times("/alerts", args.requests).await?;
    let (page, path) = reader.deep(DEEP).await?;
    let deep = reader.times(&path, args.requests).await?;
    let mut filtered = Vec::new();
    let mut most: f64 = 0.0;
    for filter in FILTERS {
        let times = reader.times(&format!("/alerts?{filter}"), args.requests).await?;
        most = most.max(times.at(0.99));
        filtered.push(json!({ "filter": filter, "ms_p50": times.at(0.5), "ms_p99": times.at(0.99) }));
    }
    Ok(json!({
        "store": if args.database.is_some() { "postgresql" } else if args.config.is_some() { "as configured" } else { "sqlite" },
        "alerts": args.alerts,
        "seed_s": super::round(seed_s),
        "requests": args.requests,
        "first_page_ms_p50": first.at(0.5),
        "first_page_ms_p99": first.at(0.99),
        "deep_page": page,
        "deep_page_ms_p50": deep.at(0.5),
        "deep_page_ms_p99": deep.at(0.99),
        "filtered_ms_p99": most,
        "filtered": filtered,
    }))
}

fn print(args: &QueueArgs, found: &Value) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if args.json {
        return writeln!(out, "{found}");
    }
    let of = |key: &str| found.get(key).map(Value::to_string).unwrap_or_default();
    writeln!(out, "{} alerts, {}", of("alerts"), of("store"))?;
    for (what, key) in [("first page", "first_page"), ("deep page", "deep_page")] {
        let (p50, p99) = (of(&format!("{key}_ms_p50")), of(&format!("{key}_ms_p99")));
        writeln!(out, "{what:<12} p50 {p50:>8} ms   p99 {p99:>8} ms")?;
    }
    writeln!(
        out,
        "deep page is number {}; the slowest of {} filters: p99 {} ms",
        of("deep_page"),
        FILTERS.len(),
        of("filtered_ms_p99")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_by_its_link() {
        let page =
            "<a href=\"/alerts?x=1\">a</a> <a href=\"/alerts?state=all&#38;after=0.7\" rel=\"next\">b</a>";
        assert_eq!(next_link(page).as_deref(), Some("/alerts?state=all&after=0.7"));
        assert_eq!(next_link("<a href=\"/alerts\" rel=\"prev\">b</a>"), None);
    }

    #[test]
    fn shares_of_times_are_those_times() {
        let times = Times((1..=101).map(f64::from).collect());
        assert!((times.at(0.5) - 51.0).abs() < 1e-9 && (times.at(0.99) - 100.0).abs() < 1e-9);
    }
}
