//! Pictures, streams of them, and models.

use counterproof::camera::replay::split_mjpeg;
use counterproof::camera::{decode, pictures};
use counterproof::clock::BoxTime;
use counterproof::frame::{Codec, Frame, Sample};
use counterproof::vision::manifest::Step;
use counterproof::vision::prepare::prepare;

use super::{choose, refused};

/// A camera's JPEG picture and a still photograph for enrolment. Both decoders
/// get the same bytes: a JPEG that the agent would refuse is not enrolled.
pub fn picture(data: &[u8]) -> bool {
    let jpeg = match pictures::alone(&Sample::new(BoxTime::from_millis(0), Codec::Jpeg, data.to_vec())) {
        Ok(frame) => {
            // A block of 8 x 8 pixels takes at least a bit.
            assert!(frame.rgb().len() / 3 <= 512 * data.len(), "{} bytes became a huge picture", data.len());
            Some(checked(&frame))
        }
        Err(e) => {
            refused(e, data.len());
            None
        }
    };
    let still = match decode::still(data) {
        Ok(frame) => Some(checked(&frame)),
        Err(e) => {
            refused(e, data.len());
            None
        }
    };
    if let (None, Some(size), true) = (jpeg, still, data.starts_with(&[0xff, 0xd8])) {
        panic!("a JPEG of {size:?} that the camera's decoder refuses was read as a still");
    }
    jpeg.or(still).is_some()
}

fn checked(frame: &Frame) -> (u32, u32) {
    let (w, h) = (frame.width(), frame.height());
    assert!(w.max(h) as usize <= decode::MAX_SIDE, "{w}x{h}");
    assert_eq!(frame.rgb().len(), w as usize * h as usize * 3);
    (w, h)
}

/// A stream is cut into pictures that stand in it one after the other.
pub fn mjpeg(data: &[u8]) -> bool {
    let pictures = split_mjpeg(data);
    let mut rest = data;
    for picture in &pictures {
        assert!(picture.starts_with(&[0xff, 0xd8, 0xff]) && picture.ends_with(&[0xff, 0xd9]));
        let at = rest.windows(picture.len()).position(|w| w == picture).expect("a picture that was not sent");
        rest = &rest[at + picture.len()..];
    }
    !pictures.is_empty()
}

/// Preparing a model: the first byte chooses the steps. A step that was done is
/// done: doing it again at once changes nothing, or is refused. (PReLUs that
/// cannot be folded at first may be once others are.)
pub fn onnx(data: &[u8]) -> bool {
    let Some((choice, data)) = choose(data, 1 << Step::ALL.len()) else { return false };
    let chosen =
        Step::ALL.into_iter().enumerate().filter(|(i, _)| choice >> i & 1 == 1).map(|(_, step)| step);
    let steps: Vec<Step> = chosen.collect();
    for step in &steps {
        let alone = std::slice::from_ref(step);
        let Ok(once) = prepare(data, alone) else { continue };
        let twice = prepare(&once, alone);
        match step {
            Step::FoldPrelu => {}
            Step::MergeHeads | Step::EightBitHead => assert!(twice.is_err(), "{step:?} was done twice"),
            Step::FreeSize | Step::DropWeightInputs | Step::SplitPrelu => {
                assert_eq!(twice.as_ref(), Ok(&once), "{step:?} twice gave something else");
            }
        }
    }
    match prepare(data, &steps) {
        Ok(_) => !steps.is_empty(),
        Err(e) => refused(e, data.len()),
    }
}
