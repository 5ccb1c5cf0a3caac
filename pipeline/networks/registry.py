"""The registry: from a name and options in configuration to a `Network`."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib import metadata
from operator import attrgetter
from typing import Any

from pydantic import ConfigDict, ValidationError, validate_call

from hyperdiag.hyperdual import Float32Function, dtype_difference
from hyperdiag.messages.errors import HyperdiagError, Problems, UsageError, closest
from hyperdiag.messages.validation import sentences

from .network import Network, output_size
from .site_policy import check_builder, check_module, has_policy, leave_current_folder

# One line registers a network: its name, and the function that builds it from its options.
_BUILTIN = {
    "chain": "hyperdiag.networks.chain:build",
    "keras": "hyperdiag.networks.model_files.keras:build",
    "onnx": "hyperdiag.networks.model_files.onnx:build",
    "python": "hyperdiag.networks.python:build",
    "qlknn": "hyperdiag.networks.qlknn:build",
    "sklearn": "hyperdiag.networks.model_files.sklearn:build",
    "torch": "hyperdiag.networks.model_files.torch:build",
}

# Packages register theirs as `name = "package.module:builder"` under this entry point.
ENTRY_POINT_GROUP = "hyperdiag.networks"

_SAMPLE = 16  # points at which values are compared where constants cannot be
_STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def _registered() -> dict[str, str]:
    points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    return {point.name: point.value for point in points} | _BUILTIN


def network_names() -> list[str]:
    """Return the names of all registered networks, sorted."""
    return sorted(_registered())


def _builder(name: str) -> Callable[..., Network]:
    registered = _registered()
    if name not in registered:
        raise UsageError(
            f"no network is registered as '{name}'{closest(name, registered)}; "
            f"`hyperdiag networks` lists them: {', '.join(sorted(registered))}"
        )
    module, _, function = registered[name].partition(":")
    what = f"network '{name}' is registered as {registered[name]}"
    if name in _BUILTIN:
        has_policy()  # one that cannot be read is complained of, whatever network is asked for
    else:
        check_module(module, what)
        leave_current_folder()
    try:
        builder = attrgetter(function)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{what}, which cannot be loaded: {error}") from error
    if name not in _BUILTIN:
        check_builder(builder, what)
    return builder


def network_options(name: str) -> dict[str, Any]:
    """Return the options that a network takes, with their defaults (`???`: must be given)."""
    parameters = inspect.signature(_builder(name)).parameters.values()
    return {
        parameter.name: "???" if parameter.default is parameter.empty else parameter.default
        for parameter in parameters
        if parameter.name != "dtype"
    }


def network_summary(name: str) -> str:
    """Return the first line of what a network's builder says of itself, or why it cannot be had."""
    try:
        return (inspect.getdoc(_builder(name)) or "").partition("\n")[0]
    except UsageError as error:
        return f"cannot be used: {error}"


def build_network(settings: Mapping[str, Any], dtype: str = "float32") -> Network:
    """Build the network that configuration names.

    A network for float64 is built for float32, too, and the two are compared: weights that depend
    on the dtype make another network. One that only float32 can trace or build is its float32
    program, evaluated in float64.

    Args:
        settings: `name`, and the options of that network.
        dtype: the run's dtype, under which the network will be traced.

    Raises:
        UsageError: if the name or an option is unknown, the network's own checks fail, or it is
            another network in float64 than in float32.
    """
    if dtype != "float64":
        return _built(settings, dtype)
    # First: JAX may keep a module's arrays in the precision of their first trace.
    try:
        double = _built(settings, dtype)
    except UsageError as error:
        single = _built_or_none(settings, "float32")
        if single is None:
            raise
        return _of_float32(single, str(error).rstrip("."))
    single = _built_or_none(settings, "float32")
    if single is not None:  # else it is for float64 alone
        _check_same(single, double)
    return double


def _of_float32(single: Network, failure: str) -> Network:
    """Return a network for float64 that is a float32 network's program, evaluated in float64.

    Args:
        single: as it is built for float32.
        failure: why it cannot be built for float64.
    """
    function = Float32Function(single.function)
    try:
        output_size(function, single.n_inputs, "float64")
    except UsageError as error:
        raise UsageError(
            f"{failure}. In float32 it can be built: take derivatives.dtype=float32 ({error})"
        ) from error
    return replace(single, function=function)


def float64_function(settings: Mapping[str, Any]) -> Callable | None:
    """Return a network's function as it is built for float64; None if it cannot be built so."""
    double = _built_or_none(settings, "float64")
    return None if double is None else double.function


def _built_or_none(settings: Mapping[str, Any], dtype: str) -> Network | None:
    try:
        return _built(settings, dtype)
    except HyperdiagError:
        return None


def _check_same(single: Network, double: Network) -> None:
    points = double.typical_points(_SAMPLE)
    difference = dtype_difference(single.function, double.function, points)
    if difference is not None:
        raise UsageError(
            f"network '{double.name}' ({double.description or 'without description'}) is another "
            f"one in float64 than in float32: {difference}. The numbers that its builder draws or "
            "computes depend on the dtype: let it make them in one dtype, as in "
            "jax.random.normal(key, shape, jnp.float32) or with a module's dtype=jnp.float32, or "
            "load them from a file; or take derivatives.dtype=float32"
        )


def _built(settings: Mapping[str, Any], dtype: str) -> Network:
    options = dict(settings)
    name = options.pop("name")
    known = network_options(name)
    problems = Problems()
    for option in [name for name in options if name not in known]:
        problems.add(
            f"network '{name}' has no option 'network.{option}'{closest(option, known)}; "
            f"it has: {', '.join(known) or 'none'}"
        )
    for option, default in known.items():
        if default == "???" and options.get(option) in (None, "???"):
            problems.add(f"network '{name}' needs network.{option}=...")
    problems.check()
    # The builder's own annotations say what its options are.
    checked = validate_call(config=_STRICT)(_builder(name))
    try:
        return checked(**options, dtype=dtype)
    except ValidationError as error:
        complaints = sentences(error.errors(), options, lambda _: list(known))
        raise UsageError([f"network.{sentence}" for sentence in complaints]) from error
    except HyperdiagError:
        raise
    except Exception as error:  # a builder may be anybody's
        raise UsageError(
            f"network '{name}' cannot be built: {type(error).__name__}: {error}"
        ) from error
