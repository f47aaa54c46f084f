"""Channel-aware gating: the accuracy experiment, its tuning, and the networks that the package ships."""
