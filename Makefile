PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := .coatcheck/node

.DEFAULT_GOAL := help

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/' | expand -t 16

setup: $(VENV)/.ready ## Make .venv, and install the emulator in the user's cache.
	@$(BIN)/python -m coatcheck_infra.toolchain ministack >/dev/null

$(VENV)/.ready: requirements/dev.txt requirements/uv.txt pyproject.toml service/pyproject.toml worker/pyproject.toml infra/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else f"coatcheck needs Python 3.11 or newer; {sys.executable} is {sys.version.split()[0]}. Try: make setup PYTHON=python3.11")'
	@echo "Installing into $(VENV) …"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip sync --quiet --compile-bytecode --require-hashes requirements/dev.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(addprefix --editable ,. service worker infra)
	@touch $@

$(NODE)/.ready: tests/node/package-lock.json
	@command -v npm >/dev/null || { echo "The tests need Node 20 or newer with npm: there is no npm on PATH." >&2; exit 1; }
	@echo "Installing what the tests need of npm into $(NODE) …"
	@mkdir -p $(NODE)
	@cp tests/node/package.json tests/node/package-lock.json $(NODE)
	@npm ci --prefix $(NODE) --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

run: setup ## Start everything on this machine and print how to use it.
	@exec $(BIN)/coatcheck up

test: setup $(NODE)/.ready ## Run every test (the one command).
	@$(BIN)/pytest -n 3 --no-loadscope-reorder

emulators: setup ## Run the tests that two emulators can serve on both; make test runs most of them on one.
	@$(BIN)/pytest -n 3 --no-loadscope-reorder --both-emulators tests/aws tests/simulation

check: setup ## Lint, types, import contracts.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

build: setup ## Build what is deployed of the example, in example/build/lambda.
	@$(BIN)/coatcheck build

routes: setup ## Make the template's routes from the service's OpenAPI.
	@$(BIN)/python -m coatcheck_infra.build.template_routes

validate: setup ## Check the template, as SAM reads it and as CloudFormation does.
	@$(BIN)/python -m coatcheck_infra.build.template_routes --check
	@python=$$($(BIN)/python -m coatcheck_infra.toolchain sam) && SAM_CLI_TELEMETRY=0 "$${python%/*}/sam" validate --lint --region us-east-1 --template infra/coatcheck_infra/template.yaml
	@$(BIN)/python -m tests.region_lint build/projects

STACK ?= coatcheck
SET ?=
export SET

deploy: validate ## Deploy the example to AWS: shows what changes and asks. make deploy SET='Name=value' STACK=coatcheck
	@$(BIN)/coatcheck deploy --stack $(STACK) --set "$$SET" $(if $(YES),--yes)

SEEDS ?= 1000

simulate: setup ## Play SEEDS schedules of everything at once, with faults: make simulate SEEDS=100000
	@$(BIN)/python -m tests.simulation.run --seeds $(SEEDS)

model: setup ## Go through every state that the table of moves allows, and check each.
	@$(BIN)/python -m tests.model.check

mutants: setup ## Look for bugs made on purpose: each must be found, and by which layer of tests is told.
	@$(BIN)/python -m tests.mutants.run

kill: setup ## Kill real processes before and after each of their AWS calls, with the lease and sweep of a deployment.
	@$(BIN)/python -m tests.kill.run

load: setup ## 500 jobs through workers that are killed all the time, with faults and doubled messages.
	@$(BIN)/python -m tests.load.run

CASES ?= 100000

hostile: setup ## Send the service CASES requests made from its OpenAPI document: make hostile CASES=100000
	@$(BIN)/python -m tests.hostile.contract --cases $(CASES)

EVENTS ?= 1000000

hostile-events: setup ## Give the Lambda functions EVENTS hostile records of queues: make hostile-events EVENTS=1000000
	@$(BIN)/python -m tests.hostile.queue_events --events $(EVENTS)

doors: setup ## Go the journeys through each front door, each with a stack of its own, and print which pass.
	@$(BIN)/python -m tests.journeys.doors

proxy: setup $(NODE)/.ready ## Send 500 generated submits by the service and by the service proxy, and compare rows and answers.
	@COATCHECK_PROXY_SUBMITS=500 $(BIN)/pytest -q tests/aws/service/test_service_proxy.py

permissions: setup ## Take one IAM statement after the other from `up --whole`: something has to fail each time.
	@$(BIN)/python -m tests.hostile.permissions --remove

scan: setup ## Run checkov on the template, bandit on the code, and pip-audit on the locks (which needs the network).
	@$(BIN)/python -m tests.hostile.scanners

container: setup ## Build the example's images, and run them in a Debian root without a network (needs root, mmdebstrap).
	@$(BIN)/python -m tests.container.run

signatures: setup ## Compare 10,000 signatures of requests to AWS with botocore's.
	@$(BIN)/pytest -q tests/unit/aws_transport/test_sigv4.py --hypothesis-profile long

bench: setup ## Measure everything beside its peers, and write docs/performance.md (needs valgrind, redis-server).
	@$(BIN)/python -m bench.report

SIZE ?= 5G

large: setup ## A result and an upload of SIZE (5G) through real processes; the emulator takes three times as much memory.
	@$(BIN)/python -m tests.large.run --size $(SIZE)

TOOL_LOCKS := infra/coatcheck_infra/toolchain/locks
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
NOT_OURS := $(addprefix --no-emit-package=coatcheck,-service -worker -infra) --no-emit-package=coatcheck

lock: ## Resolve requirements/*.in, those of the tools, and the example's again.
	@$(LOCK) $(NOT_OURS) --group example/pyproject.toml:handlers requirements/dev.in -o requirements/dev.txt
	@for f in requirements/uv $(basename $(wildcard requirements/tools/*.in)) $(TOOL_LOCKS)/ministack $(TOOL_LOCKS)/sam; do $(LOCK) $$f.in -o $$f.txt || exit 1; done
	@$(BIN)/python -m coatcheck_infra.build example --lock --constraint requirements/dev.txt

wheels: setup ## Build the four wheels into dist.
	@for folder in . service worker infra; do $(BIN)/uv build --wheel --no-build-isolation --quiet --out-dir dist $$folder || exit 1; done

.PHONY: wheels help setup run test emulators check build routes validate deploy simulate model mutants kill load hostile hostile-events doors permissions scan container signatures bench large lock
