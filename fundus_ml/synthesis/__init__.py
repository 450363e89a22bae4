"""Invented eyes: a population whose sexes differ in one known place, and its photographs."""
