"""Photographs to a dataset folder: read, find the eye, crop, split, store."""

import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import batched
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import NDArray

from fundus_ml.dataset_folder import (
    MANIFEST,
    REJECTED,
    DatasetRecord,
    ShardWriter,
    channel_statistics,
    content_digest,
    staged,
    write_dataset_json,
)
from fundus_ml.errors import InputError
from fundus_ml.imaging.field_of_view import (
    FieldOfView,
    NoFieldOfView,
    crop_to_field_of_view,
    find_field_of_view,
)
from fundus_ml.imaging.opencv import cv2
from fundus_ml.manifest import MANIFEST_COLUMNS, SEXES, SPLITS, validate_manifest, write_manifest
