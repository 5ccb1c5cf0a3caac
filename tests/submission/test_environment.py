import re
from importlib import metadata

from hyperdiag.submission.bootstrap import differences
from hyperdiag.submission.environment import environment, requirements


def test_environment_like_this_one_is_accepted():
    assert differences(environment()) == []
    assert differences({}) == []


def test_versions_that_decide_bits_are_named_where_they_differ():
    here = environment()
    wrong = differences({**here, "jaxlib": "0.0.1", "python": "2.7", "nothing-there": "1"})
    assert wrong == [
        f"python {here['python']} instead of 2.7",
        f"jaxlib {here['jaxlib']} instead of 0.0.1",
        "nothing-there (none) instead of 1",
    ]


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
