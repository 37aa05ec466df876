//! What a verification costs, by step: CPU time of the calling thread.
//!
//! Read from the kernel's thread clock around each step (under a microsecond a
//! reading), so that it counts work and not waiting.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A step from sample to score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// JPEG to RGB.
    Decode,
    /// Scaling and reordering for the detector.
    DetectInput,
    /// The detector's inference.
    DetectInference,
    /// Reading its output.
    DetectOutput,
    /// Turning and scaling a face.
    Align,
    /// Judging a face.
    Quality,
    /// Reordering for the recognizer.
    EmbedInput,
    /// The recognizer's inference.
    EmbedInference,
    /// Cutting and scaling for the liveness model.
    LivenessInput,
    /// The liveness model's inference.
    LivenessInference,
    /// Following faces, comparing, deciding.
    Decide,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Self; 11] = [
        Self::Decode,
        Self::DetectInput,
        Self::DetectInference,
        Self::DetectOutput,
        Self::Align,
        Self::Quality,
        Self::EmbedInput,
        Self::EmbedInference,
        Self::LivenessInput,
        Self::LivenessInference,
        Self::Decide,
    ];

    /// Its name in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::DetectInput => "detect_input",
            Self::DetectInference => "detect_inference",
            Self::DetectOutput => "detect_output",
            Self::Align => "align",
            Self::Quality => "quality",
            Self::EmbedInput => "embed_input",
            Self::EmbedInference => "embed_inference",
            Self::LivenessInput => "liveness_input",
            Self::LivenessInference => "liveness_inference",
            Self::Decide => "decide",
        }
    }

    /// Whether it is a model's inference.
    pub const fn is_inference(self) -> bool {
        matches!(self, Self::DetectInference | Self::EmbedInference | Self::LivenessInference)
    }
}

/// CPU time and number of runs by step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Costs([(Duration, u32); Step::ALL.len()]);

impl Costs {
    /// Runs `f` and adds its CPU time to the step.
    pub fn measure<R>(&mut self, step: Step, f: impl FnOnce() -> R) -> R {
        let before = thread_cpu();
        let out = f();
        let slot = &mut self.0[step as usize];
        slot.0 += thread_cpu().saturating_sub(before);
        slot.1 += 1;
        out
    }

    /// CPU time of a step, and how often it ran.
    pub fn of(&self, step: Step) -> (Duration, u32) {
        self.0[step as usize]
    }

    /// CPU time of all steps.
    pub fn total(&self) -> Duration {
        self.0.iter().map(|s| s.0).sum()
    }

    /// What was spent, beginning again at zero.
    pub fn take(&mut self) -> Self {
        std::mem::take(self)
    }
}

/// CPU time of the calling thread so far.
pub fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// Processor time of this process so far, all its threads together.
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let t = clock_gettime(clock);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}
