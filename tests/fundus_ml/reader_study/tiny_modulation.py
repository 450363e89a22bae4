"""What a modulation leaves behind, in small: pictures, unchanged eyes, a table."""

import numpy as np
import pandas as pd

from fundus_ml.imaging.pictures import write_png

EPS = (2.0, 4.0)


def write_modulation(folder, *, eyes=12, size=48, unchanged=(), originals=True, seed=0):
    """Women and men in turn, each pushed to the other sex; returns the table.

    A modulated picture is its original with one channel raised, by more at the larger budget;
    the eyes in ``unchanged`` stay as they are.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(eyes):
        stem = f"pictures/odir_{n}_left"
        original = rng.integers(0, 200, (size, size + 6, 3), dtype=np.uint8)
        if originals:
            write_png(original, folder / stem / "original.png")
        for eps in EPS:
            modulated = original.copy()
            if n not in unchanged:
                modulated[:, :, n % 2] += np.uint8(10 * eps)
            write_png(modulated, folder / stem / f"eps-{eps:g}.png")
            rows.append(
                {
                    "image_id": f"odir/{n}_left",
                    "patient_id": f"odir/{n}",
                    "label": n % 2,
                    "target": ("male", "female")[n % 2],
                    "eps": eps,
                    "success": n not in unchanged and n % 4 < eps,
                    "l2": 0.0 if n in unchanged else eps,
                    "picture": f"{stem}/eps-{eps:g}.png",
                }
            )
    table = pd.DataFrame(rows)
    table.to_parquet(folder / "modulations.parquet", index=False)
    return table
