# The habits of this house, one short target each. CONTRIBUTING.md says when to use which.
PYTHON ?= python

.PHONY: check test format bench docs lock

check:
	ruff check .
	ruff format --check .
	mypy
	lint-imports

faults:
	$(PYTHON) -m tests.support.faults --rounds 100
	$(PYTHON) -m tests.support.server_faults --rounds 50
	$(PYTHON) -m tests.support.delivery_faults --rounds 100
	$(PYTHON) -m tests.support.message_faults --rounds 50
	$(PYTHON) -m tests.support.ingress_fuzz --requests 10000
	$(PYTHON) -m tests.support.push_fuzz --rounds 10000

test:
	$(PYTHON) -m pytest -q -n 2 --dist loadfile

format:
	ruff check --fix .
	ruff format .

# What the documents promise, measured; `make bench ARGS="--only fanout --rounds 3"` for a part of it.
bench:
	$(PYTHON) benchmarks/run.py --check $(ARGS)

# Links, indexes, and the commands that the documents promise.
docs:
	$(PYTHON) -m pytest -q tests/rules/test_documents.py

# The versions that CI and the README's commands use. `make lock ARGS=--upgrade` moves all of them.
lock:
	CUSTOM_COMPILE_COMMAND='make lock' pip-compile -q --all-extras --strip-extras --no-emit-index-url \
	  --no-emit-options --no-emit-find-links --no-emit-trusted-host --unsafe-package jobrunner \
	  --no-allow-unsafe -o requirements.lock pyproject.toml $(ARGS)
