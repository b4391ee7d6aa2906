"""How large the errors of heads are: metrics, confidence intervals and comparisons."""
