"""Descriptors to predictions: heads that are fitted, calibrated, adapted, stored and exported."""
