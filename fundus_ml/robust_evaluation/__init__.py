"""How robust a network is: several attacks at once, signs that they were misled, a verdict.

What is asked stands in :mod:`.attacking` and runs in :mod:`.running`; what misleads it shows in
:mod:`.masking`; the smallest change that flips an eye is summed up in :mod:`.distances`; and
:mod:`.gate` says what may be called robust.
"""

from fundus_ml.robust_evaluation.attack_suite import ATTACKS, AttackSuite
from fundus_ml.robust_evaluation.distances import flip_curve, median_distances
from fundus_ml.robust_evaluation.gate import Verdict, gate_suite, judge_robustness
from fundus_ml.robust_evaluation.masking import Sign, masking_signs, raised_names, signs_table
from fundus_ml.robust_evaluation.running import (
    WORST,
    Attacked,
    choose_people,
    run_attack_suite,
)

__all__ = [
    "ATTACKS",
    "WORST",
    "AttackSuite",
    "Attacked",
    "Sign",
    "Verdict",
    "choose_people",
    "flip_curve",
    "gate_suite",
    "judge_robustness",
    "masking_signs",
    "median_distances",
    "raised_names",
    "run_attack_suite",
    "signs_table",
]
