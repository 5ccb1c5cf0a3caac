"""From a column to numbers, and the rows that hold none."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from .arrow_workarounds import unsliced_array
from .faults import Fault, Faults

# Text is taken for a number only where it is one by itself: "1.5", " -2e3 ", not "1,5" or "nan".
_NUMBER = r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a type is one of texts."""
    return pt.is_string(kind) or pt.is_large_string(kind) or pt.is_string_view(kind)


def whole(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as a single array, of what an extension type stores."""
    array = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    array = unsliced_array(array)
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def mask(array: pa.Array) -> np.ndarray:
    """Return truth values, none of them null, as bool (rows,)."""
    return array.to_numpy(zero_copy_only=False).astype(bool)


def numbers_of(array: pa.Array, dtype: str, what: str, faults: Faults) -> np.ndarray:
    """Return an array's values (rows,) in `dtype`, and record those that are none in it."""
    if pt.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.null_count:
        faults.add(mask(array.is_null()), Fault.NULL, f"{what} is null")
    text = is_text(array.type)
    if text:
        array = array.cast(pa.large_string())
        number = pc.fill_null(pc.match_substring_regex(array, _NUMBER), False)
        if pc.any(pc.invert(number)).as_py():
            raw = array.cast(pa.large_binary()).to_pylist()  # a damaged file's may be no UTF-8
            texts = [value and value.decode(errors="replace") for value in raw]
            details = [f"{what} is the text {text!r:.60}" for text in texts]
            faults.add(~mask(number), Fault.NOT_A_NUMBER, details)
        array = pc.utf8_trim_whitespace(pc.if_else(number, array, "0"))
    if not pt.is_floating(array.type):
        array = array.cast(pa.float64(), safe=False)
    if array.null_count:
        array = pc.fill_null(array.cast(pa.float64()), 0.0)
    values = array.to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        cast = values.astype(dtype)
    finite = np.isfinite(cast)
    if not finite.all():
        faults.add(np.isnan(values), Fault.NAN, f"{what} is NaN")
        if not text:  # no text for infinity counts as a number: it is one too large to hold
            faults.add(np.isinf(values), Fault.INFINITE, f"{what} is infinite")
        faults.add(~finite, Fault.OVERFLOW, f"{what} is too large for {dtype}")
    return cast
