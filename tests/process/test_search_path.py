import subprocess
import sys

from tests.jobs.outcome import said


def test_python_m_leaves_the_current_folder_before_anything_of_others_is_imported(tmp_path):
    for name in ("ray", "hydra", "yaml", "pydantic", "omegaconf", "numpy", "pyarrow", "jax"):
        (tmp_path / f"{name}.py").write_text("from pathlib import Path; Path('mark').touch()")
    done = subprocess.run(
        [sys.executable, "-m", "hyperdiag", "status", "output.path=nothing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "holds no run" in said(done, code=2)
    assert not (tmp_path / "mark").exists()
