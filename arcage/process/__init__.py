"""The process that arcage runs in: signals and standard streams."""
