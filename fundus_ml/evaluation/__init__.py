"""What a classifier is worth: predictions, metrics with intervals, calibration, subgroups."""
