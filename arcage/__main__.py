"""``python -m arcage``."""

from arcage.cli import main

main()
