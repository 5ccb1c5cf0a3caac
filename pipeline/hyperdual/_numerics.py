"""The floating-point setting under which a function is traced and run."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax

DTYPES = ("float32", "float64")
# Whether a program that is traced in float32 is then evaluated in float64: no step of it may be an
# approximation that is good enough for float32 alone.
to_be_widened: ContextVar[bool] = ContextVar("to_be_widened", default=False)


@contextlib.contextmanager
def numerics(dtype: str) -> Iterator[None]:
    """Trace and run under `dtype` with the highest matrix-product precision as JAX's default.

    The default precision of recent GPUs is TF32 (10 bits of mantissa), which spoils second
    derivatives. float64 needs JAX's 64-bit mode, which is off by default; float32 leaves the
    mode as the caller has it.

    Raises:
        ValueError: if `dtype` is neither "float32" nor "float64".
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}; got {dtype!r}")
    with contextlib.ExitStack() as stack:
        stack.enter_context(jax.default_matmul_precision("highest"))
        if dtype == "float64":
            stack.enter_context(jax.enable_x64(True))
        yield
