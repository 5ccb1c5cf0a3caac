"""What others' errors say, in one sentence."""

import jax

# JAX's errors for what would need a number where there is only a tracer, and what to write instead.
_NO_NUMBER = {
    jax.errors.TracerBoolConversionError: "branch on values by jnp.where or jax.lax.cond, not `if`",
    jax.errors.TracerIntegerConversionError: "take sizes and indices from shapes, not from values",
    jax.errors.TracerArrayConversionError: (
        "the function must be written in JAX (jax.numpy) throughout, and NumPy, or a library that "
        "is made for it, was called with its values"
    ),
    jax.errors.ConcretizationTypeError: (
        "the function must be written in JAX throughout, and something in it asks for a number "
        "where JAX has only the type of one, as `float(x)` does"
    ),
}


def reason(error: BaseException) -> str:
    """Return the type of an error and the first line of its text that says something.

    Of a function that is not written in JAX that is said first.
    """
    line = first_line(error)
    for kind, advice in _NO_NUMBER.items():
        if isinstance(error, kind):
            return f"{advice} ({type(error).__name__}: {line})"
    if is_not_jax(error):
        return (
            "the function must be written in JAX (jax.numpy) throughout, and something else in it "
            f"was called with its values ({type(error).__name__}: {line})"
        )
    return line if line == type(error).__name__ else f"{type(error).__name__}: {line}"


def is_not_jax(error: BaseException) -> bool:
    """Tell whether an error is about a tracer, met by what is no JAX or asks for a number."""
    if isinstance(error, tuple(_NO_NUMBER)):
        return True
    return "Tracer" in first_line(error) and not type(error).__module__.startswith("jax")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text that says something, or else its type."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
