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
use crate::verify::roster::{self, Watch as RosterWatch};
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

/// A look at an entrance.
pub struct Glance {
    /// Who is watched for.
    pub watch: Box<RosterWatch>,
    /// The camera's last moments, pinned.
    pub clip: Clip,
}

/// What a look at an entrance gave.
pub struct Looked {
    /// The watch goes on.
    pub watch: Box<RosterWatch>,
    /// The numbers of those who were seen for the first time.
    pub found: Vec<usize>,
    /// Frames that were looked at.
    pub frames: u32,
}

/// The queue is full.
#[derive(Debug)]
pub struct Overload;

/// Work that waits, and who waits for it.
enum Task {
    Verify(Job, oneshot::Sender<Option<Ran>>),
    Glance(Glance, oneshot::Sender<Option<Looked>>),
}

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
        self.queue.put(Task::Verify(job, sender)).map(|()| receiver).map_err(|_| Overload)
    }

    /// Queues a look at an entrance. The answer is `None` if the models failed at it; then
    /// the watch is lost.
    ///
    /// # Errors
    /// The look itself if the queue is full.
    pub fn glance(&self, glance: Glance) -> Result<oneshot::Receiver<Option<Looked>>, Glance> {
        let (sender, receiver) = oneshot::channel();
        match self.queue.put(Task::Glance(glance, sender)) {
            Err(Task::Glance(glance, _)) => Err(glance),
            _ => Ok(receiver),
        }
    }
}

fn work(
    mut sight: Sight,
    queue: &Queue<Task>,
    heart: &Heart,
    reload: impl Fn() -> Result<Sight, ModelError>,
) {
    while let Some(task) = queue.take(heart) {
        heart.allow(VERIFICATION);
        carry_out(&mut sight, task, &reload);
        // Whoever waits comes first; the models forget as soon as nobody does.
        while let Some(task) = queue.take_waiting() {
            heart.allow(VERIFICATION);
            carry_out(&mut sight, task, &reload);
        }
        forget(&mut sight, &reload);
    }
}

fn carry_out(sight: &mut Sight, task: Task, reload: &impl Fn() -> Result<Sight, ModelError>) {
    match task {
        Task::Verify(job, answer) => look(sight, job, answer, reload),
        Task::Glance(Glance { mut watch, clip }, answer) => {
            let work = |sight: &mut Sight| roster::glance(sight.with(Which::Present), &mut watch, &clip);
            let (found, frames) = match unharmed(sight, reload, work) {
                Some(looked) => looked,
                None => return drop(answer.send(None)),
            };
            // Nobody waits any more if the agent is stopping.
            let _ = answer.send(Some(Looked { watch, found, frames }));
        }
    }
}

/// What a piece of work gave; nothing if the models failed at it.
fn unharmed<R>(
    sight: &mut Sight,
    reload: &impl Fn() -> Result<Sight, ModelError>,
    work: impl FnOnce(&mut Sight) -> Result<R, ModelError>,
) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(|| work(sight))) {
        Ok(Ok(done)) => Some(done),
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
    }
}

fn look(
    sight: &mut Sight,
    job: Job,
    answer: oneshot::Sender<Option<Ran>>,
    reload: &impl Fn() -> Result<Sight, ModelError>,
) {
    let ran = unharmed(sight, reload, |sight| {
        session::run(sight.with(job.which), job.rules.clone(), &job.subjects, &job.clip, job.moment)
    });
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
