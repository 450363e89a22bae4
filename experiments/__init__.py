"""The runs anyone can start: one short module per entry point, named as in MLproject."""
