# Everything a fresh machine needs: `make run` and `make test` make their own virtual environment.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
MINOR  := $(shell $(PYTHON) -c 'import sys; print(sys.version_info[1])')
# JAX 0.10 is the last for Python 3.11; later ones have the newest release of everything.
EXACT  := $(if $(filter 11,$(MINOR)),constraints.txt,constraints-newest.txt)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(EXACT)

# A test that hangs ends its process after a quarter of an hour, with where it hung.
TESTS  := $(BIN)/python -m pytest -n 2 --dist loadgroup \
          -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

.PHONY: run test slow engine lint format bench gpu wheelhouse chaos clean

run: $(VENV)/.run ## derive QLKNN at 100,000 design points and say where the result is
	$(BIN)/hyperdiag derive

test: $(VENV)/.dev ## run the test suite
	$(TESTS)

slow: $(VENV)/.dev ## whole runs that take long, and the rest of what `make test` has some of
	$(TESTS) -m slow

# With what a coming release of JAX has for calls that have rules of their own (JAX 0.10 has no such flags).
COMING := JAX_CUSTOM_JVP3=1 JAX_CUSTOM_VJP3=1 JAX_REMAT3=1
RULES  := test_custom_vjp.py test_selected_away.py test_rules.py test_exactness.py

engine: $(VENV)/.dev ## the tests that depend on JAX most: the engine, the networks, whole runs
	$(TESTS) tests/hyperdual tests/networks tests/jobs/test_derive.py
	$(COMING) $(TESTS) $(addprefix tests/hyperdual/,$(RULES))

lint: $(VENV)/.dev ## style, types, and which room may import which
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(VENV)/.dev ## apply the style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench ## our kernels against the field's methods; then the main job against its kernel
	$(BIN)/hyperdiag bench
	$(BIN)/hyperdiag bench bench.subject=job

# With the JAX of PYTHON, if it has one: with its CUDA and its version. JAX_PLATFORMS=cpu tries it on a CPU;
# OPTIONS are those of `hyperdiag bench`.
OPTIONS ?=
GPU     := .venv-gpu
HAS_JAX  = $(shell $(PYTHON) -c 'import importlib.metadata as m; m.version("jax")' 2> /dev/null && echo yes)

gpu: $(GPU)/.gpu ## exactness, rates, memory, copies and a whole job on the GPU here, in eight minutes
	$(GPU)/bin/hyperdiag bench bench.subject=device output.path=outputs/gpu $(OPTIONS)

# Of the machine without network that the wheels are for: its Python, and what it has already.
PYTHON_VERSION ?= 3.12
THERE          ?= jax jaxlib ml_dtypes opt_einsum numpy scipy pyarrow

wheelhouse: $(VENV)/.python3.$(MINOR) ## wheels for deploy/gpu/check.sh, in wheelhouse/
	$(BIN)/python deploy/gpu/wheelhouse.py --python-version $(PYTHON_VERSION) --there $(THERE) \
	    --constraints $(if $(filter 3.11,$(PYTHON_VERSION)),constraints.txt,constraints-newest.txt)

chaos: $(VENV)/.dev ## kills at random, 3,000 damaged files, a million shards, 20 GB: hours
	$(BIN)/python -m pytest -v -rP -m "chaos and timed"
	$(BIN)/python -m pytest -v -rP -m "chaos and not timed" -n 2 --dist loadgroup

clean: ## remove the virtual environment and what runs left here
	rm -rf .venv* wheelhouse build *.egg-info outputs multirun .mypy_cache .ruff_cache .hypothesis

# One of another Python is made anew.
$(VENV)/.python3.$(MINOR):
	$(PYTHON) -m venv --clear $(VENV)
	touch $@

$(VENV)/.run: $(VENV)/.python3.$(MINOR) pyproject.toml $(EXACT)
	$(PIP) -e '.[examples]'
	touch $@

# A JAX of one's own stays as it is; else that of the constraints, with CUDA where there is a GPU.
$(GPU)/.gpu: pyproject.toml $(EXACT)
	$(PYTHON) -m venv --clear $(if $(HAS_JAX),--system-site-packages) $(GPU)
	$(if $(HAS_JAX),$(PYTHON) deploy/gpu/beside.py $(GPU))
	$(GPU)/bin/python -m pip install --quiet --disable-pip-version-check $(if $(HAS_JAX),,-c $(EXACT)) \
	    -e '.[examples$(if $(HAS_JAX),,$(shell nvidia-smi > /dev/null 2>&1 && echo ,cuda))]'
	touch $@

$(VENV)/.bench: $(VENV)/.run
	$(PIP) -e '.[examples,bench]'
	touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) -e '.[examples,dev]'
	touch $@
