"""The house rules: who imports whom, one name from MLproject to the config, pins that agree."""

import ast
import dataclasses
import importlib
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from experiments.protocol.parameters import parse
from fundus_ml.errors import InputError

ROOT = Path(__file__).parents[1]
ENTRY_POINTS = (
    "main", "preprocess", "audit", "pretrain", "train", "tune", "robustify", "average", "evaluate",
    "compare", "promote", "modulate", "reader_study",
)  # fmt: skip
ALLOWED = {
    "experiments": {"experiments", "fundus_ml", "tracking"},
    "fundus_ml": {"fundus_ml"},
    "tracking": {"tracking"},
}
BARE = {
    "torch", "torchvision", "numpy", "scipy", "pandas", "pyarrow", "cv2", "sklearn", "matplotlib",
    "mpl_toolkits", "joblib", "safetensors",
}  # fmt: skip
ADAPTERS = {
    "fundus_ml/imaging/decoding.py": {"PIL", "simplejpeg"},
    "fundus_ml/imaging/dicom.py": {"pydicom"},
    "fundus_ml/imaging/image_headers.py": {"PIL"},
    "fundus_ml/sources/tables.py": {"pandera"},
    "fundus_ml/pages.py": {"jinja2"},
    "fundus_ml/owned_folders.py": {"filelock"},
    "fundus_ml/parallel.py": {"distributed", "threadpoolctl"},
    "fundus_ml/attacks/robustness_engine.py": {"robustness"},
}
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]


def imports(path):
    """Top-level packages a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
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


def test_text_files_are_written_and_read_in_one_encoding():
    """Whatever the locale says."""
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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
    "experiments/protocol/temporary.py": {"rmtree"},
}


def names_in(path):
    """Every name that a file uses, calls or imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


@pytest.mark.parametrize("package", ALLOWED)
def test_no_folder_is_deleted_with_whatever_lies_in_it(package):
    """Users name folders: ``fundus_ml.own_files`` deletes what the program wrote, by name."""
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
@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_every_seed_has_the_same_range(name, seed):
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


def test_the_lock_names_no_registry_and_pins_everything():
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    assert "--" not in text.replace("--no-deps", "")
    assert "opencv-python-headless" not in locked()
