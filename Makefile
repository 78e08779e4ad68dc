# make lab    set up everything and open the course        make test   set up everything and run the whole suite
# make bench  the scoreboard                               make check  format, lint and types only
# make lock   refresh the lock files                       make clean  remove what make made, keeping downloads

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ROOT   := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
WEIGHTS := .cache/minilm/weights.json

.PHONY: lab test check bench format lock clean setup

lab: setup
	@echo "Opening JupyterLab. If no browser opens, use the address that it prints below. Stop it with Ctrl-C."
	@$(BIN)/jupyter lab $(ROOT) --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

setup: $(VENV)/.ready $(WEIGHTS)

test: $(VENV)/.ready-test $(WEIGHTS) check
	@echo "Running the tests (unit, structure, notebooks, browser) ..."
	@$(BIN)/python -m pytest -n 2 --dist loadscope

check: $(VENV)/.ready-test
	@$(BIN)/ruff format --check --quiet . || { echo "Some files are not formatted. Run: make format"; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/basedpyright --level error

format: $(VENV)/.ready-test
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

bench: $(VENV)/.ready-test $(WEIGHTS)
	@$(BIN)/python -m benchmarks

$(BIN)/uv:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null || { \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || echo missing)."; \
	  echo "Install one, then run for example: make lab PYTHON=python3.12"; exit 1; }
	@echo "[1/4] Making the environment in $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { \
	  echo "The environment could not be made. On Debian and Ubuntu: apt install python3-venv. Then run make again."; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  "uv==$$(sed -n 's/^uv==\([^ ]*\).*/\1/p' requirements.lock)" || { $(NO_NETWORK) }

NO_NETWORK = echo "The packages could not be installed (see above). Check the network and the free disk space, then run make again: it goes on where it stopped."; exit 1;
INSTALL = @$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement $(1) || { \
	  echo "uv could not install them; trying pip ..."; \
	  $(BIN)/python -m pip install --quiet --require-hashes --requirement $(1); } || { $(NO_NETWORK) }

$(VENV)/.ready: $(BIN)/uv requirements.lock
	@echo "[2/4] Installing $$(grep -c '==' requirements.lock) pinned packages ..."
	$(call INSTALL,requirements.lock)
	@echo "[3/4] Installing the project itself ..."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	@# JupyterLab would ask for news from the network, and the course needs none.
	@$(BIN)/jupyter labextension disable --level=sys_prefix "@jupyterlab/apputils-extension:announcements" >/dev/null 2>&1 || true
	@touch $@

$(VENV)/.ready-test: $(VENV)/.ready requirements-test.lock
	@echo "[+] Installing the tools of the test suite ..."
	$(call INSTALL,requirements-test.lock)
	@touch $@

$(WEIGHTS): $(VENV)/.ready patterns/standin/weights.py
	@echo "[4/4] Fetching the stand-in's embedding model (88 MB, once) ..."
	@$(BIN)/python -m patterns.standin.weights
	@touch $@

lock: $(BIN)/uv
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group setup pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group setup --group test --constraint requirements.lock pyproject.toml --output-file requirements-test.lock

clean:
	rm -rf $(VENV) .state .pytest_cache .ruff_cache .hypothesis
