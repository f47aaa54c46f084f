"""Single questions about learned schedulers, each a command: `python -m agents.studies.NAME --help`."""
