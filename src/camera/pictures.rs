//! The pictures of a clip, decoded when they are asked for.
//!
//! A JPEG picture is decoded alone. An H.264 picture is decoded from its key
//! picture on: whoever asks for one pays for those before it in its group, and
//! the wanted ones among them are kept until they are asked for. Pictures that
//! nobody wants and that nothing is drawn upon are passed over. No unit is
//! decoded twice, whatever the order of asking.

use std::collections::{BTreeMap, BTreeSet};

use yuv::{YuvPlanarImage, YuvRange, YuvStandardMatrix};

use crate::frame::{AccessUnit, Codec, Frame, Kind, Sample};

use super::clip::Clip;
use super::error::DecodeError;
use super::h264::{Decoded, GroupDecoder, I420, Take};
use super::{decode, yuyv};

/// Reads the wanted pictures of a clip.
pub struct Pictures<'a> {
    clip: &'a Clip,
    /// By place among all of the clip's samples, as everything here.
    wanted: BTreeSet<usize>,
    kept: BTreeMap<usize, I420>,
    group: Option<Group>,
    /// Groups of which nothing more will come, by their key picture.
    done: BTreeSet<usize>,
    broken: Option<String>,
}

/// The group that is being decoded.
struct Group {
    decoder: GroupDecoder,
    key: usize,
    /// The next sample to feed.
    next: usize,
    /// The first sample that is not of the group.
    end: usize,
    /// Samples by their place in the order of display.
    places: BTreeMap<i64, usize>,
}

impl<'a> Pictures<'a> {
    /// Of these samples of the clip's window, by place in [`Clip::samples`].
    pub fn of(clip: &'a Clip, wanted: impl IntoIterator<Item = usize>) -> Self {
        let lead = clip.all().1;
        Self {
            clip,
            wanted: wanted.into_iter().map(|i| i + lead).collect(),
            kept: BTreeMap::new(),
            group: None,
            done: BTreeSet::new(),
            broken: None,
        }
    }

    /// One of the wanted pictures, by its place in [`Clip::samples`]. Each is
    /// given once.
    ///
    /// # Errors
    /// If it, or one that it is drawn upon, is missing or cannot be decoded.
    pub fn frame(&mut self, i: usize) -> Result<Frame, DecodeError> {
        let (samples, lead) = self.clip.all();
        let i = i + lead;
        let sample = samples.get(i).ok_or_else(missing)?;
        if unit(sample).is_none() {
            return alone(sample);
        }
        self.decode_to(i)?;
        let picture = self.kept.remove(&i).ok_or_else(|| match &self.broken {
            Some(reason) => DecodeError::H264 { reason: reason.clone() },
            None => missing(),
        })?;
        rgb(&picture)
    }

    fn decode_to(&mut self, i: usize) -> Result<(), DecodeError> {
        let samples = self.clip.all().0;
        let key = samples.get(..=i).and_then(|s| s.iter().rposition(|s| s.stands_alone()));
        let key = key.ok_or_else(missing)?;
        if self.group.as_ref().is_none_or(|g| g.key != key) {
            self.leave();
            if self.kept.contains_key(&i) || self.done.contains(&key) {
                return Ok(());
            }
            self.enter(key)?;
        }
        while !self.kept.contains_key(&i) {
            if !self.feed() {
                self.leave();
                break;
            }
        }
        Ok(())
    }

    fn enter(&mut self, key: usize) -> Result<(), DecodeError> {
        let samples = self.clip.all().0;
        let length = samples.iter().skip(key + 1).take_while(|s| !s.stands_alone()).count();
        let end = key + 1 + length;
        let places = (key..end).filter_map(|i| Some((unit(samples.get(i)?)?.ticks, i))).collect();
        self.group = Some(Group { decoder: GroupDecoder::new()?, key, next: key, end, places });
        Ok(())
    }

    /// Decodes what is still wanted of the group in hand, and leaves it.
    fn leave(&mut self) {
        let Some((key, end)) = self.group.as_ref().map(|g| (g.key, g.end)) else { return };
        let last = self.wanted.range(key..end).next_back().copied();
        while last.is_some_and(|last| self.group.as_ref().is_some_and(|g| g.next <= last)) && self.feed() {}
        if let Some(Group { decoder, places, .. }) = self.group.take() {
            decoder.finish(&mut Keep { places: &places, wanted: &self.wanted, kept: &mut self.kept });
        }
        self.done.insert(key);
    }

    /// Feeds the group's next sample; `false` at its end.
    fn feed(&mut self) -> bool {
        let Some(group) = &mut self.group else { return false };
        let i = group.next;
        let Some(sample) = self.clip.all().0.get(i).filter(|_| i < group.end) else { return false };
        let Some(unit) = unit(sample) else { return false };
        group.next += 1;
        if i > group.key && sample.after_loss() {
            group.decoder.missing();
        }
        if unit.kind == Kind::Disposable && !self.wanted.contains(&i) {
            return true;
        }
        let mut keep = Keep { places: &group.places, wanted: &self.wanted, kept: &mut self.kept };
        match group.decoder.feed(sample.bytes(), unit, &mut keep) {
            Ok(()) => true,
            Err(e) => {
                self.broken = Some(e.to_string());
                false
            }
        }
    }
}

/// Keeps the wanted pictures that come out of the decoder.
struct Keep<'a> {
    places: &'a BTreeMap<i64, usize>,
    wanted: &'a BTreeSet<usize>,
    kept: &'a mut BTreeMap<usize, I420>,
}

impl Take for Keep<'_> {
    fn take(&mut self, ticks: i64, picture: Decoded<'_>) {
        let place = self.places.get(&ticks).filter(|i| self.wanted.contains(i));
        if let (Some(i), Some(picture)) = (place, place.and_then(|_| picture.copy())) {
            self.kept.insert(*i, picture);
        }
    }
}

/// Decodes a sample that stands alone.
///
/// # Errors
/// [`DecodeError`] if it does not, is cut short or not what the camera said.
pub fn alone(sample: &Sample) -> Result<Frame, DecodeError> {
    match sample.codec() {
        Codec::Jpeg => decode::jpeg(sample.bytes()),
        Codec::H264(unit) => key(sample.bytes(), unit),
        Codec::Yuyv { width, height, stride } => yuyv::rgb(sample.bytes(), width, height, stride),
    }
}

fn key(bytes: &[u8], unit: AccessUnit) -> Result<Frame, DecodeError> {
    struct First(Option<I420>);
    impl Take for First {
        fn take(&mut self, _: i64, picture: Decoded<'_>) {
            self.0 = self.0.take().or_else(|| picture.copy());
        }
    }
    if unit.kind != Kind::Key {
        return Err(missing());
    }
    let (mut decoder, mut first) = (GroupDecoder::new()?, First(None));
    decoder.feed(bytes, unit, &mut first)?;
    decoder.finish(&mut first);
    rgb(&first.0.ok_or_else(|| DecodeError::H264 { reason: "nothing came out of the decoder".into() })?)
}

fn unit(sample: &Sample) -> Option<AccessUnit> {
    match sample.codec() {
        Codec::H264(unit) => Some(unit),
        Codec::Jpeg | Codec::Yuyv { .. } => None,
    }
}

fn missing() -> DecodeError {
    DecodeError::H264 { reason: "its key picture is not there".into() }
}

/// By the stream's own word on its colours; where it says nothing, by what players
/// assume: BT.709 from 720 rows on, BT.601 below.
fn rgb(picture: &I420) -> Result<Frame, DecodeError> {
    let bad = |reason: String| DecodeError::H264 { reason };
    let (y, u, v) = picture.planes();
    let (width, height) = (picture.width as u32, picture.height as u32);
    let image = YuvPlanarImage {
        y_plane: y,
        y_stride: width,
        u_plane: u,
        u_stride: width.div_ceil(2),
        v_plane: v,
        v_stride: width.div_ceil(2),
        width,
        height,
    };
    let mut out = vec![0; picture.width * picture.height * 3];
    let matrix = match picture.colours.bt601.unwrap_or(height < 720) {
        true => YuvStandardMatrix::Bt601,
        false => YuvStandardMatrix::Bt709,
    };
    let range = if picture.colours.full_range { YuvRange::Full } else { YuvRange::Limited };
    yuv::yuv420_to_rgb(&image, &mut out, width * 3, range, matrix).map_err(|e| bad(e.to_string()))?;
    Frame::from_rgb(width, height, out).map_err(|e| bad(e.to_string()))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, OnceLock};

    use openh264::encoder::Encoder;
    use openh264::formats::YUVBuffer;
    use proptest::prelude::*;

    use super::*;
    use crate::camera::h264::kind;
    use crate::clock::BoxTime;

    const SIZE: (usize, usize) = (64, 48);
    /// Pictures of a group.
    const GROUP: usize = 8;

    /// Two groups of grey pictures, each a step lighter than the one before.
    fn stream() -> &'static [Vec<u8>] {
        static STREAM: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
        STREAM.get_or_init(|| {
            let mut encoder = Encoder::new().unwrap();
            let picture = |n: usize| {
                let (luma, chroma) = (SIZE.0 * SIZE.1, SIZE.0 * SIZE.1 / 2);
                let planes = [vec![(40 + 10 * n) as u8; luma], vec![128; chroma]].concat();
                YUVBuffer::from_vec(planes, SIZE.0, SIZE.1)
            };
            let encode = |n: usize| {
                if n.is_multiple_of(GROUP) {
                    encoder.force_intra_frame();
                }
                encoder.encode(&picture(n)).unwrap().to_vec()
            };
            (0..2 * GROUP).map(encode).collect()
        })
    }

    fn clip<'a>(units: impl IntoIterator<Item = (i64, &'a [u8])>) -> Clip {
        let sample = |(n, (ticks, bytes)): (usize, (i64, &[u8]))| {
            let kind = kind(bytes).unwrap_or(Kind::Reference);
            let codec = Codec::H264(AccessUnit { kind, ticks });
            Arc::new(Sample::new(BoxTime::from_millis(n as u64 * 66), codec, bytes.to_vec()))
        };
        Clip::of(units.into_iter().enumerate().map(sample).collect())
    }

    fn in_order(units: &[Vec<u8>]) -> Clip {
        clip(units.iter().enumerate().map(|(n, u)| (n as i64, &u[..])))
    }

    fn step(frame: &Frame) -> usize {
        // Luma 16 is black: a step of 10 becomes one of 11.6.
        ((f32::from(frame.rgb()[0]) / 1.164 + 16.0 - 40.0) / 10.0).round() as usize
    }

    #[test]
    fn pictures_come_in_any_order_of_asking_and_once() {
        let clip = in_order(stream());
        let order = [9, 3, 12, 0, 7, 8, 15];
        let mut pictures = Pictures::of(&clip, order);
        let steps: Vec<usize> = order.iter().map(|i| step(&pictures.frame(*i).unwrap())).collect();
        assert_eq!(steps, order);
        assert!(pictures.frame(9).is_err());
        assert!(pictures.frame(99).is_err());
    }

    #[test]
    fn without_its_key_picture_or_after_a_loss_nothing_comes() {
        let units = stream();
        let orphans = in_order(&units[1..GROUP]);
        assert!(Pictures::of(&orphans, [0]).frame(0).is_err());
        let holed: Vec<Arc<Sample>> = in_order(units)
            .samples()
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != 3)
            .map(|(i, s)| {
                let copy = Sample::new(s.at(), s.codec(), s.bytes().to_vec());
                Arc::new(copy.with_loss(i == 4))
            })
            .collect();
        let clip = Clip::of(holed);
        let mut pictures = Pictures::of(&clip, 0..2 * GROUP - 1);
        let whole: Vec<bool> = (0..2 * GROUP - 1).map(|i| pictures.frame(i).is_ok()).collect();
        // The loss is before the fourth; the next group is whole again.
        assert_eq!(whole.iter().position(|w| !w), Some(3));
        assert!(whole[3..7].iter().all(|w| !w) && whole[7..].iter().all(|w| *w), "{whole:?}");
    }

    #[test]
    fn time_stamps_that_go_backwards_lose_nothing() {
        let units = stream();
        let clip = clip(units.iter().enumerate().map(|(n, u)| (-(n as i64), &u[..])));
        let mut pictures = Pictures::of(&clip, 0..units.len());
        assert_eq!((0..units.len()).filter(|i| pictures.frame(*i).is_ok()).count(), units.len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn changed_bytes_end_nothing(unit in 0..2 * GROUP, at in any::<proptest::sample::Index>(), with in any::<u8>(), cut in any::<bool>()) {
            let mut units = stream().to_vec();
            let bytes = &mut units[unit];
            let at = at.index(bytes.len());
            if cut { bytes.truncate(at) } else { bytes[at] = with }
            let clip = in_order(&units);
            let mut pictures = Pictures::of(&clip, 0..units.len());
            for i in 0..units.len() {
                let _ = pictures.frame(i);
            }
        }
    }
}
