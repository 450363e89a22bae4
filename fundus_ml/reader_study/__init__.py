"""A study with human readers: pairs of pictures from a modulation, a page, scored answers."""

from fundus_ml.reader_study.answers import read_answers, study_of
from fundus_ml.reader_study.drawing import StudyOptions, draw_trials
from fundus_ml.reader_study.figure import reader_forest
from fundus_ml.reader_study.page import ASKED, TABLE, Study, make_study
from fundus_ml.reader_study.scoring import ALL, modulated_minus_real, score_readers
from fundus_ml.reader_study.wording import warning_about, what_readers_show

__all__ = [
    "ALL",
    "ASKED",
    "TABLE",
    "Study",
    "StudyOptions",
    "draw_trials",
    "make_study",
    "modulated_minus_real",
    "read_answers",
    "reader_forest",
    "score_readers",
    "study_of",
    "warning_about",
    "what_readers_show",
]
