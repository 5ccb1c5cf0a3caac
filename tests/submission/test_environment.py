import re
from importlib import metadata

import pytest

from pipeline.errors import UsageError
from pipeline.submission.environment import check_environment, environment, requirements


def test_environment_like_this_one_is_accepted():
    check_environment(environment())
    check_environment({})


def test_versions_that_decide_bits_are_named_where_they_differ():
    expected = {**environment(), "jaxlib": "0.0.1", "python": "2.7"}
    with pytest.raises(UsageError) as caught:
        check_environment(expected)
    here = environment()
    assert f"jaxlib {here['jaxlib']} instead of 0.0.1" in str(caught.value)
    assert f"python {here['python']} instead of 2.7" in str(caught.value)
    assert "numpy" not in str(caught.value)
    assert "submit.environment=install" in str(caught.value)


def test_install_pins_what_is_installed_here_but_ray():
    ours, *pins = requirements(None, ["equinox>=0.13"])
    assert ours == f"hyperdiag=={metadata.version('hyperdiag')}"
    assert pins.pop() == "equinox>=0.13"
    names = {re.split("==", pin)[0] for pin in pins}
    assert {"jax", "jaxlib", "numpy", "pyarrow", "hydra-core", "pydantic-core"} <= names
    assert not {"ray", "hyperdiag", "ruff", "pytest"} & names
    assert all(metadata.version(pin.split("==")[0]) == pin.split("==")[1] for pin in pins)


def test_wheel_is_installed_from_where_ray_unpacks_it():
    first, *_ = requirements("dist/hyperdiag-0.1.0-py3-none-any.whl")
    assert first == "${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/hyperdiag-0.1.0-py3-none-any.whl"
