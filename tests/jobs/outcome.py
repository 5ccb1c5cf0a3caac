"""What a command said, and what it wrote."""


def said(done, code=0):
    """Return what an ended command printed; it must have ended with this code."""
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def data_files(output):
    """Return the bytes of an output's data files, by name."""
    return {path.name: path.read_bytes() for path in sorted((output / "data").iterdir())}
