"""Pictures and text of an episode."""
