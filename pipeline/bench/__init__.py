"""The benchmark: how fast (y, J, D) can be had, by us and by what others would write.

Of kernels: `benchmark_network.py` says what a benchmark network is; `networks.py` lists them, built
in `dense.py` and `structured.py`; `contestants.py` has what is compared, `timing.py` times them in
turn on one network and checks their numbers, `peak.py` says what the machine could do at most,
`report.py` makes tables and JSON, `plot.py` draws, and `kernels.py` does all of it.

Of the whole job: `whole_job.py` times it against its kernel, and `whole_job_plain.py` against the
plain alternative in `plain_ray_data.py`, which needs more packages.

Of the pipeline: `pipeline.py` times what a worker does beside a kernel that costs nothing.

Of a device: `device/` takes some of all of these, in minutes.
"""
