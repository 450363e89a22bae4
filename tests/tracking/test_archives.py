"""Archives of exported programs: which load, and that each way to run code in one is refused."""

import io
import json
import os
import pickle
import zipfile
from contextlib import suppress

import pytest
import torch
from torch import nn

from tracking.archives import check_archive
from tracking.errors import TrackingError
from tracking.programs import read_program


class Marks:
    """Unpickling it leaves a folder behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """What torch.export.save writes of a small network for any batch and size."""
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.GELU("tanh"),
        nn.Linear(4, 1), nn.Flatten(0),
    )  # fmt: skip
    dynamic = torch.export.Dim.AUTO
    program = torch.export.export(
        network, (torch.zeros(2, 3, 24, 24),), dynamic_shapes=[{0: dynamic, 2: dynamic, 3: dynamic}]
    )
    path = tmp_path_factory.mktemp("archive") / "model.pt2"
    torch.export.save(program, path)
    return path


def forge(archive, folder, change):
    """Rewrite an archive after ``change`` had its records by name, without their folder."""
    with zipfile.ZipFile(archive) as source:
        top = source.namelist()[0].split("/")[0]
        records = {n.removeprefix(f"{top}/"): source.read(n) for n in source.namelist()}
    change(records)
    path = folder / "model.pt2"
    with zipfile.ZipFile(path, "w") as forged:
        for name, content in records.items():
            forged.writestr(f"model/{name}", content)
    return path


def in_json(record, edit):
    """A change that edits one JSON record."""

    def change(records):
        content = json.loads(records[record])
        edit(content)
        records[record] = json.dumps(content).encode()

    return change


def in_graph(edit):
    return in_json("models/model.json", lambda content: edit(content, content["graph_module"]))


def pickled(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def pickled_weight(proof):
    def change(records):
        def edit(content):
            entry = next(iter(content["config"].values()))
            entry["use_pickle"] = True
            records[f"data/weights/{entry['path_name']}"] = pickled(Marks(proof))

        in_json("data/weights/model_weights_config.json", edit)(records)

    return change


def pickled_constant(proof):
    def change(records):
        entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True}
        edit = in_json(
            "data/constants/model_constants_config.json",
            lambda content: content["config"].update(x=entry | {"tensor_meta": None}),
        )
        edit(records)
        records["data/constants/opaque_obj_0"] = pickle.dumps(Marks(proof))

    return change


def pickled_example(proof):
    return lambda records: records.update({"data/sample_inputs/model.pt": pickled(Marks(proof))})


def guard(proof):
    code = f"open({str(proof)!r}, 'w')"
    return in_graph(lambda content, _: content["guards_code"].append(code))


def size_expression(proof):
    code = f"open({str(proof)!r}, 'w')"

    def edit(_, graph):
        for value in graph["graph"]["tensor_values"].values():
            for size in value["sizes"]:
                if "as_expr" in size:
                    size["as_expr"]["expr_str"] = code

    return in_graph(edit)


def argument_name(proof):
    name = f"images=open({str(proof)!r}, 'w')"

    def edit(_, graph):
        graph["module_call_graph"][0]["signature"]["forward_arg_names"] = [name]

    return in_graph(edit)


RUN = [
    pickled_weight, pickled_constant, pickled_example, guard, size_expression, argument_name,
]  # fmt: skip


@pytest.mark.parametrize("hostile", RUN)
def test_what_loading_would_execute_is_refused_and_not_run(archive, tmp_path, hostile):
    proof = tmp_path / "proof"
    path = forge(archive, tmp_path, hostile(proof))
    with pytest.raises(TrackingError, match=r"^model.pt2: ") as refusal:
        read_program(path)
    assert "\n" not in str(refusal.value)
    assert not proof.exists()


@pytest.mark.parametrize("hostile", [pickled_weight, guard, size_expression])
@pytest.mark.filterwarnings("ignore")
def test_torch_itself_executes_it(archive, tmp_path, hostile):
    """The reason for the check; where torch no longer does, the check can go."""
    proof = tmp_path / "proof"
    path = forge(archive, tmp_path, hostile(proof))
    with suppress(Exception):  # what it does after running the code is its own affair
        torch.export.load(path).module()(torch.zeros(2, 3, 24, 24))
    assert proof.exists()


def first_node(key, value):
    return in_graph(lambda _, graph: graph["graph"]["nodes"][0].update({key: value}))


def called(name):
    """A tensor under the name of a key whose text is free, its size an expression that runs."""
    size = {"as_expr": {"expr_str": "open('x', 'w')", "hint": None}}
    return in_graph(
        lambda _, graph: graph["graph"]["tensor_values"].update({name: {"sizes": [size]}})
    )


def tree_of(kind):
    tree = json.dumps([1, {"type": kind, "context": "null", "children_spec": []}])

    def edit(_, graph):
        graph["module_call_graph"][0]["signature"]["in_spec"] = tree

    return in_graph(edit)


@pytest.mark.parametrize(
    "change",
    [
        first_node("target", "torch.os.system"),
        first_node("target", "torch.load"),
        first_node("target", "torch.ops.aten.from_file.default"),
        first_node("target", "torch.ops.aten.conv2d.default.os"),
        first_node("target", "_operator.call"),
        first_node("target", "#extension:x"),
        first_node("target", "torch.ops.aten.__class__.mro"),
        first_node("target", "torch.ops.aten.conv2d.op"),
        first_node("name", "x\nimport os"),
        first_node("name", "torch.load"),
        tree_of("collections.defaultdict"),
        in_graph(lambda content, _: content["guards_code"].append("torch.hub.load('x')")),
        in_graph(lambda content, _: content["guards_code"].append("L['x'].__class__")),
        in_graph(lambda content, _: content["guards_code"].append("(lambda: 1)()")),
        in_graph(lambda content, _: content["guards_code"].append("Add('f(1)')")),
        in_graph(lambda content, _: content["guards_code"].append("[x for x in L]")),
        in_graph(lambda _, graph: graph["graph"]["tensor_values"].update({"a b": {}})),
        called("metadata"),
        called("as_string"),
        first_node("inputs", [{"name": "x", "arg": {"as_string": "' + f() + '"}, "kind": 1}]),
        lambda records: records.update({"data/aotinductor/model/x.so": b"\x7fELF"}),
        lambda records: records.update({"data/constants/custom_obj_0": b"x"}),
        lambda records: records.update({"data/weights/weight_0/../../x": b"x"}),
        lambda records: records.update({"serialized_state_dict.pt": b"\x80\x04N."}),
        lambda records: records.update({"models/other.json": b"{}"}),
    ],
)
def test_other_ways_to_run_code_are_refused(archive, tmp_path, change):
    with pytest.raises(TrackingError, match="which loading would execute; nothing was loaded"):
        check_archive(forge(archive, tmp_path, change))


@pytest.mark.parametrize(
    "change",
    [
        lambda records: records.pop("archive_format"),
        lambda records: records.update({"models/model.json": b"{"}),
        lambda records: records.update({"models/model.json": b"\xff"}),
        lambda records: records.update({"data/weights/model_weights_config.json": b"[]"}),
        lambda records: records.update({"data/sample_inputs/model.pt": b"hello"}),
    ],
)
def test_a_damaged_archive_is_refused_in_a_line(archive, tmp_path, change):
    with pytest.raises(
        TrackingError, match=r"^model.pt2: not what torch.export.save writes"
    ) as line:
        check_archive(forge(archive, tmp_path, change))
    assert "\n" not in str(line.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04N.", b"<html>"])
def test_another_file_is_refused(tmp_path, content):
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(TrackingError, match=r"not what torch.export.save writes"):
        check_archive(path)


def test_the_archive_of_an_honest_program_loads(archive, tmp_path):
    check_archive(archive)
    same = forge(archive, tmp_path, lambda _: None)
    images = torch.rand(5, 3, 40, 33)
    expected = torch.export.load(archive).module()(images)
    assert torch.equal(read_program(same)(images), expected)
