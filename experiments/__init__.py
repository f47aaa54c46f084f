"""What makes published tables and pictures: every experiment on one runner, `python -m experiments`."""
