"""Analytic schedulers: what a batch of observations lets one decide."""
