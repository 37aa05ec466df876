//! Workers: threads that own the models, behind a bounded queue.
//!
//! A full queue is an overload, said at once. A verification that panics ends
//! as a fault and its worker goes on with fresh models.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tracing::error;

use crate::clock::BoxTime;
use crate::frame::Sample;
use crate::verify::evidence::Subjects;
use crate::verify::session::{self, Ran, Rules};
use crate::vision::manifest::Manifest;
use crate::vision::model::ModelError;
use crate::vision::{Vision, Wanted};

/// One verification's work.
pub struct Job {
    /// How to look.
    pub rules: Rules,
    /// Who may be there.
    pub subjects: Subjects,
    /// The window's samples, pinned.
    pub samples: Vec<Arc<Sample>>,
    /// The settlement's moment.
    pub moment: BoxTime,
}

/// The queue is full.
#[derive(Debug)]
pub struct Overload;

type Task = (Job, oneshot::Sender<Option<Ran>>);

/// The workers' queue.
pub struct Workers {
    queue: SyncSender<Task>,
}

impl Workers {
    /// Starts a thread for each set of models.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        models: Vec<Vision>,
        queue: usize,
        manifest: &Arc<Manifest>,
        wanted: &Wanted,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Task>(queue);
        let receiver = Arc::new(Mutex::new(receiver));
        for (i, vision) in models.into_iter().enumerate() {
            let (receiver, manifest, wanted) = (Arc::clone(&receiver), Arc::clone(manifest), wanted.clone());
            std::thread::Builder::new()
                .name(format!("worker-{i}"))
                .spawn(move || work(vision, &receiver, || Vision::load(&manifest, &wanted)))?;
        }
        Ok(Self { queue: sender })
    }

    /// Queues a job. The answer is `None` if the models failed at it.
    ///
    /// # Errors
    /// [`Overload`] if the queue is full.
    pub fn submit(&self, job: Job) -> Result<oneshot::Receiver<Option<Ran>>, Overload> {
        let (sender, receiver) = oneshot::channel();
        match self.queue.try_send((job, sender)) {
            Ok(()) => Ok(receiver),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Overload),
        }
    }
}

fn work(mut vision: Vision, queue: &Mutex<Receiver<Task>>, reload: impl Fn() -> Result<Vision, ModelError>) {
    loop {
        let task = queue.lock().unwrap_or_else(|e| e.into_inner()).recv();
        let Ok((job, answer)) = task else { return };
        let run = || session::run(&mut vision, job.rules, &job.subjects, &job.samples, job.moment);
        let ran = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(ran)) => Some(ran),
            Ok(Err(e)) => {
                error!(error = %e, "a verification failed");
                None
            }
            Err(_) => {
                error!("a verification panicked; its worker loads its models anew");
                match reload() {
                    Ok(fresh) => vision = fresh,
                    Err(e) => error!(error = %e, "the models cannot be loaded anew"),
                }
                None
            }
        };
        drop(job);
        // Nobody waits any more if the agent is stopping.
        let _ = answer.send(ran);
    }
}
