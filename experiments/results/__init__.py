"""Learned schedulers beside analytic ones and bounds: `results/` is collected, then shown."""
