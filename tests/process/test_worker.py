from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any, BinaryIO

import pytest

from arcage.process.worker import LENGTHS, frame, write_frame

START = "import sys; sys.path[:] = sys.argv[1:]; from arcage.process.worker import serve; serve()"


def frames(data: bytes) -> list[tuple[Any, bytes]]:
    found = []
    while data:
        header, body = LENGTHS.unpack_from(data)
        text, data = data[LENGTHS.size :][:header], data[LENGTHS.size + header :]
        found.append((json.loads(text), data[:body]))
        data = data[body:]
    return found


def serve(data: bytes) -> tuple[int, list[tuple[Any, bytes]]]:
    """Return the exit code and the replies of a worker to some requests."""
    done = subprocess.run([sys.executable, "-c", START, *sys.path], input=data, capture_output=True)
    assert done.stderr == b""
    return done.returncode, frames(done.stdout)


def request(job: str, args: Any, payload: bytes = b"", **more: Any) -> bytes:
    return b"".join(frame({"job": job, "args": args, "memory": 1 << 30, "seconds": 5, **more}, payload))


def test_a_worker_runs_jobs_until_its_input_ends() -> None:
    code, replies = serve(
        request("cell_jobs:count", {"replies": 2}) + request("cell_jobs:echo", {"a": 1}, b"payload")
    )
    assert code == 0
    assert [header for header, _ in replies[:4]] == [
        {"ready": True},
        {"reply": {"number": 0}},
        {"reply": {"number": 1}},
        {"end": True, "leaves": False},
    ]
    assert replies[4][0] == {"ready": True}
    assert replies[5][0]["reply"]["args"] == {"a": 1}
    assert [body for _, body in replies] == [b"", b"", b"\1", b"", b"", b"payload", b""]


@pytest.mark.parametrize(
    ("job", "args", "last"),
    [
        ("cell_jobs:fail", {}, {"failed": "ValueError: not a picture"}),
        (
            "cell_jobs:missing",
            {},
            {"failed": "AttributeError: module 'cell_jobs' has no attribute 'missing'"},
        ),
        ("nowhere:job", {}, {"failed": "ModuleNotFoundError: No module named 'nowhere'"}),
        ("cell_jobs:allocate", {"bytes": 1 << 62}, {"memory": True}),
    ],
)
def test_a_worker_ends_after_a_job_that_failed(job: str, args: Any, last: Any) -> None:
    code, replies = serve(request(job, args) + request("cell_jobs:echo", {}))
    assert code == 0
    assert replies[-1] == (last, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="limits need Linux")
def test_a_worker_limits_itself() -> None:
    _, replies = serve(request("cell_jobs:limits", {}, memory=1 << 28, seconds=3))
    limits = replies[1][0]["reply"]
    assert limits["core"] == 0
    assert 1 << 28 < limits["memory"] < 1 << 30
    assert 3 < limits["processor"] <= 3 * (os.cpu_count() or 1) + 4
    assert limits["first to end"]


def test_a_worker_ends_without_a_message_if_nobody_reads_its_replies() -> None:
    receive, send = os.pipe()
    os.close(receive)
    done = subprocess.run(
        [sys.executable, "-c", START, *sys.path],
        input=request("cell_jobs:flood", {}),
        stdout=send,
        stderr=subprocess.PIPE,
        timeout=20,
    )
    os.close(send)
    assert (done.returncode, done.stderr) == (0, b"")


def test_frames_are_written_to_files_that_accept_a_part_at_a_time() -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:3])

    file: BinaryIO = Slow()
    write_frame(file, {"a": "ü"}, memoryview(b"0123456789").cast("B"))
    assert file.getvalue() == b"".join(frame({"a": "ü"}, b"0123456789"))  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="not JSON compliant"):
        frame({"a": float("nan")})
