"""The house rules: who imports whom, one name from MLproject to the config, pins that agree."""

import ast
import dataclasses
import importlib
import re
import tomllib
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from experiments.running.flags import parse
from fundus_ml.errors import InputError

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = (
    "main", "real_eyes", "preprocess", "audit", "measure", "pretrain", "train", "tune", "robustify",
    "average", "evaluate", "score", "compare", "promote", "modulate", "explain", "reader_study",
    "reproduce",
    "train_regions",
)  # fmt: skip
ALLOWED = {
    "experiments": {"experiments", "fundus_ml", "tracking"},
    "fundus_ml": {"fundus_ml"},
    "tracking": {"tracking"},
}
BARE = {
    "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "cv2", "sklearn", "matplotlib",
    "mpl_toolkits", "joblib", "safetensors", "lazy_loader", "skimage",
}  # fmt: skip
ADAPTERS = {
    "fundus_ml/models/backbones.py": {"timm"},
    "fundus_ml/models/imagenet.py": {"timm"},
    "fundus_ml/training/distribution.py": {"timm"},
    "fundus_ml/training/optimization.py": {"timm"},
    "fundus_ml/attacks/folding.py": {"timm"},
    "fundus_ml/imaging/decoding.py": {"PIL", "simplejpeg"},
    "fundus_ml/imaging/dicom.py": {"pydicom"},
    "fundus_ml/imaging/image_headers.py": {"PIL"},
    "fundus_ml/sources/tables.py": {"pandera"},
    "fundus_ml/pages/template.py": {"jinja2"},
    "fundus_ml/data/owned_folders.py": {"filelock"},
    "fundus_ml/parallel.py": {"distributed", "threadpoolctl"},
    "fundus_ml/attacks/robustness_engine.py": {"robustness"},
    "fundus_ml/attribution/captum_layers.py": {"captum"},
    "fundus_ml/attribution/xrai.py": {"saliency"},
}
FLOORS = (
    ("errors",),
    ("parallel",),
    ("statistics", "models"),
    ("imaging", "attacks"),
    ("data", "figures"),
    ("synthesis", "training", "modulation", "serving"),
    ("sources", "robust_training", "pretraining", "pages", "region_training"),
    ("evaluation", "auditing", "reader_study", "biomarkers", "attribution"),
    ("preprocessing", "model_selection", "robust_evaluation", "faithfulness", "atlas"),
)
"""Rooms of ``fundus_ml``, ground floor first: a room imports only from the floors below it."""
LONGEST_CHAIN = 12
"""Files of ``fundus_ml`` that may import one another in a row."""
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


@cache
def parsed(text):
    """Every node of a file's syntax tree: each file is parsed once for all rules."""
    return tuple(ast.walk(ast.parse(text)))


def nodes_of(path):
    return parsed(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module", autouse=True)
def forget_what_was_parsed():
    yield
    parsed.cache_clear()


def imports(path):
    """Top-level packages a file imports, wherever in it."""
    names = set()
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module.partition(".")[0])
    return names


def config_of(name):
    module = importlib.import_module(f"experiments.{name}")
    return getattr(module, f"{name.title().replace('_', '')}Config")


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_follow_the_arrows(package):
    for path in (ROOT / package).rglob("*.py"):
        ours = imports(path) & set(ALLOWED)
        assert ours <= ALLOWED[package], f"{path.relative_to(ROOT)} imports {ours}"


def test_an_import_anywhere_in_a_file_is_seen(tmp_path):
    file = tmp_path / "module.py"
    file.write_text("import numpy.linalg\ndef late():\n    from tracking.runs import Run\n")
    assert imports(file) == {"numpy", "tracking"}


def test_the_science_runs_without_the_memory():
    """Beyond its bare needs, a package is imported only inside its one adapter."""
    import sys  # noqa: PLC0415 (only here)

    for path in (ROOT / "fundus_ml").rglob("*.py"):
        name = str(path.relative_to(ROOT))
        foreign = imports(path) - BARE - {"fundus_ml"} - sys.stdlib_module_names
        assert foreign <= ADAPTERS.get(name, set()), f"{name} imports {foreign}"


def modules_of(package, *, root=ROOT):
    """Every module of a package, by its dotted name, and the modules of it that it imports."""
    files = {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in (root / package).rglob("*.py")
    }
    return {name: set(modules_named(path, files)) for name, path in files.items()}


def modules_named(path, files):
    """Yield what a file imports of ``files``, ``TYPE_CHECKING`` or late imports too."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                inside = f"{node.module}.{alias.name}"
                yield from [name for name in (inside, node.module) if name in files][:1]


def room_of(module):
    return module.split(".")[1] if "." in module else None


def floor_of(room):
    return next(number for number, rooms in enumerate(FLOORS, 1) if room in rooms)


def climbing(modules):
    """Imports of one room from another that does not lie on a lower floor."""
    return [
        f"{name} imports {taken}"
        for name, imported in modules.items()
        for taken in imported
        if room_of(name) not in {None, room_of(taken)}
        and floor_of(room_of(name)) <= floor_of(room_of(taken))
    ]


def circles(modules):
    """Modules that import themselves through others."""
    try:
        tuple(TopologicalSorter(modules).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def longest_chain(modules):
    """The longest row of modules of which each imports the next."""
    longest = {}
    for name in TopologicalSorter(modules).static_order():
        below = max((longest[taken] for taken in modules[name]), key=len, default=())
        longest[name] = (name, *below)
    return max(longest.values(), key=len)


def test_the_rooms_are_those_of_the_table():
    rooms = {path.stem for path in (ROOT / "fundus_ml").iterdir() if path.name != "__pycache__"} - {
        "__init__"
    }
    assert rooms == {room for floor in FLOORS for room in floor}


def test_no_room_imports_from_its_own_floor_or_a_higher_one():
    assert climbing(modules_of("fundus_ml")) == []


@pytest.mark.parametrize("package", ALLOWED)
def test_no_module_imports_itself_through_others(package):
    assert circles(modules_of(package)) == []


def entry_points_imported(modules):
    """Imports of an entry point by what entry points share."""
    shared = ("experiments.running", "experiments.recording")
    entry_points = {f"experiments.{name}" for name in ENTRY_POINTS}
    return [
        f"{name} imports {taken}"
        for name, imported in modules.items()
        for taken in imported & entry_points
        if name.startswith(shared)
    ]


def test_what_entry_points_share_imports_none_of_them():
    assert entry_points_imported(modules_of("experiments")) == []


def test_chains_of_imports_are_short():
    chain = longest_chain(modules_of("fundus_ml"))
    assert len(chain) <= LONGEST_CHAIN, "\n".join(chain)


def test_a_breach_of_each_rule_is_seen(tmp_path):
    low, high = tmp_path / "fundus_ml" / "statistics", tmp_path / "fundus_ml" / "data"
    for room in (low, high):
        room.mkdir(parents=True)
        (room / "__init__.py").touch()
    (high / "table.py").write_text("from fundus_ml.statistics.means import mean\n")
    (low / "means.py").write_text("import numpy\n")
    sound = modules_of("fundus_ml", root=tmp_path)
    assert climbing(sound) == circles(sound) == []
    assert longest_chain(sound) == ("fundus_ml.data.table", "fundus_ml.statistics.means")
    (low / "means.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from fundus_ml.data import table\n"
    )
    broken = modules_of("fundus_ml", root=tmp_path)
    assert climbing(broken) == ["fundus_ml.statistics.means imports fundus_ml.data.table"]
    room = tmp_path / "experiments" / "recording"
    room.mkdir(parents=True)
    (room.parent / "train.py").touch()
    (room / "page.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
        "    from experiments.train import TrainConfig\n"
    )
    assert entry_points_imported(modules_of("experiments", root=tmp_path)) == [
        "experiments.recording.page imports experiments.train"
    ]
    assert set(circles(broken)) == {"fundus_ml.statistics.means", "fundus_ml.data.table"}


def test_text_files_are_written_and_read_in_one_encoding():
    """Whatever the locale says."""
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            for call in nodes_of(path):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                    text = call.func.attr in {"read_text", "write_text"}
                    named = any(keyword.arg == "encoding" for keyword in call.keywords)
                    assert named or not text, f"{path.relative_to(ROOT)}, line {call.lineno}"


def test_every_entry_point_is_a_module_and_the_other_way_round():
    modules = {path.stem for path in (ROOT / "experiments").glob("*.py")} - {"__init__"}
    assert set(PROJECT) == modules == set(ENTRY_POINTS)


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_mlproject_and_config_have_the_same_parameters_and_defaults(name):
    config_class = config_of(name)
    fields = {field.name: field for field in dataclasses.fields(config_class)}
    parameters = PROJECT[name]["parameters"]
    required = {n for n, field in fields.items() if field.default is dataclasses.MISSING}
    assert set(parameters) == set(fields)
    assert {n for n, entry in parameters.items() if "default" not in entry} == required
    # What MLproject says, read as flags, is what the config says.
    given = {n: entry.get("default", "data/any") for n, entry in parameters.items()}
    flags = [part for n, value in given.items() for part in (f"--{n}", value)]
    assert parse(config_class, flags, name=name) == config_class(
        **dict.fromkeys(required, "data/any")
    )


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_the_command_passes_every_parameter_under_its_own_name(name):
    command = PROJECT[name]["command"]
    assert command.startswith(f"python -m experiments.{name} ")
    passed = re.findall(r"--(\w+) \{(\w+)\}", command)
    assert [flag for flag, _ in passed] == [value for _, value in passed]
    assert {flag for flag, _ in passed} == set(PROJECT[name]["parameters"])


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_flag_is_explained(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        parse(config_of(name), ["--help"], name=name)
    text = " ".join(capsys.readouterr().out.split())
    for field in dataclasses.fields(config_of(name)):
        told = re.search(rf"--{field.name} (?:\{{[\w,]+\}}|[A-Z_]+) (\S[^(]*)\(", text)
        assert told, f"{name}: --{field.name} has no line of help"


DELETES_WHATEVER_IT_FINDS = {"rmtree", "removedirs"}
MADE_BY_THE_PROGRAM = {
    # Folders that mkdtemp made for this program, named for its machine, process and start.
    "experiments/running/temporary.py": {"rmtree"},
}


def names_in(path):
    """Every name that a file uses, calls or imports."""
    for node in nodes_of(path):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


@pytest.mark.parametrize("package", ALLOWED)
def test_no_folder_is_deleted_with_whatever_lies_in_it(package):
    """Users name folders: ``fundus_ml.data.own_files`` deletes what the program wrote, by name."""
    for path in (ROOT / package).rglob("*.py"):
        name = str(path.relative_to(ROOT))
        found = DELETES_WHATEVER_IT_FINDS & set(names_in(path))
        assert found <= MADE_BY_THE_PROGRAM.get(name, set()), f"{name} uses {found}"


def test_a_deletion_is_seen_however_it_is_spelled(tmp_path):
    for text in (
        "import shutil\nshutil.rmtree('a')",
        "from shutil import rmtree as away\naway('a')",
        "def f():\n    import shutil as s\n    return s.rmtree",
    ):
        (tmp_path / "module.py").write_text(text)
        assert DELETES_WHATEVER_IT_FINDS & set(names_in(tmp_path / "module.py"))


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_seed_has_the_same_range(name):
    config_class = config_of(name)
    fields = dataclasses.fields(config_class)
    if "seed" not in {field.name for field in fields}:
        pytest.skip("draws nothing")
    needed = {
        field.name: "models:/a/1,models:/b/1"
        for field in fields
        if field.default is dataclasses.MISSING
    }
    assert config_class(**needed, seed=2**32 - 1).seed == 2**32 - 1
    for seed in (-1, 2**32, 10**30):
        with pytest.raises(InputError, match=f"^seed={seed}: must be from 0 to 4294967295$"):
            config_class(**needed, seed=seed)


def locked():
    pins = {}
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        if line and not line.startswith("#"):
            name, version = line.partition(";")[0].strip().split("==")
            pins[name.lower().replace("_", "-")] = version
    return pins


def pinned(requirements):
    found = {}
    for requirement in requirements:
        name, version = requirement.split("==")
        found[name.partition("[")[0]] = version
    return found


def test_pins_agree_with_the_lock():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())["dependencies"]
    (pip,) = [entry["pip"] for entry in conda if isinstance(entry, dict)]
    direct = pinned(project["dependencies"])
    assert pinned(pip) == direct
    extras = project["optional-dependencies"]
    wanted = direct | pinned(extras["dev"])
    assert {name: locked().get(name) for name in wanted} == wanted
    assert set(extras["dicom"]) <= set(extras["dev"])


@pytest.mark.parametrize("python", ["3.11.0", "3.12.0", "3.13.0"])
def test_the_lock_pins_each_package_once_for_every_python(python):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert SpecifierSet(project["requires-python"]).contains(python)
    lines = [
        Requirement(line)
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if not line.startswith("#")
    ]
    here = {"python_version": python.rpartition(".")[0], "python_full_version": python}
    names = [each.name for each in lines if not each.marker or each.marker.evaluate(here)]
    assert len(names) == len(set(names))
    everywhere = {each.name for each in lines if each.marker and "3.12" in str(each.marker)}
    assert everywhere <= set(names)


def test_the_lock_names_no_registry_and_pins_everything():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--" not in text.replace("--no-deps", "")
    assert "opencv-python-headless" not in locked()
