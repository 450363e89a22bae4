"""The science: fundus photographs to classifiers to measured modulation. Values in, values out."""
