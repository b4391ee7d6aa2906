"""The entry point of ``python -m arcage`` and of the script ``arcage``.

Signal handlers are installed before anything large is imported, so that Ctrl-C prints no traceback.
"""

from __future__ import annotations

from arcage.process import interrupt
from arcage.process.memory import share_heap


def main() -> None:
    """Run the command line."""
    with interrupt.handle_signals():
        try:
            with interrupt.uninterrupted():
                share_heap()
                from arcage import cli
            cli.main()
        except KeyboardInterrupt:
            interrupt.exit_now(interrupt.EXIT_CODE)


if __name__ == "__main__":
    main()
