"""`ChannelAwareGating-v0`."""
