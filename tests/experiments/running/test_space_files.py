import json

import pytest

from experiments.robustify import RobustifyConfig
from experiments.running.space_files import own_values, read_space
from experiments.train import TrainConfig
from fundus_ml.errors import InputError

TRAIN = TrainConfig(dataset="any")


def read(folder, content, config=TRAIN):
    (folder / "space.json").write_text(content)
    return read_space(str(folder / "space.json"), config, default="train")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not a readable JSON file"),
        ("[]", "must be an object of parameters"),
        ("{}", "must be an object with keys among"),
        ('{"colour": {"choices": [1]}}', "must be an object with keys among"),
        ('{"epochs": {"choices": [1]}}', "must be an object with keys among"),
        ('{"train_people": {"choices": [0.5]}}', "must be an object with keys among"),
        ('{"contrast": {"choices": ["sex"]}}', "must be an object with keys among"),
        ('{"lr": {"low": 2, "high": 1}}', "search space of 'lr'"),
        ('{"lr": {"low": 0.0, "high": 1.0}}', r"space=.*json: lr=0.0: must be a finite number"),
        ('{"optimizer": {"choices": ["sgd", "lion"]}}', r"optimizer=lion: allowed: adamw, sgd"),
        ('{"warmup": {"low": 0.0, "high": 10.0}}', r"warmup=10.0: must be below epochs=10"),
        ('{"lr": {"low": 0.1, "high": 1.0}, "start": {}}', "start must be a list of objects"),
        ('{"lr": {"low": 0.1, "high": 1.0}, "start": [1]}', "start must be a list of objects"),
        (
            '{"lr": {"low": 0.1, "high": 1.0}, "start": [{"lr": 2.0}]}',
            "start lies outside the space with {'lr': 2.0}",
        ),
    ],
)
def test_a_space_that_cannot_be_drawn_from(tmp_path, content, said):
    with pytest.raises(ValueError, match=said):
        read(tmp_path, content)


def test_a_space_and_its_starts_are_read(tmp_path):
    space = {"lr": {"low": 1e-4, "high": 1e-2, "log": True}, "head_hidden": {"choices": [64, 256]}}
    start = {"lr": 1e-3}
    file = read(tmp_path, json.dumps(space | {"start": [start]}))
    assert (file.space, file.starts) == (space, [start])
    assert own_values(file.space, TRAIN) == {"lr": TRAIN.lr, "head_hidden": 256}


@pytest.mark.parametrize("epochs", [1, 10])
def test_the_spaces_of_the_project_can_be_drawn_from(epochs):
    train = read_space("", TrainConfig(dataset="any", epochs=epochs), default="train")
    assert {"lr", "weight_decay", "optimizer", "augment"} < set(train.space)
    robust = read_space("", RobustifyConfig(dataset="any", epochs=epochs), default="robustify")
    assert {"lr", "weight_decay", "optimizer"} < set(robust.space)
    for file in (train, robust):
        assert file.starts
        assert all(set(start) == set(file.space) for start in file.starts)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.json: not a readable JSON file"):
        read_space(str(tmp_path / "nowhere.json"), TRAIN, default="train")
