"""Lets a virtual environment see the packages of the Python that runs this.

    python3 deploy/gpu/beside.py ENVIRONMENT

`python3 -m venv --system-site-packages` does it where that Python is the system's; where it is a
virtual environment itself, the new one sees the packages of the Python below it alone.
"""

import site
import subprocess
import sys
from pathlib import Path

_FOLDER = "import sysconfig; print(sysconfig.get_path('purelib'))"
_NAME = "beside.pth"


def main() -> None:
    """Write the file that names the folders."""
    python = Path(sys.argv[1], "bin", "python")
    asked = subprocess.run([python, "-c", _FOLDER], capture_output=True, text=True, check=True)
    folders = [folder for folder in site.getsitepackages() if Path(folder).is_dir()]
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in folders]
    Path(asked.stdout.strip(), _NAME).write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
