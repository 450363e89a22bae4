import re

import pandas as pd

from fundus_ml.attribution import METHODS
from fundus_ml.attribution.literature import NONSPECIFIC, beside_literature, published
from fundus_ml.imaging.regions.maps import PARTS

OTHER_WAYS = {"soft_attention", "bagnet", "counterfactual", "reader", "other"}


def test_every_finding_has_a_source_a_method_and_parts_that_exist():
    rows = published()
    assert len(rows) >= 10
    assert (rows["source"] != "").all()
    assert (rows["words"].str.split().str.len() <= 25).all()
    assert set(rows["method"]) <= {*METHODS, *OTHER_WAYS}
    regions = {part for told in rows["regions"] for part in told.split(";")}
    assert regions <= {*PARTS, NONSPECIFIC}
    dois = rows["source"][rows["source"].str.startswith("doi:")]
    assert dois.map(lambda doi: re.fullmatch(r"doi:10\.\d{4,}/\S+", doi) is not None).all()


def test_a_finding_stands_beside_what_its_method_finds_here():
    enrichment = pd.DataFrame(
        [
            ("grad_cam", "disc", 2.0, 1.2, 3.0),
            ("grad_cam", "macula", 3.0, 2.0, 4.0),
            ("grad_cam", "vessels", 1.4, 0.9, 2.0),
            ("grad_cam", "sham disc", 9.0, 8.0, 10.0),
            ("grad_cam", "outside", 9.0, 8.0, 10.0),
            ("modulation", "disc", 0.9, 0.5, 1.3),
        ],
        columns=["method", "part", "value", "low", "high"],
    )
    table = beside_literature(enrichment, "sex").set_index(["study", "method"])
    own = table.loc[("Delavari", "grad_cam")]
    assert own["reported"] == "macula, disc, vessels"
    assert own["found_here"] == "macula 3.0 (2.0 to 4.0), disc 2.0 (1.2 to 3.0)"
    assert own["by_modulation"] == "none above 1"
    assert table.loc[("Poplin", "soft_attention"), "found_here"] == ""
    assert beside_literature(enrichment, "smoker").empty
