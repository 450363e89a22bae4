"""AUROCs, means and ratios with intervals that know that two eyes of a person are not two draws."""
