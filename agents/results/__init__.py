"""Results: run folders and analytic evaluations, collected into one store, shown as tables and plots."""
