"""Heads from caches and labels: fitting, adapting, evaluating, and the files beside the heads."""
