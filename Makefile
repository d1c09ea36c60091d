# The two commands of this project are `make demo` and `make test`. Both make .venv and install into it when
# pyproject.toml or constraints.txt changed since, and start at once when not. `PYTHON=python3.12 make demo` takes
# another Python, `SEED=1 make demo` another seed.

PYTHON ?= python3
SEED ?= 0
BIN := .venv/bin

.PHONY: demo test test-restricted lint clean

demo: .venv/installed
	$(BIN)/plaudit demo --out demo --seed $(SEED)

test: lint
	$(BIN)/pytest -n 2 --dist loadfile

# What learns, on any processor as on one with AVX2 only and one core: rounding differs, and no test may notice.
test-restricted: .venv/installed-dev
	OMP_NUM_THREADS=1 ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 \
		$(BIN)/pytest -n 2 --dist loadfile -m 'not slow' tests/models tests/train tests/evaluate tests/stages

lint: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Leaves demo/ alone: results are yours.
clean:
	rm -rf .venv build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Newer Pythons than the oldest supported are fine. pip shows its progress to a person; a log gets a line now and then.
define install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'plaudit needs Python 3.11 or newer: install one and name it, as in `PYTHON=python3.12 make $(MAKECMDGOALS)`.' >&2; exit 1; }
	@echo 'Installing plaudit and what it needs into .venv (once; minutes, most of it for torch).'
	@$(PYTHON) -m venv .venv
	@quiet=-qq; if [ -t 1 ]; then quiet=; fi; \
		$(BIN)/pip install $$quiet --disable-pip-version-check -c constraints.txt -e $(1) & pip=$$!; \
		seconds=0; while [ -n "$$quiet" ] && sleep 1 && kill -0 $$pip 2>/dev/null; do seconds=$$((seconds + 1)); \
			[ $$((seconds % 20)) -ne 0 ] || echo "  installing for $$seconds s, $$(du -sm .venv | cut -f1) MB so far"; \
		done; wait $$pip
endef

.venv/installed: pyproject.toml constraints.txt
	$(call install,.)
	@touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	$(call install,'.[dev]')
	@touch .venv/installed $@
