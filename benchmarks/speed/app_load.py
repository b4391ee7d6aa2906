"""Measure the server under load: ``python benchmarks/speed/app_load.py [PHOTO...]``.

Starts ``arcage app`` in a process of its own and sends photos on the loopback interface, one at a time and
many at once. Prints what was answered, the latency, the rate, and the peak memory of the server.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served() -> Iterator[subprocess.Popen[str]]:
    """Run the server, and stop it."""
    command = [sys.executable, "-m", "arcage", "app", "--port", "0", "--device", "cpu"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def ask(port: int, photo: bytes) -> tuple[float, int, int]:
    """Send a photo on a connection of its own; return the seconds, the status and the number of rows."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    try:
        connection.request("POST", "/api/predict", photo)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    finally:
        connection.close()
    return time.perf_counter() - started, answer.status, len(body.get("rows", ()))


def peak(process: subprocess.Popen[str]) -> float:
    """Return the peak memory of the server, MB; 0 where /proc is missing."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return 0.0
    return int(re.findall(r"VmHWM:\s*(\d+)", status)[0]) / 1024


def measure(photos: list[bytes], requests: int, at_once: int) -> str:
    """Return a line of the table."""
    with served() as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2])
        ask(port, photos[0])
        idle = peak(process)
        started = time.perf_counter()
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(lambda i: ask(port, photos[i % len(photos)]), range(requests)))
        seconds = time.perf_counter() - started
        used = peak(process)
    return summary(at_once, answers, seconds, idle, used)


def summary(
    at_once: int, answers: list[tuple[float, int, int]], seconds: float, idle: float, used: float
) -> str:
    """Return a line of the table: latencies are those of the photos that were answered."""
    latency = sorted(1000 * taken for taken, status, _ in answers if status == 200)
    p95 = latency[min(len(latency) - 1, round(0.95 * len(latency)))]
    return (
        f"| {at_once} | {len(latency)} of {len(answers)} | {len(latency) / seconds:.1f} "
        f"| {statistics.median(latency):.0f} | {p95:.0f} | {latency[-1]:.0f} | {idle:.0f} | {used:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="*", default=["examples/astronaut.jpg"])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--at-once", default="1,2,50", help="numbers of requests at once")
    options = parser.parse_args()
    photos = [Path(name).read_bytes() for name in options.photos]
    columns = ["at once", "answered", "photos per second", "median ms", "95 % ms", "slowest ms"]
    columns += ["MB idle", "MB"]
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for at_once in map(int, options.at_once.split(",")):
        print(measure(photos, options.requests, at_once), flush=True)


if __name__ == "__main__":
    main()
