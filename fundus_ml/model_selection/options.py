"""What a user may ask of an average of networks; imports nothing that takes time."""

METHODS = ("uniform", "greedy")
