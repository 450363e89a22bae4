"""From several versions one: comparison on the same eyes, promotion, weight averaging."""
