"""A Keras model as a function of one point: which numbers go in, and which come out."""

import math
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from hyperdiag.hyperdual import numerics, widest
from hyperdiag.messages.wording import counted

from ...extra import needs
from .archive import WEIGHTS, KerasFile
from .facts import is_numbered, takers
from .normalization import input_moments
from .program import point_function, rounds
from .refusal import KerasError

_MOST_NUMBERS = 1 << 27  # of one array on the way: 1 GB of float64
_MOST_NAMES = 1 << 20  # of inputs
# Layers that take whole numbers, whatever type their input has.
_OF_WHOLE = {"Embedding", "ReversibleEmbedding", "CategoryEncoding"}


def keras_on_jax() -> Any:
    """Return the module `keras`, computing with JAX whatever the environment says.

    Raises:
        UsageError: if it is not installed.
        KerasError: if this process has imported it with another backend.
    """
    before = os.environ.get("KERAS_BACKEND")
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        with needs("keras", "keras", "h5py"):
            import keras  # type: ignore[import-untyped]
    finally:
        # Programs that this one starts keep what the user has set.
        del os.environ["KERAS_BACKEND"]
        if before is not None:
            os.environ["KERAS_BACKEND"] = before
    if keras.config.backend() != "jax":
        raise KerasError(
            f"Keras was imported before, with the backend {keras.config.backend()}, and only that "
            "of JAX can be derived; set KERAS_BACKEND=jax before the first import"
        )
    return keras


@dataclass(frozen=True)
class Tensor:
    """An input or output of a model.

    Attributes:
        name: that the model has for it.
        numbered: whether Keras gave it that name, by counting.
        dtype: of its numbers.
        shape: of one point; of an output, None where Keras does not know a size.
        whole: whether it is of whole numbers, such as categories.
    """

    name: str
    numbered: bool
    dtype: str
    shape: tuple[Any, ...]
    whole: bool

    @property
    def size(self) -> int:
        """How many numbers a point has."""
        return math.prod(self.shape)


class Model:
    """What a Keras model computes.

    Args:
        file: that holds it.
        config: of the model, as `in_dtype` returns it.
        dtype: float32 or float64, of what its layers have no type of their own for.

    Raises:
        KerasError: if Keras cannot make it, it holds other weights than its layers have, or its
            inputs and outputs are none of a function of numbers.
    """

    def __init__(self, file: KerasFile, config: Any, dtype: str):
        self._dtype = dtype
        self._keras = keras_on_jax()
        with self._settings(), tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / WEIGHTS
            path.write_bytes(file.weights)
            try:
                self._model, self._values = self._loaded(config, path, file)
            except KerasError:
                raise
            except Exception as error:  # Keras and JAX raise many kinds
                raise KerasError(
                    f"Keras cannot load it (saved by Keras {file.version}, installed is "
                    f"{self._keras.__version__}): {_told(error)}"
                ) from error
            finally:
                _forget_variables()
        flat = self._keras.tree.flatten_with_path
        single = isinstance(self._model, self._keras.Sequential)  # which has no structure of them
        self._taken = self._model.inputs[0] if single else self._model.input
        result = self._model.outputs[0] if single else self._model.output
        self.inputs = [
            _input(_tensor(path, tensor, name, config), name, config)
            for path, tensor in flat(self._taken)
            for name in [self._input_name(tensor)]
        ]
        if sum(tensor.size for tensor in self.inputs) > _MOST_NAMES:
            raise KerasError(f"takes more than {_MOST_NAMES:,} numbers a point")
        names = getattr(self._model, "output_names", [self._model.layers[-1].name])
        self.outputs = [
            _tensor(path, tensor, name, config)
            for (path, tensor), name in zip(flat(result), names, strict=True)
        ]

    @property
    def n_inputs(self) -> int:
        """How many numbers a point has."""
        return sum(tensor.size for tensor in self.inputs)

    @property
    def moments(self) -> list[tuple[float, float]]:
        """(mean, standard deviation) of each number in training; nan where it is not known."""
        return input_moments(self._model.layers, self._keras.tree.flatten(self._taken))

    @property
    def n_parameters(self) -> int:
        """How many numbers the layers hold."""
        return int(self._model.count_params())

    def _loaded(self, config: Any, path: Path, file: KerasFile) -> tuple[Any, list[np.ndarray]]:
        """Return the model, and the values of its variables, which it does not get itself.

        In this scope Keras makes variables without numbers, and notes what is assigned to them: a
        file can ask for layers of any size, and no room is made for them.
        """
        keras = self._keras
        with keras.StatelessScope(initialize_variables=False) as scope:
            # Of a copy: Keras takes it apart.
            model = keras.saving.deserialize_keras_object(deepcopy(config), safe_mode=True)
            if not model.built or not getattr(model, "inputs", None):
                raise KerasError(
                    "was saved before it was built, so that it has neither inputs nor weights; "
                    "call it once, or begin it with keras.Input(...)"
                )
            wanted = sum(math.prod(weight.shape) for weight in model.weights)
            stored = sum(array.size for array in file.arrays.values())
            if wanted > stored:
                raise KerasError(
                    f"its layers have {counted(wanted, 'number')}, and its {WEIGHTS} holds "
                    f"{stored:,}: they do not belong together"
                )
            model.load_weights(path)
            for weight in model.weights:
                if scope.get_current_value(weight) is None:
                    raise KerasError(f"its {WEIGHTS} holds no numbers for '{weight.path}'")
            values = [scope.get_current_value(variable) for variable in model.variables]
        # The others are states of random numbers, of which nothing here depends.
        return model, [
            np.zeros(variable.shape, variable.dtype) if value is None else np.asarray(value)
            for variable, value in zip(model.variables, values, strict=True)
        ]

    @contextmanager
    def _settings(self) -> Iterator[None]:
        """Let Keras compute in the model's dtype, with its own defaults otherwise."""
        config = self._keras.config
        names = {"floatx": self._dtype, "epsilon": 1e-7, "image_data_format": "channels_last"}
        before = {name: getattr(config, name)() for name in names}
        with numerics(self._dtype), warnings.catch_warnings():
            # Of how a model was made, which nobody can change here; what matters is checked.
            warnings.simplefilter("ignore")
            for name, value in names.items():
                getattr(config, f"set_{name}")(value)
            try:
                with _doubles_kept():
                    yield
            finally:
                for name, value in before.items():
                    getattr(config, f"set_{name}")(value)

    def _input_name(self, tensor: Any) -> str:
        """Return what the layer is called from which an input comes."""
        kind = self._keras.layers.InputLayer
        layers = (layer for layer in self._model.layers if isinstance(layer, kind))
        return str(next((layer.name for layer in layers if layer.output is tensor), tensor.name))

    def _call(self, rows: Any) -> list[Any]:
        """Return the outputs at some rows (rows, n), each with an axis of rows."""
        arrays, start = [], 0
        for tensor in self.inputs:
            columns = rows[:, start : start + tensor.size]
            start += tensor.size
            columns = jnp.round(columns) if tensor.whole else columns
            arrays.append(columns.reshape(-1, *tensor.shape).astype(tensor.dtype))
        packed = self._keras.tree.pack_sequence_as(self._taken, arrays)
        state = zip(self._model.variables, self._values, strict=True)
        with self._settings(), self._keras.StatelessScope(state, initialize_variables=False):
            outputs = self._keras.tree.flatten(self._model(packed, training=False))
        for output in outputs:
            if not isinstance(output, jax.Array):
                raise KerasError(
                    "gives sparse arrays; set sparse=False in the layer that makes them"
                )
        return list(outputs)

    def parts(self, chosen: Sequence[int]) -> Callable[[Any], list[jax.Array]]:
        """Return the function of one point, (n,), to the numbers of each output, in a row.

        Args:
            chosen: the outputs that are wanted, by their numbers.

        Raises:
            KerasError: if it cannot be traced, or an array on the way is too large to be meant.
        """

        def of_one_row(x: jax.Array) -> list[jax.Array]:
            outputs = self._call(x[None])
            return [outputs[at].astype(self._dtype).reshape(-1) for at in chosen]

        point = jax.ShapeDtypeStruct((self.n_inputs,), self._dtype)
        with numerics(self._dtype):
            try:
                traced = jax.make_jaxpr(of_one_row)(point)
            except KerasError:
                raise
            except Exception as error:  # Keras and JAX raise many kinds
                raise KerasError(f"cannot be computed by JAX: {_told(error)}") from error
        if self._dtype == "float64" and rounds(traced):
            raise KerasError("a layer of it rounds to float32 whatever is asked")
        if not all(math.prod(shape.shape) for shape in traced.out_avals):
            raise KerasError("has an output without numbers")
        if widest(traced) > _MOST_NUMBERS:
            raise KerasError(
                f"makes an array of {widest(traced):.3g} numbers for one point; at most "
                f"{_MOST_NUMBERS:,} are computed"
            )
        return point_function(traced)

    def library_values(self, points: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
        """Return what Keras computes of all rows at once: (rows, n) to (rows, m), float64.

        A model whose rows act on one another differs from the function of one point.
        """
        with numerics(self._dtype):
            outputs = self._call(jnp.asarray(points, self._dtype))
            flat = [np.asarray(outputs[at], np.float64).reshape(len(points), -1) for at in chosen]
        return np.concatenate(flat, axis=1)


@contextmanager
def _doubles_kept() -> Iterator[None]:
    """Let operations of Keras give float64 for float64, which it makes float32 of with JAX."""
    from keras.src.backend.common import dtypes  # type: ignore[import-untyped]

    shortened = getattr(dtypes, "BIT64_TO_BIT32_DTYPE", {})
    before = shortened.pop("float64", None)
    try:
        yield
    finally:
        if before is not None:
            shortened["float64"] = before


def _forget_variables() -> None:
    """Let Keras forget the variables without numbers, or it would make room for them later."""
    from keras.src.backend.common import global_state

    global_state.set_global_attribute("uninitialized_variables", [])


def _tensor(path: Sequence[Any], tensor: Any, name: str, config: Any) -> Tensor:
    """Return what an input or output is; its place in a mapping is its name where it has one."""
    key = next((part for part in reversed(path) if isinstance(part, str)), None)
    return Tensor(
        name=key or name,
        numbered=key is None and is_numbered(name, config),
        dtype=str(tensor.dtype),
        shape=tuple(tensor.shape[1:]),
        whole="float" not in str(tensor.dtype),
    )


def _input(tensor: Tensor, layer: str, config: Any) -> Tensor:
    """Return an input with what is known of it from the layers that take what its own gives."""
    if None in tensor.shape:
        raise KerasError(
            f"input '{tensor.name}' has the shape {list(tensor.shape)} for one point, and no size "
            "may be open: build the model with keras.Input(shape=...) of fixed sizes, and save it "
            "again"
        )
    if tensor.dtype == "string":
        raise KerasError(f"input '{tensor.name}' is text; give numbers")
    taken = takers(config, layer)
    return replace(tensor, whole=tensor.whole or (bool(taken) and taken <= _OF_WHOLE))


def _told(error: Exception) -> str:
    """Return what an error says: Keras writes long texts, of which a line says what is wrong."""
    _, _, innermost = str(error).rpartition("Exception encountered:")
    _, _, of_an_object = innermost.partition("Example error message for")
    text = re.sub(r"\x1b\[\d*m", "", of_an_object or innermost)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    two = of_an_object or text.lstrip().startswith("Exception encountered when calling")
    return f"{type(error).__name__}: {' '.join(lines[: 2 if two else 1])[:300]}"
