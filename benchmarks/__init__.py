"""Speed, measured side by side: `python -m pytest benchmarks --benchmark-only` (or `make bench`)."""
