"""What a run is called in a list of runs: its entry point, and the flags that tell it apart."""

import dataclasses

from experiments.running.comma_lists import comma_list
from experiments.running.identity import Flags
from fundus_ml.statistics.numerals import shortened

TELLING = ("source", "contrast", "recipe", "model", "run", "labels", "train_people", "seed", "eps")
"""Flags that tell runs of one entry point apart, in the order of the name."""
VERSION = "models:/"


def run_name(entry_point: str, config: Flags) -> str:
    """Name a run by what it does: ``train contrast=glaucoma seed=2``, ``modulate fundus-sex/3``.

    Flags that have their default are left out, and of several versions all but the first.

    Args:
        entry_point: Name of the entry point.
        config: Its flags.
    """
    words = [entry_point]
    fields = {field.name: field for field in dataclasses.fields(config)}
    for flag in TELLING:
        if flag not in fields:
            continue
        value = getattr(config, flag)
        if value == fields[flag].default or value == "":
            continue
        words.append(_version(value) if flag == "model" else f"{flag}={shortened(str(value))}")
    return " ".join(words)


def _version(uris: str) -> str:
    first, *others = (uri.removeprefix(VERSION) for uri in comma_list(uris, flag="model"))
    return shortened(first) + (f" and {len(others)} more" if others else "")
