"""The command `hyperdiag report`, as a user types it."""

BOX = "dataset.ranges={x1: [-1, 1], x2: [-1, 1], x3: [-1, 1], x4: [-1, 1], x5: [-1, 1]}"


def test_report_is_one_file_in_the_output_or_where_it_is_asked_for(invoke, tmp_path):
    done = invoke(
        *("derive", "network=chain", BOX, "dataset.rows=500", "dataset.shard_rows=100"),
        *("cluster=inline", "output.path=out", "report.enabled=true"),
    )
    assert done.returncode == 0, done.stderr
    assert "report: out/run/report.html" in done.stderr
    first = (tmp_path / "out/run/report.html").read_bytes()
    assert b"500 read: 500 derived, 0 filtered out, 0 quarantined." in first
    (tmp_path / "out/run/report.html").unlink()

    done = invoke("report", "output.path=out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}/out/run/report.html (4.")
    assert (tmp_path / "out/run/report.html").read_bytes() == first
    assert not list((tmp_path / "out/run/scratch").iterdir())

    done = invoke("report", "output.path=out", "file=elsewhere.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "elsewhere.html").read_bytes() == first


def test_report_of_no_run_and_into_no_folder_is_refused_with_a_sentence(invoke, tmp_path):
    done = invoke("report", "output.path=nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "nowhere holds no run" in done.stderr
    done = invoke("report", "output.path=out", "fil=x.html")
    assert done.returncode == 2
    assert "unknown key 'fil' (closest: 'file')" in done.stderr
    done = invoke("report", "output.path=out", "format=text", "file=book.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert "format=text goes to standard output and to no file; leave file out" in done.stderr
    done = invoke("report", "output.path=out", "file=book.parquet")
    assert (done.returncode, done.stdout) == (2, "")
    assert "file=book.parquet: give a name that ends in .html or .htm" in done.stderr
