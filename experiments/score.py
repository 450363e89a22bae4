"""Entry point ``score``: every photograph below a folder answered by a registered version.

No table and no dataset is needed. Each photograph is decoded, its field of view found, cut and
scaled as the version's training eyes were; the table holds its calibrated probability, logit,
class, quality and flags, or why it was refused. A killed run goes on where it stopped.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments import recording, running
from experiments.running import console
from experiments.running.flags import run_entry_point
from experiments.running.options import ConsoleOptions
from fundus_ml import serving, sources
from fundus_ml.errors import InputError, refuse_outside

if TYPE_CHECKING:
    from pathlib import Path

    import tracking

ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(ConsoleOptions):
    """Flags of ``score``."""

    photographs: str
    """Folder of photographs; those in folders below it are taken too."""
    model: str = "models:/fundus-sex@robust"
    """Registered version that answers."""
    scores: str = "scores.csv"
    """Table to write: .csv or .parquet."""
    batch_size: int = 32
    """Eyes per pass."""

    def __post_init__(self) -> None:
        """Refuse values outside their range."""
        refuse_outside(self, at_least={"batch_size": 1})
        if not self.scores.endswith(ENDINGS):
            raise InputError(f"scores={self.scores}: must end in {' or '.join(ENDINGS)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    run_entry_point("score", ScoreConfig, score, argv)


def score(config: ScoreConfig, run: "tracking.Run") -> "Path":
    """Answer every photograph and write the table."""
    root = running.user_path(config.photographs)
    files = sources.image_files(root)
    if not files:
        raise InputError(f"photographs={config.photographs}: holds no image file")
    classifier, version = running.read_model(run, config.model)
    options = recording.scoring_options_of(version, classifier)
    out = running.user_path(config.scores)
    with recording.ScoreTable(
        out, version.uri, files, identity=_identity(root, files, version, options)
    ) as table:
        if table.done:
            console.say(f"{table.done} of {len(files)} photographs were scored before")
        with console.progress("score", "photograph") as on_progress:
            answers = serving.score_photographs(
                (serving.from_file(root / sources.as_path(file)) for file in files[table.done :]),
                recording.pixel_scorer(classifier),
                options,
                batch_size=config.batch_size,
            )
            for answer in answers:
                table.add(answer)
                on_progress(table.done, len(files))
        refused = Counter(table.finish())
    scored = len(files) - refused.total()
    run.log_metrics({"scored": scored, "refused": refused.total()})
    run.set_tags({"contrast": options.contrast, "scores": str(out)})
    reasons = ", ".join(f"{count} {reason}" for reason, count in refused.most_common())
    console.say(f"scored {scored} photographs, refused {reasons or 'none'}")
    console.say(f"P({options.classes[1]}) of each: {out}")
    return out


def _identity(
    root: "Path",
    files: Sequence[str],
    version: "tracking.ModelVersion",
    options: "serving.ScoringOptions",
) -> list[object]:
    """What decides the answers: version, options, and the photographs as far as a glance tells."""
    seen = [(root / sources.as_path(file)).lstat() for file in files]
    return [root.resolve(), version.content, options, *((s.st_size, s.st_mtime_ns) for s in seen)]


if __name__ == "__main__":
    main()
