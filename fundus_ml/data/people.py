"""Who is who: ids that belong to one person, and people known under both sexes."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

SEX_DISAGREES = "sex disagrees"
"""Why the eyes of a person whom the rows call both female and male are refused."""


def join_people(patient_ids: pd.Series, pairs: pd.DataFrame) -> pd.Series:
    """Name the person behind each eye, one name for all ids that share an eye.

    Args:
        patient_ids: ``(n,)`` text, the id each eye came under.
        pairs: Positions ``first`` and ``second`` of eyes found to be the same.

    Returns:
        ``(n,)`` text, ``person_group``: of the ids joined, the one that stands first.
    """
    patients, names = pd.factorize(patient_ids)
    ends = [patients[pairs[side].to_numpy(np.int64)] for side in ("first", "second")]
    links = coo_matrix((np.ones(len(pairs)), ends), shape=(len(names), len(names)))
    _, people = connected_components(links, directed=False)
    # Patients are numbered in the order of their rows, so the first of a person is its lowest.
    _, first = np.unique(people, return_index=True)
    return pd.Series(
        np.asarray(names)[first[people[patients]]], index=patient_ids.index, name="person_group"
    )


def contradicting_people(eyes: pd.DataFrame) -> pd.Series:
    """Mark the eyes of every person whose eyes disagree on sex.

    Args:
        eyes: Columns ``person_group`` and ``sex``.

    Returns:
        ``(n,)`` bool.
    """
    return eyes.groupby("person_group")["sex"].transform("nunique") > 1
