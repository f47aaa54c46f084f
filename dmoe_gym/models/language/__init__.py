"""The project's own language model: generated queries with exact answers, and a small Mixtral trained on them."""
