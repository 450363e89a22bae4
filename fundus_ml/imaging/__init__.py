"""From a camera's frame to a square eye and its anatomy."""
