"""The error that says what cannot be read or computed."""


class KerasError(Exception):
    """A model cannot be used; the text says what of it, where, and what to do."""
