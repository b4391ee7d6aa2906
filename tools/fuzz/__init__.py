"""Try arcage on hostile and damaged input: ``python -m tools.fuzz NAME...``."""
