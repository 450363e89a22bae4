"""Walk the lineage from anything to anything: photograph, dataset, run, version, picture."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from tracking.neighbours import Kind, Neighbours, Node, find_node
from tracking.stores import open_tracking

MOST_NODES = 2000
"""Nodes in one direction after which a walk stops and says so."""


@dataclass(frozen=True)
class Reached:
    """A node on a walk.

    Attributes:
        node: What was reached.
        steps: How far it lies from the start.
        through: The node it was reached from.
    """

    node: Node
    steps: int
    through: Node


@dataclass(frozen=True)
class Trace:
    """Everything that one thing came from, and everything that came from it.

    Attributes:
        start: Where the walk began.
        up: What it was made from, the nearest first.
        down: What was made from it, the nearest first.
        cut: Whether a walk stopped at :data:`MOST_NODES`.
    """

    start: Node
    up: tuple[Reached, ...]
    down: tuple[Reached, ...]
    cut: bool = False

    def names(self, kind: Kind, *, direction: Literal["up", "down"]) -> list[str]:
        """Name everything of one kind in one direction."""
        reached = self.up if direction == "up" else self.down
        return [each.node.name for each in reached if each.node.kind == kind]

    def table(self) -> pd.DataFrame:
        """One row per node: ``direction steps kind name words through``."""
        rows = [
            {
                "direction": direction,
                "steps": each.steps,
                "kind": each.node.kind,
                "name": each.node.name,
                "words": each.node.words,
                "through": each.through.name,
            }
            for direction, reached in (("up", self.up), ("down", self.down))
            for each in reached
        ]
        columns = ["direction", "steps", "kind", "name", "words", "through"]
        return pd.DataFrame(rows, columns=columns)


def trace(thing: str | Path) -> Trace:
    """Walk up to what a thing was made from, and down to what was made from it.

    Args:
        thing: Address or file of a modulation picture; ``models:/name/3`` or
            ``models:/name@alias``; the digest of a dataset (12 or more digits); the id of a run; or
            the id of a photograph that was scored or modulated.

    Raises:
        TrackingError: It is none of these, or not in this store.
    """
    open_tracking()
    one_step = Neighbours()
    start = find_node(str(thing), one_step)
    up, cut_up = _walk(start, one_step.above)
    down, cut_down = _walk(start, one_step.below)
    return Trace(start, up, down, cut=cut_up or cut_down)


def _walk(
    start: Node, neighbours: Callable[[Node], Iterator[Node]]
) -> tuple[tuple[Reached, ...], bool]:
    """Go breadth first; tell whether it stopped early."""
    found: dict[Node, Reached] = {}
    waiting = deque([(start, 0)])
    while waiting:
        node, steps = waiting.popleft()
        for nearest in neighbours(node):
            if nearest == start or nearest in found:
                continue
            if len(found) == MOST_NODES:
                return tuple(found.values()), True
            found[nearest] = Reached(nearest, steps + 1, node)
            waiting.append((nearest, steps + 1))
    return tuple(found.values()), False
