"""What this package raises for a user's mistake."""


class TrackingError(ValueError):
    """A user's mistake, said in one line: what, which value, what is allowed."""
