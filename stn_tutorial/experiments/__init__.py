"""The experiments: what is trained, on what, and where the results are kept."""
