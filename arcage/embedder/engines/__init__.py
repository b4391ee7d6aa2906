"""Engines: the runtimes and devices that run networks."""
