"""Studies: several models on the same rows, trained, measured, written down and drawn."""
