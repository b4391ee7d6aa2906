"""Strict readers of file formats. They bound sizes before they take memory, and raise only ValueError."""
