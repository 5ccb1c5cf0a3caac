"""What a person's builder returned, as a function of one point to one array."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from hyperdiag.hyperdual import numerics
from hyperdiag.messages.errors import UsageError, closest, listed

Function = Callable[[jax.Array], Any]


def called(built: Any, what: str) -> Function:
    """Return the function that a module, a function, or a pair of a function and parameters is.

    A module of Flax NNX or of Equinox is taken as it is when it is used, not trained: without
    dropout, a batch norm with the statistics that it has. One of Equinox that keeps those apart is
    a pair with its state, which stays as it is.

    Args:
        built: what the builder returned.
        what: names it.

    Raises:
        UsageError: if it is none of these.
    """
    if isinstance(built, tuple) and len(built) == 2:
        function, parameters = built
        if _is_a("flax.linen", "Module", function):
            function = function.apply
        if _is_a("equinox.nn", "State", parameters):
            return _stateful(function, parameters, what)
        if callable(function) and not callable(parameters):
            return lambda x: function(parameters, x)
    if _is_a("flax.nnx", "Module", built):
        built.eval()
    elif _is_a("equinox", "Module", built):
        built = sys.modules["equinox"].nn.inference_mode(built)
    elif _is_a("flax.linen", "Module", built):
        raise UsageError(f"{what} returned a Flax module without parameters: return (it, params)")
    elif _is_a("torch.nn", "Module", built):
        raise UsageError(
            f"{what} returned a module of PyTorch, which JAX cannot trace; export it with "
            "torch.export.save, for network=torch"
        )
    if not callable(built):
        raise UsageError(
            f"{what} returned {type(built).__name__}; it must return the network's function of one "
            "point, or (function, parameters)"
        )
    return built


def _stateful(module: Any, state: Any, what: str) -> Function:
    used = sys.modules["equinox"].nn.inference_mode(module)

    def function(x: jax.Array) -> Any:
        # Of a copy: Equinox lets each state be changed once.
        result = used(x, jax.tree.map(lambda leaf: leaf, state))
        if not (
            isinstance(result, tuple)
            and len(result) == 2
            and _is_a("equinox.nn", "State", result[1])
        ):
            raise UsageError(f"{what} returned a module with a state: it must return (y, state)")
        return result[0]

    return function


def at_point(function: Function) -> Function:
    """Return the function of one point (n,) of a function of a batch (rows, n)."""
    return lambda x: jax.tree.map(lambda leaf: leaf[0], function(x[None]))


def arrays_in(
    function: Function, size: int, dtype: str, wanted: Sequence[str] | None
) -> tuple[list[str] | None, list[str]]:
    """Return which arrays of what a function returns are taken, and the names of their numbers.

    Where it returns an array as it is, neither has a name: None, and an empty list. Of a
    dictionary, a tuple or whatever else holds arrays, the numbers have the names of the keys and
    fields, or y1, y2, ... by position, with 1, 2, ... where there are several.

    Args:
        function: of one point.
        size: n.
        dtype: of the point.
        wanted: names of arrays that alone are taken; or of all numbers, where these have no names
            of their own but their positions.

    Raises:
        UsageError: if it has no such arrays, two of one name, or one of other numbers than
            floating-point ones.
    """
    try:
        with numerics(dtype):
            shapes = jax.eval_shape(function, jax.ShapeDtypeStruct((size,), dtype))
    except Exception:  # whoever traces it next says what is wrong
        return None, []
    if isinstance(shapes, jax.ShapeDtypeStruct) or not jax.tree.leaves(shapes):
        return None, []
    leaves, _ = jax.tree_util.tree_flatten_with_path(shapes)
    arrays = {_name(path): leaf for path, leaf in leaves}
    if len(arrays) < len(leaves):
        raise UsageError(
            f"the function returns two arrays of one name, among {listed(list(arrays))}: give them "
            "other keys"
        )
    sizes = {name: leaf.size for name, leaf in arrays.items()}
    chosen = list(sizes)
    keys = [key for path, _ in leaves for key in path]
    by_position = all(isinstance(key, jax.tree_util.SequenceKey) for key in keys)
    if wanted and set(wanted) <= set(sizes):
        chosen = list(wanted)
    elif wanted and not (by_position and len(wanted) == sum(sizes.values())):
        stranger = next(name for name in wanted if name not in sizes)
        raise UsageError(
            f"network.outputs: the function returns no '{stranger}'{closest(stranger, sizes)}; "
            f"choose among {listed(chosen)}"
        )
    for name in chosen:
        if not jnp.issubdtype(arrays[name].dtype, jnp.floating):
            real = [at for at, leaf in arrays.items() if jnp.issubdtype(leaf.dtype, jnp.floating)]
            raise UsageError(
                f"the function returns floating-point numbers in {listed(real) or 'no array'}, and "
                f"{arrays[name].dtype} in '{name}': set network.outputs to those that are wanted"
            )
    return chosen, [name for at in chosen for name in _numbered(at, sizes[at])]


def joined(returned: Any, chosen: Sequence[str] | None, rows: tuple[int, ...] = ()) -> jax.Array:
    """Return the numbers of the chosen arrays in one array, (*rows, m).

    Args:
        returned: what the function returned.
        chosen: as `arrays_in` says.
        rows: their number, where it was called with a batch.
    """
    if chosen is None:
        return jnp.reshape(returned, (*rows, -1))
    leaves, _ = jax.tree_util.tree_flatten_with_path(returned)
    values = {_name(path): jnp.reshape(leaf, (*rows, -1)) for path, leaf in leaves}
    return jnp.concatenate([values[name] for name in chosen], axis=-1)


def _name(path: Sequence[Any]) -> str:
    parts = [getattr(key, "key", getattr(key, "name", None)) for key in path]
    return "_".join(
        f"y{key.idx + 1}" if part is None else str(part)
        for part, key in zip(parts, path, strict=True)
    )


def _numbered(name: str, size: int) -> list[str]:
    separator = "_" if name[-1:].isdigit() else ""
    return [name] if size == 1 else [f"{name}{separator}{index + 1}" for index in range(size)]


def _is_a(module: str, name: str, value: Any) -> bool:
    """Tell whether a value is of a class of a library, which is loaded if it is."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(value, cls)
