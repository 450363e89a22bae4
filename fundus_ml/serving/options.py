"""What a version needs beside its network to answer a raw photograph: plain values, no imports."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from fundus_ml.errors import InputError
from fundus_ml.imaging.options import CropOptions


@dataclass(frozen=True, kw_only=True)
class ScoringOptions:
    """How a photograph becomes a probability; travels with a registered version.

    Attributes:
        contrast: What is asked, such as ``sex`` or ``glaucoma``.
        classes: The class below the threshold, and the one above, whose probability is given.
        size: Side of the square eyes, pixels.
        padding: As in :class:`~fundus_ml.imaging.options.CropOptions`.
        surround: Likewise.
        min_quality: Likewise; photographs below it are refused.
        temperature: Divides the logit before the sigmoid.
        threshold: Logit above which an eye is called the second class.
    """

    contrast: str
    classes: tuple[str, str]
    size: int
    padding: Literal["black", "mirror"] = "black"
    surround: Literal["black", "keep"] = "black"
    min_quality: float = 0.0
    temperature: float = 1.0
    threshold: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        if not isinstance(self.classes, tuple) or len(self.classes) != 2:  # noqa: PLR2004 (one logit)
            raise InputError(f"classes={self.classes}: must be two names")
        for name in ("size", "min_quality", "temperature", "threshold"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise InputError(f"{name}={value!r}: must be a number")
        if not self.temperature > 0:
            raise InputError(f"temperature={self.temperature}: must be above 0")
        self.crop()

    def crop(self) -> CropOptions:
        """How the eye is cut out of its photograph."""
        return CropOptions(
            size=self.size,
            padding=self.padding,
            surround=self.surround,
            min_quality=self.min_quality,
            same_person=False,
        )

    def plain(self) -> dict[str, Any]:
        """Write as what JSON and YAML hold."""
        return {**asdict(self), "classes": list(self.classes)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "ScoringOptions":
        """Read what :meth:`plain` wrote; other keys are left alone.

        Raises:
            InputError: A field is missing or outside its range.
        """
        known = {field.name: plain[field.name] for field in fields(cls) if field.name in plain}
        missing = [name for name in ("contrast", "classes", "size") if name not in known]
        if missing:
            raise InputError(f"scoring options lack {', '.join(missing)}")
        classes = known["classes"]
        return cls(**{**known, "classes": tuple(classes) if isinstance(classes, list) else classes})
