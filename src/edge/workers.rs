//! Workers: threads that own the models, behind a bounded queue.
//!
//! A full queue is an overload, said at once. A verification that panics ends
//! as a fault and its worker goes on with fresh models.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::error;

use crate::clock::BoxTime;
use crate::frame::Sample;
use crate::heart::Heart;
use crate::verify::evidence::Subjects;
use crate::verify::session::{self, Ran, Rules};
use crate::vision::manifest::Manifest;
use crate::vision::model::ModelError;
use crate::vision::{Vision, Wanted};

use super::queue::Queue;
use super::supervisor::{VERIFICATION, Watch};

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
    queue: Arc<Queue<Task>>,
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.queue.close();
    }
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
        watch: &Watch,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(queue));
        for (i, vision) in models.into_iter().enumerate() {
            let (queue, manifest, wanted) = (Arc::clone(&queue), Arc::clone(manifest), wanted.clone());
            let heart = watch.worker(i);
            std::thread::Builder::new()
                .name(format!("worker-{i}"))
                .spawn(move || work(vision, &queue, &heart, || Vision::load(&manifest, &wanted)))?;
        }
        Ok(Self { queue })
    }

    /// How many jobs wait, and how many may.
    pub fn waiting(&self) -> (usize, usize) {
        (self.queue.len(), self.queue.limit())
    }

    /// Queues a job. The answer is `None` if the models failed at it.
    ///
    /// # Errors
    /// [`Overload`] if the queue is full.
    pub fn submit(&self, job: Job) -> Result<oneshot::Receiver<Option<Ran>>, Overload> {
        let (sender, receiver) = oneshot::channel();
        self.queue.put((job, sender)).map(|()| receiver).map_err(|_| Overload)
    }
}

fn work(
    mut vision: Vision,
    queue: &Queue<Task>,
    heart: &Heart,
    reload: impl Fn() -> Result<Vision, ModelError>,
) {
    while let Some((job, answer)) = queue.take(heart) {
        heart.allow(VERIFICATION);
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
