"""Speed measurements; each prints a ratio."""
