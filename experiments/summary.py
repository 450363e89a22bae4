"""The page at the end of ``main``: what was found, in one table, one file and four figures."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from experiments.session import show
from fundus_ml.figures import auroc_by_eps, figure_png, region_density_figure, success_curve
from fundus_ml.pages import summary_page
from tracking.registry import ModelVersion
from tracking.runs import Run

if TYPE_CHECKING:
    from experiments.main import MainConfig
    from experiments.modulate import Modulated

Summary = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class ModelFindings:
    """What one version scored, and what its gradient changed.

    Attributes:
        version: The registered version.
        scores: Rows of ``fundus_ml.evaluation.scores``.
        modulated: Result of the ``modulate`` run.
        seconds_per_step: Of the training that made the version.
    """

    version: ModelVersion
    scores: pd.DataFrame
    modulated: "Modulated"
    seconds_per_step: float


def summarise(config: "MainConfig", findings: Mapping[str, ModelFindings]) -> Summary:
    """Collect the figures of the chain under the names that ``summary.json`` keeps.

    Args:
        config: Of the chain.
        findings: ``clean`` and ``robust``.

    Returns:
        ``clean_auroc`` is the clean version's on clean test eyes, ``robust_auroc`` the robust
        version's under attack at ``eps``; ``clean_model_robust_auroc`` is the clean version under
        that attack. ``region_density`` is measured at budget ``density_eps``.
    """
    clean, robust = findings["clean"], findings["robust"]
    return {
        "cue": config.cue if config.source == "synthetic" else None,
        "size": config.size,
        "constraint": config.constraint,
        "eps": float(config.eps),
        "rms": float(config.eps) / math.sqrt(3 * config.size**2),
        "clean_auroc": _auroc(clean, 0),
        "clean_auroc_interval": _interval(clean, 0),
        "robust_auroc": _auroc(robust, config.eps),
        "robust_auroc_interval": _interval(robust, config.eps),
        "clean_model_robust_auroc": _auroc(clean, config.eps),
        "robust_model_clean_auroc": _auroc(robust, 0),
        "success_by_eps": {name: _by_eps(f.modulated.effect, "success") for name, f in findings.items()},
        "prob_target_by_eps": {
            name: _by_eps(f.modulated.effect, "prob_target") for name, f in findings.items()
        },
        "density_eps": float(config.eps),
        "region_density": {name: _density(f, config.eps) for name, f in findings.items()},
        "seconds_per_step": {name: f.seconds_per_step for name, f in findings.items()},
        "models": {name: f.version.uri for name, f in findings.items()},
    }


def write_summary(
    run: Run,
    config: "MainConfig",
    summary: Summary,
    findings: Mapping[str, ModelFindings],
    folder: Path,
) -> None:
    """Write ``summary.json`` and ``summary.html`` into ``folder`` and onto the run; print both."""
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
    (folder / "summary.html").write_text(_page(config, summary, findings))
    for name in ("summary.json", "summary.html"):
        run.log_artifact(folder / name)
    run.log_metrics({key: value for key, value in summary.items() if isinstance(value, float)})
    show(_scores(findings))
    show(_densities(findings, config.eps).pivot_table(index="part", columns="model", values="density").reset_index())


def _page(config: "MainConfig", summary: Summary, findings: Mapping[str, ModelFindings]) -> str:
    effect = pd.concat([f.modulated.effect.assign(model=name) for name, f in findings.items()])
    scores = _scores(findings)
    columns = {"auroc_low": "low", "auroc_high": "high"}
    figures = {
        "How small a change makes the network see the other sex": (
            figure_png(success_curve(effect, size=config.size)),
            "Share of eyes seen as the target, and mean P(target), by budget; bands are 95 % "
            "intervals clustered by person.",
        ),
        "What attack leaves of the accuracy": (
            figure_png(auroc_by_eps(scores.rename(columns=columns))),
            "Test AUROC clean and under PGD.",
        ),
    }
    densities = _densities(findings, config.eps)
    if not densities.empty:
        figures["Where the change goes"] = (
            figure_png(region_density_figure(densities.assign(planted=_planted(config)))),
            f"Share of change energy over share of area at eps {config.eps:g}; 1 is a change "
            "spread evenly over the square.",
        )
    tables = {"Scores on test eyes": scores, "Modulation": effect}
    return summary_page(
        title="What does the network see?",
        headline={
            key: f"{summary[key]:.3f}" if isinstance(summary[key], float) else str(summary[key])
            for key in ("cue", "clean_auroc", "eps", "robust_auroc", "clean_model_robust_auroc")
        },
        tables=tables if densities.empty else {**tables, "Density": densities},
        figures=figures,
        links={name: f.version.uri for name, f in findings.items()},
    )


def _planted(config: "MainConfig") -> str:
    return config.cue if config.source == "synthetic" else "none"


def _scores(findings: Mapping[str, ModelFindings]) -> pd.DataFrame:
    rows = pd.concat([f.scores.assign(model=name) for name, f in findings.items()])
    first = ["model", "attack", "eps", "eyes", "people", "auroc", "auroc_low", "auroc_high"]
    return rows[[*first, "accuracy", "majority"]].reset_index(drop=True)


def _densities(findings: Mapping[str, ModelFindings], eps: float) -> pd.DataFrame:
    rows = pd.concat([f.modulated.density.assign(model=name) for name, f in findings.items()])
    return rows[rows["eps"] == eps].reset_index(drop=True)


def _row(found: ModelFindings, eps: float) -> pd.Series:
    return found.scores.set_index("eps").loc[float(eps)]


def _auroc(found: ModelFindings, eps: float) -> float:
    return float(_row(found, eps)["auroc"])


def _interval(found: ModelFindings, eps: float) -> list[float]:
    row = _row(found, eps)
    return [float(row["auroc_low"]), float(row["auroc_high"])]


def _by_eps(effect: pd.DataFrame, measure: str) -> dict[str, float]:
    return {f"{row.eps:g}": float(getattr(row, measure)) for row in effect.itertuples()}


def _density(found: ModelFindings, eps: float) -> dict[str, float]:
    density = found.modulated.density
    at_eps = density[density["eps"] == eps]
    return {str(row.part): float(row.density) for row in at_eps.itertuples()}
