import re

import pytest
from mlflow import MlflowClient

from tracking import names, registry
from tracking.errors import TrackingError
from tracking.runs import start_run

GOOD = ["fundus-sex", "a", "7", "_tmp", "-x", "v1.2_b-C", "latest", "n" * names.LONGEST_NAME]
BAD = [
    "", " ", ".", "..", ".hidden", "a/b", "a:b", "a@b", "o'brien", 'say "eye"', "a b", "a\n",
    "a\\b", "tab\t", "früh", "٣", "a%b", "a;drop", "n" * (names.LONGEST_NAME + 1), "\ud800", "\0",
    "~", "a,b",
]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_good_name_passes(name):
    names.check_model_name(name)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_name_is_refused_in_one_short_line(name):
    with pytest.raises(TrackingError, match=r"^register_as=.*: must be 1 to 100 ") as line:
        names.check_model_name(name)
    assert "\n" not in str(line.value)
    assert len(str(line.value)) < 300


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", GOOD)
def test_what_passes_is_registered_and_found_again(name):
    client = MlflowClient()
    model_id = client.create_logged_model("0", name="classifier").model_id
    client.create_registered_model(name)
    client.create_model_version(name, f"models:/{model_id}", model_id=model_id)
    client.set_registered_model_alias(name, "robust", "1")
    for uri in (f"models:/{name}/1", f"models:/{name}@robust"):
        assert registry.resolve(uri).model_id == model_id
    assert [version.version for version in names.versions_of(name)] == [1]


@pytest.mark.usefixtures("store")
def test_a_bad_name_is_refused_before_the_network_is_stored(network, files):
    refusal = pytest.raises(TrackingError, match=r"name=\"o'brien\": must be")
    with refusal, start_run("train", {}) as run:
        registry.register_classifier(
            run, "o'brien", model=network, files=files, metrics={}, tags={}
        )
    assert MlflowClient().search_registered_models() == []
    assert MlflowClient().search_logged_models(["0"]) == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", ["o'brien", 'say "eye"', "a b", "a@b", ".hidden", "früh"])
def test_a_name_that_others_registered_is_told_in_a_line(name):
    client = MlflowClient()
    client.create_registered_model(name)
    client.create_model_version(name, "somewhere")
    client.set_registered_model_alias(name, "robust", "1")
    for suffix in ("/1", "@robust", "/2", "@champion"):
        with pytest.raises(TrackingError, match="rename others") as line:
            registry.resolve(f"models:/{name}{suffix}")
        assert "\n" not in str(line.value)
    with pytest.raises(TrackingError, match=re.escape(f"there is: {name}")):
        registry.resolve("models:/eye/1")
    client.rename_registered_model(name, "eye")
    assert registry.resolve("models:/eye@robust").version == 1


@pytest.mark.usefixtures("version")
@pytest.mark.parametrize(
    "number", ["0", "2", "99999999999999999999", "1" * 5000, "٣", "-1", "1.0", "1_0"]
)
def test_a_number_that_is_no_version_is_told_in_a_line(number):
    with pytest.raises(TrackingError) as line:
        registry.resolve(f"models:/fundus-sex/{number}")
    assert "\n" not in str(line.value)


@pytest.mark.usefixtures("version")
def test_a_deleted_version_is_no_version():
    MlflowClient().delete_model_version("fundus-sex", "1")
    with pytest.raises(TrackingError, match="has no such version, there is: none yet"):
        registry.resolve("models:/fundus-sex/1")


@pytest.mark.usefixtures("store")
def test_names_and_versions_beyond_one_page_are_known():
    client = MlflowClient()
    for number in range(101):
        client.create_registered_model(f"eye-{number:03}")
    assert len(names.registered_names()) == 101
    with pytest.raises(TrackingError, match=r"eye-019 and 81 more$"):
        registry.resolve("models:/eye/1")
