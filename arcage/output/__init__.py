"""Predictions as rows, tables and annotated pictures; progress and summaries."""
