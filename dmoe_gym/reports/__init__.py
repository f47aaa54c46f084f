"""Reports of a group of runs: a table, plots, Markdown."""

from dmoe_gym.reports.report import write_report

__all__ = ["write_report"]
