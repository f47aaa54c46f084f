"""Recipes x seeds: trained in parallel, resumed where they stopped, listed with how they ended."""

from agents.sweep.jobs import Job, Outcome, is_finished, jobs_of, seeds_of
from agents.sweep.run import ENGINES, sweep

__all__ = ["ENGINES", "Job", "Outcome", "is_finished", "jobs_of", "seeds_of", "sweep"]
