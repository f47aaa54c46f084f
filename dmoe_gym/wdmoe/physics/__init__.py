"""The WDMoE system itself: blocks, allocations, what they cost and what is valid."""
