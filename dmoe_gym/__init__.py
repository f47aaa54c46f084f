"""Gymnasium environments for scheduling mixture-of-experts inference over wireless networks."""
