"""Schedulers of a block: bandwidth, experts, both together, the exact optimum and a bound."""
