"""What a user may ask of a study; imports nothing that takes time."""

from typing import Literal

Direction = Literal["maximize", "minimize"]
PRUNERS = ("hyperband", "asha", "median", "none")
