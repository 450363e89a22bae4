"""Releases of fundus photographs, each made into rows and a way to load their photographs."""
