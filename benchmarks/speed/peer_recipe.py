"""Run the common recipe, one face at a time: OpenCV's detector, InsightFace's crops, ONNX Runtime.

    python peer_recipe.py SETTINGS.json < requests        # folder.py runs this in its own environment

SETTINGS contains ``repository`` (for the heads), ``detector`` and ``embedders`` (file, mean, std). A request
is a line of JSON, ``{"photos": [...], "side": 640 or null}``. The reply is a line of JSON with the seconds of
each part and the number of faces. The first output line lists package versions.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from importlib import metadata
from typing import Any

import cv2
import numpy as np
import onnxruntime
from insightface.model_zoo.arcface_onnx import ArcFaceONNX
from insightface.utils import face_align

# norm_crop calls a deprecated function of scikit-image, which warns at every face.
warnings.simplefilter("ignore", FutureWarning)

PARTS = ("decode", "detect", "align", "networks", "networks on the mirror image", "heads")
THRESHOLD = 0.5


class Recipe:
    def __init__(self, detector: str, embedders: list[dict[str, Any]], heads: Any) -> None:
        self.detector = cv2.FaceDetectorYN.create(detector, "", (320, 320), score_threshold=THRESHOLD)
        self.embedders = []
        for settings in embedders:
            network = ArcFaceONNX(settings["file"])
            network.input_mean, network.input_std = settings["mean"], settings["std"]
            self.embedders.append(network)
        self.heads = heads

    def photo(self, path: str, side: int | None, spent: dict[str, float]) -> int:
        """Add the seconds of each part to ``spent``; return the number of faces."""
        marks = [time.perf_counter()]

        def done(part: str) -> None:
            marks.append(time.perf_counter())
            spent[part] += marks[-1] - marks[-2]

        image = cv2.imread(path)
        done("decode")
        height, width = image.shape[:2]
        scale = min(1.0, side / max(height, width)) if side else 1.0
        resized = cv2.resize(image, (round(width * scale), round(height * scale))) if scale < 1 else image
        self.detector.setInputSize((resized.shape[1], resized.shape[0]))
        faces = self.detector.detect(resized)[1]
        faces = [] if faces is None else faces
        done("detect")
        for face in faces:
            crop = face_align.norm_crop(image, face[4:14].reshape(5, 2) / scale)
            done("align")
            descriptor = np.concatenate([n.get_feat(crop) for n in self.embedders], axis=1)
            done("networks")
            mirrored = np.concatenate([n.get_feat(crop[:, ::-1]) for n in self.embedders], axis=1)
            descriptor = (descriptor + mirrored) / 2
            done("networks on the mirror image")
            self.heads.predict(descriptor)
            done("heads")
        return len(faces)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = json.load(file)
    sys.path.insert(0, settings["repository"])
    from arcage.heads.store import load_heads

    recipe = Recipe(settings["detector"], settings["embedders"], load_heads())
    versions = {name: metadata.version(name) for name in ("insightface", "opencv-python", "numpy")}
    print(json.dumps({**versions, "onnxruntime": onnxruntime.__version__}), flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        spent = dict.fromkeys(PARTS, 0.0)
        faces = sum(recipe.photo(path, request["side"], spent) for path in request["photos"])
        print(json.dumps({"faces": faces, **spent}), flush=True)


if __name__ == "__main__":
    main()
