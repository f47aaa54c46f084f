"""The analytic schedulers and bounds as one command: `python -m baselines`."""
