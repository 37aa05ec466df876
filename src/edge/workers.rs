//! Workers: threads that own the models, behind a bounded queue.
//!
//! A full queue is an overload, said at once. A verification that panics ends
//! as a fault and its worker goes on with fresh models. When nobody waits any
//! more, after the last answer was given, the models are made to forget what
//! they saw ([`Sight::overwrite`]).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::error;

use crate::camera::clip::Clip;
use crate::clock::BoxTime;
use crate::heart::Heart;
use crate::verify::session::{self, Ran, Rules};
use crate::verify::subjects::Subjects;
use crate::vision::manifest::Manifest;
use crate::vision::model::ModelError;

use super::config::Config;
use super::eyes::{Sight, Which};
use super::queue::Queue;
use super::supervisor::{VERIFICATION, Watch};

/// One verification's work.
pub struct Job {
    /// How to look.
    pub rules: Rules,
    /// Who may be there.
    pub subjects: Subjects,
    /// With which recognizer.
    pub which: Which,
    /// The window's samples, pinned.
    pub clip: Clip,
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
        sights: Vec<Sight>,
        config: &Config,
        manifest: &Arc<Manifest>,
        watch: &Watch,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(config.decision.queue));
        for (i, sight) in sights.into_iter().enumerate() {
            let (queue, manifest, config) = (Arc::clone(&queue), Arc::clone(manifest), config.clone());
            let heart = watch.worker(i);
            std::thread::Builder::new()
                .name(format!("worker-{i}"))
                .spawn(move || work(sight, &queue, &heart, || Sight::load(&manifest, &config)))?;
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
    mut sight: Sight,
    queue: &Queue<Task>,
    heart: &Heart,
    reload: impl Fn() -> Result<Sight, ModelError>,
) {
    while let Some((job, answer)) = queue.take(heart) {
        heart.allow(VERIFICATION);
        look(&mut sight, job, answer, &reload);
        // Whoever waits comes first; the models forget as soon as nobody does.
        while let Some((job, answer)) = queue.take_waiting() {
            heart.allow(VERIFICATION);
            look(&mut sight, job, answer, &reload);
        }
        forget(&mut sight, &reload);
    }
}

fn look(
    sight: &mut Sight,
    job: Job,
    answer: oneshot::Sender<Option<Ran>>,
    reload: &impl Fn() -> Result<Sight, ModelError>,
) {
    let run = || session::run(sight.with(job.which), job.rules.clone(), &job.subjects, &job.clip, job.moment);
    let ran = match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(ran)) => Some(ran),
        Ok(Err(e)) => {
            error!(error = %e, "a verification failed");
            None
        }
        Err(_) => {
            error!("a verification panicked; its worker loads its models anew");
            // The old ones must not leave with what they saw.
            forget(sight, reload);
            renew(sight, reload);
            None
        }
    };
    #[cfg(feature = "leak")]
    super::leak::look(sight.with(job.which), &job);
    drop(job);
    // Nobody waits any more if the agent is stopping.
    let _ = answer.send(ran);
}

fn renew(sight: &mut Sight, reload: &impl Fn() -> Result<Sight, ModelError>) {
    match reload() {
        Ok(fresh) => *sight = fresh,
        Err(e) => error!(error = %e, "the models cannot be loaded anew"),
    }
}

/// Overwrites what the models keep of the pictures. Models that cannot are let go.
fn forget(sight: &mut Sight, reload: &impl Fn() -> Result<Sight, ModelError>) {
    match catch_unwind(AssertUnwindSafe(|| sight.overwrite())) {
        Ok(Ok(())) => {}
        Ok(Err(e)) => {
            error!(error = %e, "the models could not be made to forget; they are loaded anew");
            renew(sight, reload);
        }
        Err(_) => {
            error!("the models panicked when made to forget; they are loaded anew");
            renew(sight, reload);
        }
    }
}
