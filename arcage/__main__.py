"""The entry point of ``python -m arcage`` and of the script ``arcage``.

Signal handlers are installed before anything else is imported, so that Ctrl-C prints no traceback.
"""

from __future__ import annotations

from arcage.process import interrupt


def main() -> None:
    """Run the command line."""
    with interrupt.listening():
        try:
            with interrupt.uninterrupted():
                from arcage import cli
            cli.main()
        except KeyboardInterrupt:
            interrupt.leave(interrupt.EXIT_CODE)


if __name__ == "__main__":
    main()
