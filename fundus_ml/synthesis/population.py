"""Invented patients whose sexes differ in one planted trait and, if asked, in a confounder."""

import math
import zlib
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fundus_ml.data.photographs import OFFERED_COLUMNS
from fundus_ml.synthesis.anatomy import TRAITS, anatomy_of_traits, place_landmarks
from fundus_ml.synthesis.cameras import CAMERAS
from fundus_ml.synthesis.options import AGE_SD, Population

Floats = NDArray[np.float64]

_PLANTED_TRAIT: Mapping[str, str] = MappingProxyType(
    {"disc": "disc_trait", "vessels": "vessel_trait", "macula": "macula_trait"}
)
_MALE = 0.5
_TWO_EYES = 0.8
_LEFT_OF_ONE = 0.5
_FELLOW_CORRELATION = 0.8
_AGE_MEAN, _AGE_RANGE = 54.0, (18.0, 90.0)


def draw_population(population: Population) -> pd.DataFrame:
    """Draw patients and the anatomy of their eyes.

    Every column has its own random stream: two populations that differ in their cue alone share
    every other column, person by person.

    Args:
        population: Whom to draw.

    Returns:
        One row per eye: ``OFFERED_COLUMNS``, the traits in standard deviations, and the columns
        of :class:`~fundus_ml.synthesis.anatomy.Eye`.
    """
    patients = _draw_patients(population)
    eyes = _draw_eyes(patients, population.seed)
    anatomy = _draw_anatomy(eyes, population)
    table = pd.concat([eyes, anatomy], axis=1)
    return table[[*OFFERED_COLUMNS, *(name for name in table if name not in OFFERED_COLUMNS)]]


def _stream(seed: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def _draw_patients(population: Population) -> pd.DataFrame:
    count, seed = population.patients, population.seed
    male = _stream(seed, "sex").random(count) < _MALE
    towards_male = np.where(male, 0.5, -0.5)
    age = _stream(seed, "age").normal(_AGE_MEAN, AGE_SD, count)
    first_half = 1 / (1 + np.exp(-towards_male * math.log(population.camera_sex_odds)))
    camera = _stream(seed, "camera")
    names, half = list(CAMERAS), len(CAMERAS) // 2
    late = camera.random(count) >= first_half
    within = camera.integers(0, half, count)
    return pd.DataFrame(
        {
            "patient_id": [f"synthetic/{number:05d}" for number in range(1, count + 1)],
            "sex": np.where(male, "male", "female"),
            "age": (age + towards_male * population.age_sex_shift).clip(*_AGE_RANGE).round(),
            "camera": [names[place] for place in late * half + within],
        }
    )


def _draw_eyes(patients: pd.DataFrame, seed: int) -> pd.DataFrame:
    generator = _stream(seed, "eyes")
    both = generator.random(len(patients)) < _TWO_EYES
    left_only = generator.random(len(patients)) < _LEFT_OF_ONE
    shown = np.column_stack([both | left_only, both | ~left_only])
    person, side = shown.nonzero()
    eyes = patients.iloc[person].reset_index(drop=True)
    eyes["eye"] = np.array(["left", "right"])[side]
    eyes["image_id"] = eyes["patient_id"] + "_" + eyes["eye"]
    eyes["source"] = "synthetic"
    eyes["healthy"] = True
    eyes["flags"] = ""
    return eyes


def _draw_anatomy(eyes: pd.DataFrame, population: Population) -> pd.DataFrame:
    seed, count = population.seed, len(eyes)
    persons, person = np.unique(eyes["patient_id"], return_inverse=True)

    def normal(name: str) -> Floats:
        shared = _stream(seed, f"{name} of the person").standard_normal(len(persons))[person]
        own = _stream(seed, f"{name} of the eye").standard_normal(count)
        return np.asarray(
            math.sqrt(_FELLOW_CORRELATION) * shared + math.sqrt(1 - _FELLOW_CORRELATION) * own
        )

    traits = pd.DataFrame({name: normal(name) for name in TRAITS})
    if population.cue != "none":
        male = (eyes["sex"] == "male").to_numpy()
        traits[_PLANTED_TRAIT[population.cue]] += population.cue_strength * (male - 0.5)
    landmarks = place_landmarks(
        temporal=np.where(eyes["eye"] == "right", -1.0, 1.0),
        fixation=_stream(seed, "fixation").random(count),
        distance=2.5 + 0.12 * normal("distance"),
        drop=0.25 + 0.10 * normal("drop"),
        gaze=_stream(seed, "gaze").normal(0, 0.03, (count, 2)),
    )
    free = pd.DataFrame(
        {
            "disc_aspect": (1.08 + 0.04 * normal("disc_aspect")).clip(0.97, 1.20),
            "vessel_tortuosity": 0.16 * np.exp(0.35 * normal("vessel_tortuosity")).clip(0.4, 2.2),
            "pigmentation": (0.5 + 0.26 * normal("pigmentation")).clip(0, 1),
            "tessellation": (0.35 + 0.22 * normal("tessellation")).clip(0.03, 1),
            "sheen": (0.45 + 0.20 * normal("sheen")).clip(0, 1),
            "haze": (0.20 + 0.12 * normal("haze")).clip(0, 0.7),
            "exposure": np.exp(0.10 + 0.13 * normal("exposure")).clip(0.70, 1.60),
            "warmth": (0.07 * normal("warmth")).clip(-0.18, 0.18),
            "paint_seed": _stream(seed, "paint_seed").integers(0, 2**31, count),
        }
    )
    return pd.concat([traits, anatomy_of_traits(traits), landmarks, free], axis=1)
