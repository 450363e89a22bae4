"""What shortcuts reach is found once for all that is held against it."""

from experiments.recording import shortcut_baseline
from fundus_ml.data.opening import open_dataset


def test_an_audit_is_made_once_for_the_same_eyes_and_question(versions, monkeypatch):
    """A contrast's is kept nowhere; the steps of a chain open the dataset anew."""
    made = []
    monkeypatch.setattr(shortcut_baseline, "_MADE", {})
    monkeypatch.setattr(
        shortcut_baseline, "audit_dataset", lambda eyes, *_, **__: made.append(len(eyes)) or eyes
    )
    for _ in range(2):
        shortcut_baseline.audit_of(open_dataset(versions.a, contrast="eye"))
    whole = open_dataset(versions.a, contrast="eye")
    assert made == [len(whole)]
    shortcut_baseline.audit_of(whole.split("train"))
    shortcut_baseline.audit_of(whole, seed=1)
    assert made == [len(whole), len(whole.split("train")), len(whole)]
