import sys

import numpy as np
import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network
from hyperdiag.submission.options import SubmitConfig
from hyperdiag.submission.payload import payload_files


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a package that imports a module beside it, and things that stay at home."""
    for name, content in {
        "payload_mine/__init__.py": "",
        "payload_mine/net.py": "import payload_beside\ndef build(weights=None, more=()):\n"
        "    return payload_beside.f",
        "payload_mine/table.csv": "1",
        "payload_mine/__pycache__/net.pyc": "",
        "payload_mine/.hidden/x": "",
        "payload_beside.py": "f = lambda x: x * x",
        "payload_unused.py": "",
        ".venv/lib/payload_installed/__init__.py": "",
        "big/a": "a",
        "big/deep/b": "b",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    np.savez(tmp_path / "big/w.npz", W=np.zeros(2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path / ".venv/lib"))
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("payload_installed")
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("payload_")]:
        del sys.modules[name]


@pytest.fixture
def packed_for(configure, folder):
    def names(*overrides, config_dirs=(), **options):
        config, _ = configure("network=python", "network.n_inputs=2", *overrides)
        build_network(config.network.model_dump())
        return set(payload_files(config, SubmitConfig(**options), config_dirs))

    return names


_NET = "network.target=payload_mine.net:build"
_CODE = {
    *("payload_mine/__init__.py", "payload_mine/net.py", "payload_mine/table.csv"),
    "payload_beside.py",
}


def test_scenarios_and_the_module_of_derived_quantities_travel(packed_for, folder):
    (folder / "payload_risk.py").write_text("f = 1")
    __import__("payload_risk")
    shocks = ("derived=[delta_gamma]", "derived.delta_gamma.scenarios=big/a")
    mine = "derived.mine=payload_risk:f"
    assert packed_for(_NET, mine, *shocks) == {*_CODE, "payload_risk.py", "big/a"}


def test_files_that_options_of_ones_own_function_name_travel(packed_for, folder):
    (folder / "payload_risk.py").write_text("f = 1")
    __import__("payload_risk")
    mine = ("derived=[mine]", "derived.mine.target=payload_risk:f")
    options = "+derived.mine.options={limits: [big/a, nothing], rate: 0.03}"
    assert packed_for(_NET, *mine, options) == {*_CODE, "payload_risk.py", "big/a"}


def test_modules_travel_with_what_they_import_from_the_same_folder(packed_for):
    assert packed_for(_NET) == _CODE


def test_files_that_options_name_travel(packed_for):
    kwargs = "network.kwargs={weights: big/w.npz, more: [big/a, {x: big/deep/b}, nothing, big]}"
    assert packed_for(_NET, kwargs) == _CODE | {"big/w.npz", "big/a", "big/deep/b"}


def test_files_that_are_asked_for_travel(packed_for):
    everything = {"big/a", "big/deep/b", "big/w.npz"}
    assert packed_for(_NET, files=["big", "payload_unused.py"]) == (
        _CODE | everything | {"payload_unused.py"}
    )


def test_folders_of_configuration_travel_from_anywhere(packed_for, tmp_path_factory):
    other = tmp_path_factory.mktemp("conf")
    (other / "limits").mkdir()
    (other / "limits/mine.yaml").write_text("x: 1")
    assert packed_for(_NET, config_dirs=[str(other)]) == _CODE | {"_config/0/limits/mine.yaml"}


def test_wheel_travels_where_it_is_to_be_installed(packed_for, folder):
    (folder / "big/hyperdiag-0.1.0-py3-none-any.whl").write_text("")
    wheel = "big/hyperdiag-0.1.0-py3-none-any.whl"
    assert packed_for(_NET, environment="install", package=wheel) == (
        _CODE | {"hyperdiag-0.1.0-py3-none-any.whl"}
    )


def test_files_that_cannot_travel_are_named_all_at_once(packed_for, folder):
    (folder / "hyperdiag.py").write_text("")
    (folder.parent / "above.npz").write_text("")
    with pytest.raises(UsageError) as caught:
        packed_for(
            *(_NET, "network.kwargs={weights: ../above.npz}"),
            files=["nowhere", "/etc/passwd", "hyperdiag.py"],
        )
    weights, nowhere, password, ours = caught.value.problems
    assert weights.startswith(
        "network.kwargs.weights: ../above.npz is not below the current folder"
    )
    assert nowhere == f"submit.files: there is no nowhere in {folder}"
    assert password.startswith("submit.files: /etc/passwd is not below the current folder")
    assert ours.startswith(
        "submit.files, network.*: hyperdiag.py would stand before the installed package"
    )


_STANDS_BEFORE = "submit.files, network.*: hyperdiag would stand before the installed package"
_TRAVELS = "submit.files, network.*: _hyperdiag.json is the name of something else that travels"


@pytest.mark.parametrize(
    ("asked", "complaints"),
    [(".", [_TRAVELS, _STANDS_BEFORE]), ("./hyperdiag", [_STANDS_BEFORE]), ("deeper", [])],
)
def test_names_that_are_ours_are_refused_however_they_are_asked_for(
    packed_for, folder, asked, complaints
):
    for name in (
        "hyperdiag/__init__.py",
        "hyperdiag/more.py",
        "jobs/x",
        "deeper/pipeline/x",
        "_hyperdiag.json",
    ):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).write_text("")
    if not complaints:
        assert packed_for(_NET, files=[asked, "jobs"]) == _CODE | {"deeper/pipeline/x", "jobs/x"}
        return
    with pytest.raises(UsageError) as caught:
        packed_for(_NET, files=[asked])
    for problem, complaint in zip(caught.value.problems, complaints, strict=True):
        assert problem.startswith(complaint)


def test_folder_of_that_name_that_is_no_package_travels(packed_for, folder):
    (folder / "hyperdiag/pipeline").mkdir(parents=True)
    (folder / "hyperdiag/pipeline/__init__.py").write_text("")
    files = {"hyperdiag/pipeline/__init__.py"}
    assert packed_for(_NET, files=["hyperdiag"]) == _CODE | files


def test_hidden_files_travel_only_where_they_are_named(packed_for, folder):
    (folder / "big/.env").write_text("PASSWORD=hunter2")
    everything = {"big/a", "big/deep/b", "big/w.npz"}
    assert packed_for(_NET, files=["big"]) == _CODE | everything
    assert packed_for(_NET, files=["big/.env"]) == _CODE | {"big/.env"}
    # Of the whole folder neither that nor what is in .venv.
    assert packed_for(_NET, files=["."]) == _CODE | everything | {"payload_unused.py"}


def test_links_that_lead_back_end(packed_for, folder):
    (folder / "big/deep/up").symlink_to(folder / "big")
    (folder / "big/here").symlink_to(".")
    (folder / "big/other").symlink_to("deep")
    everything = {"big/a", "big/deep/b", "big/w.npz", "big/other/b"}
    assert packed_for(_NET, files=["big"]) == _CODE | everything


def test_more_than_the_server_takes_is_refused_before_it_is_packed(packed_for, folder):
    with (folder / "big/huge").open("wb") as file:
        file.truncate(200 << 20)
    with pytest.raises(UsageError) as caught:
        packed_for(_NET, files=["big"])
    assert "with 200 MiB would travel" in str(caught.value)
    assert "the largest of them big/huge; Ray's job server takes 99 MiB" in str(caught.value)


def test_network_that_is_not_the_users_brings_nothing(configure, folder):
    config, _ = configure("network=chain", "network.weights=big/w.npz")
    assert set(payload_files(config, SubmitConfig())) == {"big/w.npz"}
