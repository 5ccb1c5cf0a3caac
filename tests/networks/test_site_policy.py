"""Modules that the site does not allow are not imported, whoever names them."""

import json
import sys
from importlib import metadata
from pathlib import Path

import pytest

from hyperdiag.messages.errors import UsageError
from hyperdiag.networks import build_network, network_names, network_summary, site_policy

BUILDER = """
from pathlib import Path
from os import system
Path({mark!r}).touch()
def build(): return lambda x: x ** 2
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Make a module that leaves a mark when it is imported; return the mark."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(name):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        mark = tmp_path / f"{name}.imported"
        path.write_text(BUILDER.format(mark=str(mark)))
        for one in [one for one in sys.modules if one == name or name.startswith(f"{one}.")]:
            monkeypatch.delitem(sys.modules, one)
        return mark

    yield made
    # Other tests have packages of the same names.
    for name, module in [*sys.modules.items()]:
        own = getattr(module, "__dict__", {})  # of some, PyTorch's, attributes are made up
        places = (own.get("__file__"), *own.get("__path__", ()))
        if any(place and place.startswith(str(tmp_path)) for place in places):
            del sys.modules[name]


@pytest.fixture
def allow(tmp_path, monkeypatch):
    def allowed(*modules, text=None):
        path = tmp_path / "site.yaml"
        path.write_text(text or json.dumps({"allowed_modules": modules}))
        monkeypatch.setenv("HYPERDIAG_SITE", str(path))
        return path

    return allowed


def _build(target):
    return build_network({"name": "python", "target": target, "n_inputs": 2})


def test_target_outside_the_allowed_modules_is_refused_before_its_import(module, allow):
    mark = module("elsewhere_net")
    path = allow("mycompany.*", "elsewhere")
    with pytest.raises(UsageError, match="does not allow the module elsewhere_net") as refused:
        _build("elsewhere_net:build")
    assert str(path) in str(refused.value)
    assert not mark.exists()


@pytest.mark.parametrize("pattern", ["mycompany_nets.*", "mycompany_nets.surrogates", "*"])
def test_target_in_an_allowed_module_is_built(module, allow, pattern):
    mark = module("mycompany_nets.surrogates")
    allow(pattern)
    assert _build("mycompany_nets.surrogates:build").n_outputs == 2
    assert mark.exists()


def test_what_an_allowed_module_only_imports_is_refused(module, allow):
    module("mycompany_net")
    allow("mycompany_net")
    with pytest.raises(UsageError, match="does not allow the module posix"):
        _build("mycompany_net:system")


def test_without_a_site_file_anything_goes(module, monkeypatch):
    monkeypatch.delenv("HYPERDIAG_SITE", raising=False)
    module("free_net")
    assert _build("free_net:build").n_inputs == 2


def test_registered_network_outside_the_allowed_modules_is_refused_by_name(
    module, allow, monkeypatch
):
    mark = module("their_net")
    point = metadata.EntryPoint("theirs", "their_net:build", "hyperdiag.networks")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point])
    allow("mycompany.*")
    assert "theirs" in network_names()
    assert "does not allow the module their_net" in network_summary("theirs")
    with pytest.raises(UsageError, match=r"network 'theirs' .* does not allow"):
        build_network({"name": "theirs"})
    assert not mark.exists()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("allowed_modules: [", "cannot be read"),
        ("allowed_module: [a]", "is no key here"),
        ("{}", "allowed_modules is required"),
        ("allowed_modules: a.*", "must be"),
        ("allowed_modules: [1]", "must be"),
        ("just text", "must be"),
    ],
)
def test_wrong_site_file_refuses_every_network(allow, text, reason):
    allow(text=text)
    with pytest.raises(UsageError, match=f"site file .*{reason}"):
        build_network({"name": "chain", "layers": "Chain(Dense(2,1))"})


def test_missing_site_file_refuses_every_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HYPERDIAG_SITE", str(tmp_path / "none.yaml"))
    with pytest.raises(UsageError, match=r"none\.yaml cannot be read"):
        build_network({"name": "chain", "layers": "Chain(Dense(2,1))"})


def test_both_site_files_must_allow_a_module(module, allow, monkeypatch, tmp_path):
    module("own_net")
    everywhere = tmp_path / "etc.yaml"
    everywhere.write_text("allowed_modules: [mycompany.*]")
    monkeypatch.setattr(site_policy, "EVERYWHERE", Path(everywhere))
    allow("*")
    with pytest.raises(UsageError, match=r"does not allow the module own_net .*etc\.yaml"):
        _build("own_net:build")


def test_command_is_refused_with_exit_code_2_and_no_override_helps(invoke, module, allow, tmp_path):
    mark = module("their_job_net")
    allow("mycompany.*")
    run = (
        *("derive", "cluster=inline", "network=python", "network.n_inputs=2"),
        *("network.target=their_job_net:build", "dataset.ranges={x1: [0, 1], x2: [0, 1]}"),
    )
    done = invoke(*run)
    assert done.returncode == 2
    assert "this site does not allow the module their_job_net" in done.stderr
    assert invoke(*run, "+site.allowed_modules=[their_job_net]").returncode == 2
    assert not mark.exists()
    assert not (tmp_path / "outputs").exists()
