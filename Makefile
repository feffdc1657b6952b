# Two commands are the whole interface of a developer: `make check` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 3
OTHER   ?= $(or $(shell python3.12 -c "import sys; print(sys.executable)" 2>/dev/null),$(lastword $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python3.12)))
SHORT   ?= tests/transforms tests/flows/config tests/flows/process/test_reload.py tests/e2e/test_delivery.py
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet
HASHED := $(PIP) --require-hashes --requirement requirements
OURS   := $(PIP) --no-deps --no-build-isolation
LOCK   := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --constraint constraints.txt \
            --generate-hashes --no-header --no-annotate --no-emit-package pywin32 --output-file requirements

.DEFAULT_GOAL := help
.PHONY: help run demo-strict test check house wheel unit short release e2e licences slow chaos cluster soak attack big bench bench-quick bench-curves capacity bench-delivery fuzz damage deploy docs site publish-site notes bundle lock status format clean

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.demo: pyproject.toml requirements/build.txt requirements/demo.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 13) else f"python {v.major}.{v.minor}: this machine: bytewax has wheels for 3.11 and 3.12; run make with PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(HASHED)/build.txt --requirement requirements/demo.txt
	$(OURS) --editable .
	@touch $@

$(VENV)/.test: $(VENV)/.demo requirements/test.txt
	$(HASHED)/test.txt
	@touch $@

run: $(VENV)/.demo ## Set up and run the main job, all ten services, on an embedded AWS and an embedded Devo
	$(BIN)/python -m flows demo

demo-strict: $(VENV)/.demo ## The same in an AWS that enforces IAM: the printed policy, versions and KMS; then Devo's old policy
	$(BIN)/python -m flows demo --strict
	$(BIN)/python -m flows demo --strict old

strict: $(VENV)/.test ## The end-to-end and conformance suites under exactly the printed policy, with versions and KMS
	.ci/receivers
	STRICT_AWS=1 $(BIN)/python -m pytest tests/fakes/test_strict.py tests/e2e tests/conformance $(ARGS)

test: check unit ## Set up, check and test everything, on Python 3.12 too (receivers are unpacked with apt-get when missing)
	$(if $(ARGS),,$(MAKE) short)

check: $(VENV)/.test ## Lint, types and house rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest tests/test_house_rules.py

house: $(VENV)/.test ## Sizes of files, functions and rooms, and how often `Any` stands; ARGS="FOLDER" for another checkout beside it
	$(BIN)/python -m tests.house $(ARGS)

wheel: $(VENV)/.test ## Build wheel and sdist into dist/
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist . >/dev/null

# The suite runs in a copy without the packages, so that what is tested is the wheel. Most tests wait more
# than they compute: three at a time take less than half as long, even on two processors.
unit: wheel
	.ci/receivers
	$(OURS) --force-reinstall dist/*.whl
	mkdir dist/suite
	cp -R tests deploy docs requirements pyproject.toml constraints.txt *.md dist/suite
	test ! -d ../shared || ln -s ../../shared dist/shared
	cd dist/suite && $(abspath $(BIN))/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# In the copy that `unit` has made, and only where this machine has that Python.
short: ## The short form of the tests on Python 3.12, where the machine has it; SHORT="tests/…" for others
ifeq ($(OTHER),)
	@echo "no Python 3.12 on this machine: its short form is left out (OTHER=PATH names one)"
else
	$(OTHER) -m venv --clear dist/python-3.12
	dist/python-3.12/bin/python -m pip install --disable-pip-version-check --quiet --require-hashes --requirement requirements/test.txt
	dist/python-3.12/bin/python -m pip install --disable-pip-version-check --quiet --no-deps dist/*.whl
	cd dist/suite && ../python-3.12/bin/python -m pytest --numprocesses $(WORKERS) --dist loadfile $(SHORT)
endif

licences: $(VENV)/.test ## The licence of every package that the collector is installed with; fails for one that asks for more
	$(BIN)/python -m tests.deploy.licences

release: wheel licences ## Try the wheel in an empty environment, and write what it is made of (SBOM) beside it
	$(PYTHON) -m venv dist/empty
	dist/empty/bin/python -m pip install --quiet --require-hashes --requirement requirements/collector.txt
	dist/empty/bin/python -m pip install --quiet --no-deps dist/*.whl
	$(HASHED)/tools.txt && $(BIN)/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --output-file dist/sbom.cdx.json dist/empty
	dist/empty/bin/python -m pip install --quiet --require-hashes --requirement requirements/demo.txt
	cd dist && empty/bin/python -m flows demo
	rm -rf dist/empty

e2e: $(VENV)/.test ## The long form of every test that has one, figures printed; ARGS="-k lookup" for some
	.ci/receivers
	$(BIN)/python -m pytest -m full $(ARGS)

slow: $(VENV)/.test ## The long forms of the API services' tests
	$(BIN)/python -m pytest -m slow

chaos: $(VENV)/.test ## Every receiver under every fault while events flow; print what was lost (the long form, half an hour)
	.ci/receivers
	$(BIN)/python -m tests.chaos

cluster: $(VENV)/.test ## Replicas, FIFO queues and clusters under kills, cut links, strangers, an autoscaler; what a state and a replica cost
	$(BIN)/python -m pytest -m "full or not full" tests/e2e/test_autoscaling.py tests/e2e/test_cluster_hosts.py tests/e2e/test_peers.py tests/e2e/test_fifo.py tests/e2e/test_replicas.py \
		tests/e2e/test_cluster.py tests/e2e/test_state_size.py tests/e2e/test_memory.py tests/sources/aws/test_yielding.py $(ARGS)

soak: $(VENV)/.test ## 50,000 events a second with a fault every ten seconds, for SOAK_MINUTES (60)
	$(BIN)/python -m tests.chaos.soak

attack: $(VENV)/.test ## Attacks on a running collector in 1 GiB while honest events flow: a table of what they cost (ARGS="--random 200 --minutes 60")
	.ci/receivers
	$(BIN)/python -m tests.security.attack $(ARGS)

big: $(VENV)/.test ## Peak memory on a 2 GB CloudTrail object and a 5 GB VPC flow log
	$(BIN)/python -m tests.chaos.big

bench: $(VENV)/.test ## What each work costs beside its floor and beside other shippers; figures into docs/
	.ci/receivers
	$(HASHED)/tools.txt
	$(BIN)/python -m tests.bench --json docs/figures/bench.json $(ARGS)
	$(BIN)/python -m tests.bench.page

bench-quick: $(VENV)/.test ## The same on small inputs, about two minutes, nothing written
	$(BIN)/python -m tests.bench --quick $(ARGS)

bench-curves: $(VENV)/.test ## How cost grows with size and number; curves into docs/ (ARGS=--quick for few points)
	$(HASHED)/tools.txt
	$(BIN)/python -m tests.bench.curves --json docs/figures/curves.json $(ARGS)
	$(BIN)/python -m tests.bench.page

capacity: $(VENV)/.test ## What 1, 10 and 100 TB a day need, from the figures of `make bench`; into docs/
	$(HASHED)/tools.txt
	$(BIN)/python -m tests.bench.capacity

damage: $(VENV)/.test ## What becomes of objects of every format with one record damaged, a matrix (ARGS="SEED KINDS")
	$(BIN)/python -m tests.sources.objects.damage $(ARGS)

fuzz: $(VENV)/.test ## Guided fuzzing of all that reads foreign bytes, for FUZZ_MINUTES (60); ARGS="records csv" for some
	$(HASHED)/fuzz.txt
	$(BIN)/python -m tests.fuzz $(ARGS)

status: $(VENV)/.test ## The status page in a real Chromium, dashboard and alerts in a real Prometheus (root, to install them)
	.ci/prometheus
	command -v chromium >/dev/null || { apt-get -qq update && apt-get -qq install -y --no-install-recommends chromium; }
	$(BIN)/python -m pytest -m "slow or not slow" tests/flows/status tests/deploy/test_dashboards.py

deploy: $(VENV)/.test ## Everything in deploy/: the image's steps (as root), the chart, the stacks, a local cluster
	$(HASHED)/tools.txt
	.ci/receivers
	$(BIN)/python -m pytest -m "slow or not slow" tests/deploy

bench-delivery: $(VENV)/.test ## What a receipt costs, and gzip beside devo-sdk, in one run; `ARGS=--quick` for a short one
	$(BIN)/python -m tests.bench.delivery $(ARGS)

docs: $(VENV)/.test ## Write the reference pages anew
	$(BIN)/python -m flows reference settings > docs/settings.md
	$(BIN)/python -m flows reference errors > docs/errors.md

site: $(VENV)/.demo ## The documents as a site with search, into dist/site; a dead link is an error
	$(PYTHON) -m venv dist/site-venv
	dist/site-venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/site.txt
	dist/site-venv/bin/python -m mkdocs build --quiet
	rm -rf dist/site-venv

publish-site: ## Put dist/site's documents beside those of other versions in the branch gh-pages (SITE_VERSION)
	$(PYTHON) -m venv dist/site-venv
	dist/site-venv/bin/python -m pip install --quiet --require-hashes --requirement requirements/site.txt
	PATH="$(CURDIR)/dist/site-venv/bin:$$PATH" mike deploy --push --update-aliases $(SITE_VERSION) $(if $(filter v%,$(SITE_VERSION)),latest)
	rm -rf dist/site-venv

notes: ## The changelog's section of VERSION
	@awk '/^## / { on = $$2 == "$(VERSION)" } on' CHANGELOG.md

bundle: wheel ## All wheels with their hashes, for a machine without an index; tried in an empty environment (ARGS="--platform …" for another)
	.ci/bundle $(ARGS)

lock: $(VENV)/.demo ## Write requirements/, the version and hashes of every package, from pyproject.toml and constraints.txt
	$(PIP) --constraint constraints.txt uv
	$(LOCK)/collector.txt
	$(LOCK)/demo.txt --extra demo
	$(LOCK)/test.txt --extra test
	$(LOCK)/tools.txt --extra test --extra deploy --extra release --extra bench
	$(LOCK)/fuzz.txt --extra test --extra fuzz
	printf 'mike\nmkdocs-material\n' | $(LOCK:pyproject.toml=-)/site.txt
	echo setuptools | $(LOCK:pyproject.toml=-)/build.txt

format: $(VENV)/.test ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## Remove what the targets made
	rm -rf $(VENV) .demo build dist *.egg-info
