"""What a run prints: results always, the rest where it is asked for."""

import io

import pandas as pd
import pytest

from experiments.running import console

FRAME = pd.DataFrame({"eyes": [3]})


class Terminal(io.StringIO):
    def isatty(self):
        return True


def everything():
    console.say("result")
    console.remark("remark")
    console.detail("detail")
    console.table(FRAME, final=True)
    console.table(FRAME.rename(columns={"eyes": "other"}))
    console.warn("warning")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"verbose": False}, ["result", "remark", " eyes", "    3"]),
        ({"verbose": False, "step": "[4/7] robustify"}, ["[4/7] robustify: result"]),
        (
            {"verbose": True},
            ["result", "remark", "detail", " eyes", "    3", " other", "     3"],
        ),
    ],
)
def test_who_is_told_what(capsys, asked, told):
    with console.speaking(**asked):
        everything()
    said = capsys.readouterr()
    assert said.out.splitlines() == told
    prefix = f"{asked['step']}: " if "step" in asked else ""
    assert said.err == f"{prefix}warning\n"


def test_a_step_inside_a_step_hands_the_voice_back(capsys):
    with console.speaking(verbose=False, step="[1/2] one"):
        with console.speaking(verbose=False, step="retrain"):
            console.say("deep")
        console.say("again")
    console.say("own")
    assert capsys.readouterr().out.splitlines() == ["retrain: deep", "[1/2] one: again", "own"]


def test_a_short_stage_says_nothing_where_there_is_no_terminal(capsys):
    with console.progress("train", "step") as advance:
        for done in range(101):
            advance(done, 100)
    assert capsys.readouterr() == ("", "")


def test_a_long_stage_says_each_tenth_once(capsys, monkeypatch):
    monkeypatch.setattr(console, "SHORT", 0)
    monkeypatch.setattr(console, "APART", 0)
    with console.speaking(verbose=False, step="[2/7] train"):
        with console.progress("train", "step") as advance:
            for done in range(1001):
                advance(done, 1000)
        with console.progress("gate", "eye") as advance:
            advance(1, 2)
    told = [f"[2/7] train: {percent} %" for percent in range(10, 100, 10)]
    assert capsys.readouterr().err.splitlines() == [*told, "[2/7] train: gate: 50 %"]


def test_lines_of_progress_keep_their_distance(capsys, monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(console, "monotonic", lambda: next(now) / 10)
    with console.progress("train", "step") as advance:
        for done in range(1, 101):
            advance(done, 100)
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_bar_on_a_terminal_is_gone_when_the_stage_is_done(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with console.stages({"read": "eye", "audit": "step"}) as advance:
        advance("read", 1, 2)
        advance("audit", 1, 1)
    shown = terminal.getvalue()
    assert "read: " in shown
    assert "\n" not in shown
    assert shown.rpartition("\r")[0].endswith(" " * 10)


def test_only_the_first_process_shows_progress(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr(console, "SHORT", 0)
    with console.progress("train", "step") as advance:
        advance(1, 2)
    assert capsys.readouterr() == ("", "")
