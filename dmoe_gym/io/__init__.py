"""Files, model files, provenance, and what commands share."""
