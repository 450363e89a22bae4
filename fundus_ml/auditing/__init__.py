"""The audit of a dataset: what could tell the sexes apart without looking at the eye."""
