"""What a device does with all of this, in minutes: `hyperdiag bench bench.subject=device`.

`measure.py` goes through the parts, `parts.py` shares the time among them, and `markdown.py` makes
a page of the report. The parts: `exactness.py` holds every method of the engine against float64,
`rates.py` has kernels beside other methods, as shares of what the device could do, `precision.py`
what cheaper matrix products cost in accuracy, `copies.py` the way from the device to the host,
`runs.py` the whole job and its pipeline. `about.py` says which device it was.
"""
