# `make faces` and `make test` need Python (3.11 or newer) and make; they set up what is missing.
PYTHON ?= python3
# Python 3.13, also where pyenv holds one that is not switched on.
COLAB_PYTHON ?= $(shell for python in python3.13 $(HOME)/.pyenv/versions/3.13*/bin/python; do \
	$$python --version >/dev/null 2>&1 && echo $$python && break; done)
# 32 pixels: in four minutes on two cores small faces come out clear, where at 64 they are still muddy.
MINUTES ?= 4
SIZE ?= 32
BIN := .venv/bin
COLAB := .venv-colab/bin
PARITY := .venv-parity/bin
TESTS := -n 2 --dist loadfile --nbmake --ignore=tests/browser

.PHONY: help faces test test-browser test-colab test-browser-colab test-parity notebooks links lint clean

help:
	@echo "make faces       set up, train on drawn faces for $(MINUTES) minutes (MINUTES=, SIZE=), save a grid of new ones"
	@echo "make test        set up, run every test and every notebook at small size"
	@echo "make test-browser  drive the panels in JupyterLab and Chromium"
	@echo "make test-colab  make test in an environment pinned to what Google Colab has"
	@echo "make test-browser-colab  drive the panels with Colab's versions, ipywidgets 7 above all"
	@echo "make test-parity  compare the metrics with the reference implementations, on the real weights (needs PyTorch)"
	@echo "make notebooks   run the notebooks at full size and keep their outputs"
	@echo "make links       stamp the repository's address from pyproject.toml into README and notebooks"
	@echo "make lint        check style"
	@echo "make clean       remove environments"

faces: .venv/.installed
	$(BIN)/python -m gan_helpers train --data drawn --image-size $(SIZE) --minutes $(MINUTES)

test: .venv/.installed lint
	$(BIN)/python -m pytest $(TESTS)

test-browser: .venv/.browser
	$(BIN)/python -m pytest tests/browser

test-colab: .venv-colab/.installed
	$(COLAB)/python -m pytest $(TESTS)

test-browser-colab: .venv-colab/.browser
	$(COLAB)/python -m pytest tests/browser

# WRITE=--write keeps what the references gave, for tests/test_parity.py.
test-parity: .venv/.installed .venv-parity/.installed
	$(BIN)/python tests/parity/measure.py $(PARITY)/python $(WRITE)
	$(BIN)/python tests/parity/measure.py $(PARITY)/python --speed

notebooks: .venv/.installed
	$(BIN)/python notebooks/build.py run $(NAMES)

links: .venv/.installed
	$(BIN)/python notebooks/build.py links

lint: .venv/.installed
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .

clean:
	rm -rf .venv .venv-colab .venv-parity

.venv/.installed: requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

.venv/.browser: .venv/.installed tests/browser/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.txt -r tests/browser/requirements.txt
	touch $@

# The pins are given again as constraints, so that installing the package fails rather than moves one of them.
.venv-colab/.installed: colab-requirements.txt pyproject.toml
	@test -n "$(COLAB_PYTHON)" || { echo 'expected Python 3.13 as python3.13; received none; set COLAB_PYTHON' >&2; exit 1; }
	test -x $(COLAB)/python || $(COLAB_PYTHON) -m venv .venv-colab
	$(COLAB)/python -m pip install --quiet --disable-pip-version-check -r colab-requirements.txt
	$(COLAB)/python -m pip install --quiet --disable-pip-version-check -c colab-requirements.txt -e ".[test]"
	touch $@

# ipywidgets 7 needs the half of it that lives in JupyterLab from the same time; pip would take the newest.
.venv-colab/.browser: .venv-colab/.installed tests/browser/requirements.txt
	$(COLAB)/python -m pip install --quiet --disable-pip-version-check -c colab-requirements.txt \
		-r tests/browser/requirements.txt 'jupyterlab_widgets<3'
	touch $@

.venv-parity/.installed: tests/parity/requirements.txt
	test -x $(PARITY)/python || $(PYTHON) -m venv .venv-parity
	$(PARITY)/python -m pip install --quiet --disable-pip-version-check -r tests/parity/requirements.txt
	touch $@
