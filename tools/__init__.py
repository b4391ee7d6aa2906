"""Tools for the development of arcage."""
