"""What comes from the environment is a credential, but for what people have to read."""

import pytest
from omegaconf import OmegaConf

import hyperdiag.config.environment_values  # noqa: F401  the resolver
from hyperdiag.messages import secrets
from hyperdiag.messages.masking import masked_text


@pytest.mark.parametrize(
    ("key", "name", "value", "is_masked"),
    [
        ("network.kwargs.value", "ZQ", "zq-value-zq", True),
        ("network.kwargs.more[0]", "ZQ", "zq-value-zq", True),
        ("network.kwargs.value", "ZQ", "/models/zq", False),
        ("network.kwargs.value", "ZQ", "s3://models/zq", False),
        ("network.kwargs.value", "ZQ", "true", False),
        ("network.weights", "ZQ", "zq-value-zq", False),
        ("notify.url", "ZQ", "http://h/T000/B000/zq", True),
        ("submit.address", "ZQ", "zq-value-zq", True),
        ("dataset.filter", "ZQ", "zq-value-zq", True),
        ("output.path", "ZQ", "zq-bucket-zq", False),
        ("output.path", "ZQ_TOKEN", "zqzq", True),
        ("derivatives.dtype", "ZQ", "float64", False),
    ],
)
def test_value_is_registered_unless_people_have_to_read_it(
    monkeypatch, key, name, value, is_masked
):
    monkeypatch.setattr(secrets, "_registered", set())
    monkeypatch.setenv(name, value)
    config = OmegaConf.create()
    OmegaConf.update(config, key.partition("[")[0], ["${oc.env:" + name + "}"])
    if "[" not in key:
        OmegaConf.update(config, key, "${oc.env:" + name + "}")
    assert OmegaConf.select(config, key) == value
    assert (masked_text(f"got {value} there") == "got *** there") == is_masked


def test_default_is_taken_and_is_no_credential(monkeypatch):
    monkeypatch.setattr(secrets, "_registered", set())
    monkeypatch.delenv("ZQ", raising=False)
    config = OmegaConf.create({"network": {"a": "${oc.env:ZQ,zq-default}", "b": "${oc.env:ZQ}"}})
    assert config.network.a == "zq-default"
    with pytest.raises(Exception, match="Environment variable 'ZQ' not found"):
        _ = config.network.b
