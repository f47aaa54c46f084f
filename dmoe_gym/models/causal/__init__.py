"""Mixture-of-experts causal language models of transformers, opened between a layer's gate and its experts.

`layers` runs them, `process` puts them in the loop of an environment. Imports torch and transformers; what does not
need them is kept outside.
"""
