"""Makes opencv_vectors.json: the embeddings that OpenCV's own face pipeline
(FaceDetectorYN, FaceRecognizerSF) gives for the manifest's sample portraits,
with the manifest's model files. tests/it/opencv.rs holds ours against them.

    pip install opencv-python-headless
    python tests/data/opencv_vectors.py models/files > tests/data/opencv_vectors.json

A picture whose longer side is above 640 pixels is first reduced by averaging
whole blocks of pixels, in both pipelines. Without that the comparison would be
one of resizing filters: OpenCV cuts a face out of a large picture without
smoothing, and agrees with itself by 0.96 to 0.99 only when the filter before
the detector is another.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

LONG_SIDE = 640


def embedding(path, detector, recognizer):
    """Unit-length embedding of the surest face, or None."""
    picture = cv2.imread(str(path))
    height, width = picture.shape[:2]
    block = -(-max(width, height) // LONG_SIDE)
    picture = picture[: height // block * block, : width // block * block]
    size = (width // block, height // block)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    detector.setInputSize(size)
    faces = detector.detect(picture)[1]
    if faces is None:
        return None
    face = max(faces, key=lambda f: f[14])
    vector = recognizer.feature(recognizer.alignCrop(picture, face)).flatten()
    return vector / np.linalg.norm(vector)


def models(folder):
    detector = cv2.FaceDetectorYN.create(
        str(folder / "face_detection_yunet_2023mar.onnx"), "", (320, 320), 0.6, 0.3, 5000
    )
    recognizer = cv2.FaceRecognizerSF.create(str(folder / "face_recognition_sface_2021dec.onnx"), "")
    return detector, recognizer


def main():
    folder = Path(sys.argv[1])
    both = models(folder)
    vectors = {
        path.stem: [round(float(v), 6) for v in embedding(path, *both)]
        for path in sorted(folder.glob("portrait-*.jpg"))
    }
    json.dump({"made_with": f"OpenCV {cv2.__version__}", "by": "opencv_vectors.py", "vectors": vectors}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
