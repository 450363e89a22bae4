"""Releases of fundus photographs, each turned into rows and a way to load their photographs."""
