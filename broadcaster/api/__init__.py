"""The network edge: one HTTP exchange at a time. Knows nothing of batches, plans or files."""
