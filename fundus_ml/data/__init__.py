"""The dataset folder: manifest, pixels, splits, and who is the same person."""
