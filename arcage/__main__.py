"""The entry point of ``python -m arcage`` and of the script ``arcage``.

Signal handlers are installed before anything else is imported, so that Ctrl-C prints no traceback.
"""

from __future__ import annotations

from arcage.process import interrupt


def main() -> None:
    """Run the command line."""
    with interrupt.handle_signals():
        try:
            with interrupt.uninterrupted():
                from arcage import cli
            cli.main()
        except KeyboardInterrupt:
            interrupt.exit_now(interrupt.EXIT_CODE)


if __name__ == "__main__":
    main()
