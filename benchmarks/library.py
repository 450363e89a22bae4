"""The library `robustness` on any device: it asks every tensor for its place on a GPU."""

from torch import Tensor


class StaysHere(Tensor):
    """A tensor whose ``.cuda()`` is a plain one where it is."""

    def cuda(self) -> Tensor:  # type: ignore[override]
        """Return the plain tensor."""
        return self.as_subclass(Tensor)
