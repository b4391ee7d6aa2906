"""Labels from file names and tables, joined with the descriptors of a cache."""
