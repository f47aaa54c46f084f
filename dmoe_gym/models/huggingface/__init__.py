"""Any mixture-of-experts causal language model in a local folder, asked what a file of prompts says."""
