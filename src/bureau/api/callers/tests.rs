//! What is remembered of a box against what becomes of it, through the whole router.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::routing::Router;
use tower::ServiceExt;

use super::*;
use crate::bureau::api::{Callers, Limiter, Transforms, router};
use crate::bureau::ingest::Ingest;
use crate::bureau::store::event_tests::chain;
use crate::bureau::store::tests::{box_with_key, on_both};
use crate::bureau::store::{NewAgent, NewKey, NewReference, Store};
use crate::clock::{BoxTime, Clock, ManualClock, Now};
use crate::crypto::sign::SigningKey;
use crate::protocol::alert::Event;
use crate::protocol::id::Epoch;
use crate::protocol::reference::Template;
use crate::protocol::{ALERTS_PATH, REFERENCES_PATH, SIGNATURE_HEADER};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// A bureau with one box that has called before, so that it is remembered.
struct Desk {
    app: Router,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    boxed: NewAgent,
    key: SigningKey,
    events: std::vec::IntoIter<Event>,
}

impl Desk {
    async fn new(store: Store) -> Self {
        // Before the events of the examples are signed.
        let wall = "2026-11-22T01:00:00Z".parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let now = Now { boot: BoxTime::from_millis(0), wall: WallTime::from_millis(wall) };
        let (store, clock) = (Arc::new(store), Arc::new(ManualClock::new(now)));
        let (boxed, key) = box_with_key("box-1");
        store.add_agent(&boxed, now.wall).await.unwrap();
        let template = Template::from_raw(vec![3.0, 4.0]).unwrap();
        let cardholder = "P0001".parse().unwrap();
        let (model, photo) = (Sha256::of(b"m"), Sha256::of(b"p"));
        let new =
            NewReference { cardholder: &cardholder, model, preprocessing: 1, template: &template, photo };
        store.add_reference(&new, now.wall).await.unwrap();
        let api = Api {
            store: store.clone(),
            clock: clock.clone(),
            ingest: Ingest::start(store.clone()),
            callers: Callers::default(),
            limiter: Limiter::new(600),
            transforms: Transforms::default(),
            key: Arc::new(box_with_key("the-bureau").1),
        };
        let events = chain(9, Epoch::new()).into_iter();
        let mut desk = Self { app: router(Arc::new(api)), store, clock, boxed, key, events };
        assert_eq!((desk.alert().await, desk.fetch().await.0), (StatusCode::CREATED, StatusCode::OK));
        desk
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, String) {
        let mut request = request;
        request.extensions_mut().insert(Some(PeerCertificate(self.boxed.certificate)));
        let answer = self.app.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends the next event of the box.
    async fn alert(&mut self) -> StatusCode {
        let bytes = self.events.next().unwrap().to_bytes().unwrap();
        let request = Request::post(ALERTS_PATH).header(SIGNATURE_HEADER, self.key.sign(&bytes).to_string());
        self.send(request.body(Body::from(bytes)).unwrap()).await.0
    }

    /// Fetches references; the status, and under which transform they are.
    async fn fetch(&self) -> (StatusCode, String) {
        let path = format!("{REFERENCES_PATH}/P0001?settlement=S1");
        let (status, body) = self.send(Request::get(path).body(Body::empty()).unwrap()).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        (status, body["transform"].as_str().unwrap_or_default().to_owned())
    }

    async fn stored(&self) -> usize {
        self.store.alerts(i64::MAX, 100).await.unwrap().len()
    }
}

#[tokio::test]
async fn a_remembered_box_is_refused_as_soon_as_it_is_suspended_and_heard_again_afterwards() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        desk.store.set_suspended(&desk.boxed.name, true).await.unwrap();
        assert_eq!(desk.alert().await, StatusCode::FORBIDDEN);
        assert_eq!(desk.fetch().await.0, StatusCode::FORBIDDEN);
        assert_eq!(desk.stored().await, 1);
        desk.store.set_suspended(&desk.boxed.name, false).await.unwrap();
        assert_eq!((desk.alert().await, desk.fetch().await.0), (StatusCode::CREATED, StatusCode::OK));
    })
    .await;
}

#[tokio::test]
async fn a_remembered_box_gets_references_under_its_newest_transform_alone() {
    on_both(async |store| {
        let desk = Desk::new(store).await;
        let before = desk.fetch().await.1;
        desk.store.reissue_transform(&desk.boxed.name).await.unwrap();
        let (status, after) = desk.fetch().await;
        assert!(status == StatusCode::OK && !before.is_empty() && before != after, "{before} {after}");
    })
    .await;
}

#[tokio::test]
async fn the_old_keys_of_a_remembered_box_are_good_for_the_overlap_and_no_longer() {
    on_both(async |store| {
        let mut desk = Desk::new(store).await;
        let (new, new_key) = box_with_key("new-keys");
        let rotation = NewKey {
            name: desk.boxed.name.clone(),
            public_key: new.public_key,
            certificate: new.certificate,
            overlap: HOUR,
        };
        desk.store.rotate_agent(&rotation, desk.clock.now().wall).await.unwrap();
        // Remembered from before, and then as it is now, with its end.
        assert_eq!((desk.alert().await, desk.fetch().await.0), (StatusCode::CREATED, StatusCode::OK));
        assert_eq!((desk.alert().await, desk.stored().await), (StatusCode::CREATED, 3));
        desk.clock.advance(HOUR);
        assert_eq!(
            (desk.alert().await, desk.fetch().await.0),
            (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN)
        );
        desk.boxed.certificate = new.certificate;
        desk.key = new_key;
        assert_eq!((desk.alert().await, desk.stored().await), (StatusCode::CREATED, 4));
        desk.clock.advance(HOUR);
        // And by another rotation, which leaves no time.
        let (newer, _) = box_with_key("newer-keys");
        let rotation = NewKey {
            public_key: newer.public_key,
            certificate: newer.certificate,
            overlap: Duration::ZERO,
            ..rotation
        };
        desk.store.rotate_agent(&rotation, desk.clock.now().wall).await.unwrap();
        assert_eq!(
            (desk.alert().await, desk.fetch().await.0),
            (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN)
        );
    })
    .await;
}
