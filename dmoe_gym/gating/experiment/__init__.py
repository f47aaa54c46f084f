"""The accuracy experiment: every gate, transmission and seed, its tables and its plots."""
