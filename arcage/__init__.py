"""Age and gender from face photos."""

__version__ = "0.1.0"
