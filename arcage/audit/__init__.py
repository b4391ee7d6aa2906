"""Find problems in a set of labels: errors, duplicates and age heaping."""
