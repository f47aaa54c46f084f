"""Schedulers that learn, trained with Stable-Baselines3 from a YAML file: `python -m agents`."""
