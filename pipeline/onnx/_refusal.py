"""What cannot be read or computed of a model."""


class OnnxError(Exception):
    """A model cannot be used; the text says what of it, where, and what to do."""
