"""A jitted function whose calls are checked before they are made."""

import contextlib
import ctypes
import functools
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import get_opaque_trace_state

from ._jaxpr import equations, may_hang, widest
from ._memory import array_bytes, is_small, lacking, needed_bytes

# So many arrays as large as a program's largest are taken to be held at a time, where nothing has
# been counted.
_HELD = 4
# XLA otherwise shares single matrix products among cores, and how it cuts them decides their last
# bits. Whole rows are shared instead.
_WHOLE_PRODUCTS = {"xla_cpu_multi_thread_eigen": False}
# Programs that may hang (see `may_hang`) are called one at a time, which makes it rarer.
_TURN = threading.Lock()


class Hanging(TimeoutError):
    """XLA did not end in time."""


class Program(NamedTuple):
    """The program for one shape.

    Attributes:
        compiled: it.
        results: shapes and dtypes of what it returns.
        needed: the bytes that a call takes.
        in_turn: whether it may hang, and others of this kind must wait for it.
        pure: whether a call does nothing but compute: it calls back to nothing in Python, and reads
            no array that is changed in place.
    """

    compiled: jax.stages.Compiled
    results: Any
    needed: int
    in_turn: bool
    pure: bool

    @property
    def plain(self) -> bool:
        """Whether a call needs no look at what is free, and need not wait for others."""
        return not self.in_turn and is_small(self.needed)


def _key(arrays: Sequence[jax.Array | np.ndarray]) -> tuple:
    config: Any = jax.config
    return config.jax_enable_x64, *((array.shape, array.dtype) for array in arrays)


def _outside() -> Any:
    with ThreadPoolExecutor(1) as thread:  # here, somebody may be tracing
        return thread.submit(get_opaque_trace_state).result()


_OUTSIDE = _outside()


def within_transformation() -> bool:
    """Tell whether a function that JAX transforms is being traced or evaluated in this thread."""
    return get_opaque_trace_state() != _OUTSIDE


class Jitted:
    """A jitted function of arrays with a common first axis, the rows.

    Before its first call for a shape the program is compiled, and what a call will hold is counted.
    A call for which there is not enough memory is refused. Inside other transformations it is a
    jitted function like any other.

    Args:
        function: of the arrays.
        whole_products: whether a CPU is to compute each matrix product on one core, so that bits do
            not depend on how many there are.
    """

    def __init__(self, function: Callable[..., Any], whole_products: bool = False):
        self._function, self._inner = function, jax.jit(function)
        self._whole_products = whole_products
        self._programs: dict[tuple, Program] = {}

    @functools.cached_property
    def _jitted(self) -> Any:
        # Not before a call, which shows that JAX may touch its device.
        if self._whole_products and jax.default_backend() == "cpu":
            return jax.jit(self._function, compiler_options=_WHOLE_PRODUCTS)
        return self._inner

    def __call__(self, *arrays: jax.Array) -> Any:
        """Call the function.

        Raises:
            MemoryError: with the figures, if the results, or all that the call takes, are larger
                than what is free.
        """
        if within_transformation():
            return self._inner(*arrays)  # JAX takes no options there
        known = self._programs.get(_key(arrays))
        if known is not None and known.plain:  # at once: a small network's call takes microseconds
            return self._jitted(*arrays)
        program = self.program(arrays)
        _check(program.needed, arrays[0].shape[0])
        if not program.in_turn:
            return self._jitted(*arrays)
        with _TURN:
            return jax.block_until_ready(self._jitted(*arrays))

    def warm_up(
        self, arrays: tuple[jax.Array, ...], compile_seconds: float, call_seconds: float
    ) -> None:
        """Compile the function and call it once.

        Args:
            arrays: the arguments.
            compile_seconds, call_seconds: what each of the two may take.

        Raises:
            MemoryError: as a call.
            Hanging: if it takes longer.
        """
        program = self.program(arrays, compile_seconds)
        _check(program.needed, arrays[0].shape[0])
        with _TURN if program.in_turn else contextlib.nullcontext():
            # In a thread, since not every call returns at once; compiled, for what JAX is set to is
            # set for a thread.
            results = within(call_seconds, functools.partial(program.compiled, *arrays))
            _wait(results, call_seconds)

    def counted_bytes(self, shape: jax.ShapeDtypeStruct, seconds: float) -> int:
        """Return the bytes that a call will take, without a call; 0 where it is little.

        Where its results alone are more than what is free, that is these; nothing is compiled then.

        Args:
            shape: of the one argument.
            seconds: that compiling may take.

        Raises:
            Hanging: if it takes longer.
        """
        traced = self._jitted.trace(shape)
        if is_small(_HELD * widest(traced.jaxpr) * shape.dtype.itemsize):
            return 0
        lowered = traced.lower()
        results = array_bytes(traced.out_info)
        if lacking(results):
            return results
        return max(results, needed_bytes(within(seconds, lowered.compile)))

    def program(
        self, arrays: Sequence[jax.Array | np.ndarray], seconds: float | None = None
    ) -> Program:
        """Return the compiled program for arrays of these shapes.

        Args:
            arrays: the arguments.
            seconds: that compiling may take; None: as long as it takes.

        Raises:
            MemoryError: if the results are larger than what is free.
            Hanging: if compiling takes longer.
        """
        key = _key(arrays)
        if key not in self._programs:
            traced = self._jitted.trace(*arrays)
            in_turn = jax.default_backend() == "cpu" and may_hang(traced.jaxpr)
            lowered = traced.lower()
            results = array_bytes(traced.out_info)
            _check(results, arrays[0].shape[0])
            # JAX keeps what is compiled here for the call itself.
            compiled = lowered.compile() if seconds is None else within(seconds, lowered.compile)
            needed = max(results, needed_bytes(compiled))
            pure = not traced.jaxpr.effects and not any(
                "callback" in eqn.primitive.name for eqn in equations(traced.jaxpr)
            )
            self._programs[key] = Program(compiled, traced.out_info, needed, in_turn, pure)
        return self._programs[key]


def _check(needed: int, rows: int) -> None:
    shortage = lacking(needed)
    if shortage:
        raise MemoryError(
            f"{rows} points at once take {shortage}: take fewer points, a smaller tile, "
            "fewer of the outputs, or fewer inputs (wrt)"
        )


def within(seconds: float, function: Callable[[], Any]) -> Any:
    """Return what a function returns that calls XLA, if it does so in time.

    A function that does not goes on in a thread that nothing waits for.

    Raises:
        Hanging: if it does not.
        Exception: what the function raises.
    """
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # raised in the thread that waits
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        raise _hanging(seconds)
    return outcome[0]


def _wait(results: Any, seconds: float) -> None:
    """Wait until arrays are computed.

    Raises:
        Hanging: if it takes longer.
    """
    ended = time.monotonic() + seconds
    while not all(array.is_ready() for array in jax.tree.leaves(results)):
        if time.monotonic() > ended:
            raise _hanging(seconds)
        time.sleep(1e-3)
    jax.block_until_ready(results)  # raises what went wrong


def _hanging(seconds: float) -> Hanging:
    """Return the error that says so, and let this process end though XLA hangs.

    JAX's client waits for all that is under way before it goes, which would be for ever; with one
    more reference it stays until the process has ended.
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(jax.devices()[0].client))
    return Hanging(
        f"XLA does not end within {seconds:.0f} s, and may hang: name a method and a tile, such as "
        "method='hyperdual', tile=1"
    )
