"""Fixtures of labelled images on disk."""

from projects import project, ready, run  # noqa: F401
