"""What a step does is named by content: files, versions and photographs behind a flag count."""

from dataclasses import dataclass
from types import SimpleNamespace

from experiments.running import steps
from experiments.running.options import ConsoleOptions
from experiments.running.steps import folder_fingerprint, step_digest


@dataclass(frozen=True, kw_only=True)
class Flags(ConsoleOptions):
    weights: str = "none"
    lr: float = 0.1


def test_a_file_that_a_flag_names_counts_by_its_content(tmp_path):
    file = tmp_path / "w.pt"
    file.write_bytes(b"one")
    first = step_digest("train", Flags(weights=str(file)), {})
    assert step_digest("train", Flags(weights=str(file), verbose=True), {}) == first
    file.write_bytes(b"two")
    assert step_digest("train", Flags(weights=str(file)), {}) != first


def test_an_alias_that_moved_counts(monkeypatch):
    flags, contents = Flags(weights="models:/eye@candidate"), iter("ab")
    monkeypatch.setattr(steps, "resolve", lambda _: SimpleNamespace(content=next(contents)))
    assert step_digest("train", flags, {}) != step_digest("train", flags, {})


def test_photographs_behind_a_link_count(tmp_path):
    release, else_where = tmp_path / "release", tmp_path / "elsewhere"
    release.mkdir()
    else_where.mkdir()
    (else_where / "eye.jpg").write_bytes(b"one")
    (release / "images").symlink_to(else_where)
    (else_where / "back").symlink_to(release)
    first = folder_fingerprint(release)
    assert folder_fingerprint(release) == first
    (else_where / "eye.jpg").write_bytes(b"other")
    assert folder_fingerprint(release) != first
