from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from omegaconf import OmegaConf

from hyperdiag.config.override import quoted
from hyperdiag.submission.arguments import Command, cluster_arguments

from .texts import awkward

_PARSER = OverridesParser.create()


@settings(max_examples=300)
@given(awkward)
@example("\\")
@example("\\\\'\\")
@example("\\${x}'")
def test_quoted_text_is_read_back_by_hydra_as_it_is(text):
    (override,) = _PARSER.parse_overrides([f"key={quoted(text)}"])
    config = OmegaConf.create({"key": ""})
    OmegaConf.update(config, "key", override.value())
    assert OmegaConf.to_container(config, resolve=True) == {"key": text}


@pytest.fixture
def resolved(configure):
    def arguments(*overrides, **command):
        config, _ = configure(*overrides)
        return cluster_arguments(config, Command(overrides, **command))

    return arguments


def test_overrides_stand_unchanged_before_what_is_resolved(resolved, configure):
    here = Path.cwd()
    overrides = ["dataset=parquet", "dataset.path=rows/a=1", "run.date=2026-11-23"]
    overrides[1] = "dataset.path='rows/a=1'"
    overrides.append("output.path='out, of ${run.date}'")
    arguments = resolved(*overrides)
    assert arguments[:4] == overrides
    assert arguments[4:] == [
        "run.date='2026-11-23'",
        f"output.path='{here}/out, of 2026-11-23'",
        f"dataset.path='{here}/rows/a=1'",
    ]
    config, _ = configure(*arguments)
    assert config.output.path == f"{here}/out, of 2026-11-23"
    assert config.dataset.path == f"{here}/rows/a=1"


def test_uris_keep_their_form(resolved):
    arguments = resolved("dataset=parquet", "dataset.path=s3://b/x", "output.path=s3://b/y")
    assert "output.path='s3://b/y'" in arguments
    assert "dataset.path='s3://b/x'" in arguments


def test_credentials_of_a_uri_stay_where_the_override_takes_them_from(resolved, monkeypatch):
    monkeypatch.setenv("KEY", "AKIA:hunter2")
    arguments = resolved("output.path='s3://${oc.env:KEY}@b/y'")
    assert "output.path='s3://${oc.env:KEY}@b/y'" in arguments
    assert not any("hunter2" in argument for argument in arguments)


def test_design_has_no_path(resolved):
    assert not any(argument.startswith("dataset.path") for argument in resolved("dataset=design"))


def test_configuration_is_named_as_it_lies_in_the_package(resolved):
    assert resolved(config_dirs=["a", "/b"], config_name="task")[:3] == [
        *("--config-dir=_config/0", "--config-dir=_config/1", "--config-name=task"),
    ]
