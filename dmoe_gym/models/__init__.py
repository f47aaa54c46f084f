"""Real models in the loop."""
