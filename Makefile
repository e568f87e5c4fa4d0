# `make demo` and `make test` do all their set-up; nothing is needed but Python 3.11 or newer.
PYTHON ?= python3
BIN := .venv/bin
DONE := .venv/.installed
BENCH := .venv-bench
BENCH_DONE := $(BENCH)/.installed
SEEDS ?= 10000
MINUTES ?= 30

.PHONY: demo test check bench simulate soak lock audit scan rules clean

FITBIT := examples/fitbit/minutes.ndjson.gz examples/fitbit/snapshots.ndjson.gz examples/fitbit/late-minutes.ndjson.gz

demo: $(DONE)  ## replay a month of real data, print the daily totals, and show them on a page
	$(BIN)/ingest replay $(FITBIT)
	$(BIN)/ingest serve $(addprefix --replay ,$(FITBIT))

# The core and the pipeline are covered to the last branch; the other tests run without the cost
# of measuring it.
COVERED := tests/core $(wildcard tests/test_pipeline*.py) tests/test_outcome.py tests/stores

# Two processes, a file of tests in each: what waits for a server leaves a core to what computes.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile

test: $(DONE)  ## the whole test suite
	$(PYTEST) $(COVERED) --cov=ingest.core --cov=ingest.pipeline --cov-branch \
		--cov-report=term:skip-covered --cov-fail-under=100
	$(PYTEST) $(addprefix --ignore=,$(COVERED))

check: $(DONE)  ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(BENCH_DONE)  ## what a record costs, into benchmarks/REPORT.md: make bench, or QUICK=1, or FULL=1
	$(BENCH)/bin/python -m benchmarks $(if $(QUICK),--quick) $(if $(FULL),--full)

simulate: $(DONE)  ## bad days by the thousand, on a virtual clock: make simulate SEEDS=10000
	$(BIN)/python -m tests.simulation --seeds $(SEEDS)

soak: $(DONE)  ## two workers on real services while everything goes wrong: make soak MINUTES=30
	$(BIN)/python -m tests.soak --minutes $(MINUTES)

# What the image is made of, for its Python. `make lock UPGRADE=1` takes the newest of everything.
LOCK := $(BIN)/uv pip compile --quiet --no-header --python-version 3.11 \
	--python-platform x86_64-manylinux_2_28 --generate-hashes $(if $(UPGRADE),--upgrade)

lock: $(DONE)  ## pin every dependency of the image, with hashes
	$(LOCK) pyproject.toml -o requirements.lock
	$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"])' \
		| $(LOCK) - -o requirements-build.lock

audit: $(DONE)  ## known vulnerabilities of what is pinned; fails too where no advisories can be had
	$(BIN)/pip-audit --strict --disable-pip --require-hashes -r requirements.lock -r requirements-build.lock

SCANNED := .venv/scanned.yaml

scan: $(DONE)  ## the Dockerfile and the manifests of production, against the rules of checkov; needs kubectl
	kubectl kustomize k8s/overlays/production > $(SCANNED)
	$(BIN)/uvx --quiet --from checkov==3.3.30 checkov -f k8s/Dockerfile -f $(SCANNED)

MONITORING := k8s/components/monitoring
define RULE_HEAD
# Made from rules.yaml by `make rules`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: ingest
spec:
endef
export RULE_HEAD

rules:  ## the alerts as Kubernetes takes them, from the ones that compose and Prometheus take
	{ echo "$$RULE_HEAD"; grep -v '^#' $(MONITORING)/rules.yaml | sed 's/^/  /'; } > $(MONITORING)/prometheus-rule.yaml

# An environment of its own: a peer needs an older pydantic than the tests run with.
$(BENCH_DONE): pyproject.toml
	$(PYTHON) -m venv $(BENCH)
	$(BENCH)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,bench,peers]'
	touch $@

$(DONE): pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf .venv $(BENCH) .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
