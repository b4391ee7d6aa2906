"""Run campaigns: ``python -m tools.fuzz NAME...``, with ``all`` for every one."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tools.fuzz import watch
from tools.fuzz.campaign import campaigns

ENDLESS = 10**12
"""Number of cases if only the time is limited."""
COLUMNS = ("tried", "answered", "refused", "failed", *watch.FAILURES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaigns that are named, print a table, and return the exit code: 1 if anything failed."""
    known = campaigns()
    options = _parser(list(known)).parse_args(arguments)
    names = list(known) if "all" in options.names else list(dict.fromkeys(options.names))
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    print(_line("campaign", [*COLUMNS, "seconds"]), flush=True)
    failed, kept = False, None
    for place, name in enumerate(names):
        # Each campaign gets the same share of what is left.
        now = time.monotonic()
        deadline = now + (end - now) / (len(names) - place)
        try:
            tally = watch.run(
                known[name], options.seed, _numbers(options), jobs=options.jobs, deadline=deadline
            )
        except watch.CannotStartError as error:
            print(error, flush=True)
            failed = True
            continue
        print(_line(name, _cells(tally)), flush=True)
        # A campaign that had no time to try anything proves nothing.
        failed |= tally.failed > 0 or tally.tried == 0
        if tally.failures:
            kept = kept or Path(tempfile.mkdtemp(prefix="arcage-fuzz-"))
            watch.keep(known[name], options.seed, tally, kept)
            _show(name, options.seed, tally, everything=options.only is not None)
    if kept:
        print(f"failed cases: {kept}")
    return int(failed)


def _parser(names: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("names", nargs="+", choices=[*names, "all"], metavar="NAME", help=", ".join(names))
    parser.add_argument("--seed", type=int, default=0, help="with its number, determines a case (default: 0)")
    parser.add_argument("--count", type=int, help="number of cases of each campaign (default: 1000)")
    parser.add_argument("--seconds", type=float, help="time for all campaigns together, instead of --count")
    parser.add_argument("--only", type=int, metavar="K", help="only the case with this number")
    parser.add_argument("--jobs", type=int, default=1, help="number of worker processes (default: 1)")
    return parser


def _numbers(options: argparse.Namespace) -> range:
    if options.only is not None:
        return range(options.only, options.only + 1)
    return range(options.count or (ENDLESS if options.seconds else 1000))


def _cells(tally: watch.Tally) -> list[str]:
    counts = [tally.tried, tally.counts["answered"], tally.counts["refused"], tally.failed]
    counts += [tally.counts[kind] for kind in watch.FAILURES]
    return [*(f"{count:,}" for count in counts), f"{tally.seconds:.0f}"]


def _line(name: str, cells: Sequence[str]) -> str:
    return f"{name:<14}" + "".join(f"{cell:>10}" for cell in cells)


def _show(name: str, seed: int, tally: watch.Tally, *, everything: bool) -> None:
    for number, reply in tally.failures:
        summary, _, rest = reply.text.strip().partition("\n")
        print(f"  {reply.outcome}: {summary:.200}\n    {watch.repeat(name, seed, number)}")
        if everything:
            print(rest)


if __name__ == "__main__":
    sys.exit(main())
