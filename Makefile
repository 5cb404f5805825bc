# BlendNet: `make run` renders the example on a farm on this machine, `make test` checks everything. `make help` lists the rest.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
BLENDER ?= 4.5
RENDERS ?= renders

# Of `make simulate`: how many agents and chunks, more options (--help lists them).
AGENTS ?= 1000
CHUNKS ?= 100000
SIMULATE ?=

# Of `make market`: random runs with caps, markets in which policies are compared, more options.
RUNS ?= 10000
COMPARE ?= 100
MARKET ?=

# Of `make chaos`: how long, which plan of faults, seconds between faults, more options.
MINUTES ?= 10
SEED ?= 1
RATE ?= 5
CHAOS ?=

# Three processes share the tests file by file, the longest first (tests/conftest.py): half of the time of those that
# take long goes by in waiting. Of unit tests none is long: who is done takes half of what another has left, and four of
# them hide that some wait.
SHARED := -n 3 --dist loadfile --no-loadscope-reorder
UNIT_SHARED := -n 4 --dist worksteal

# Of every process that is started, Python keeps what it has compiled for the next one.
unexport PYTHONDONTWRITEBYTECODE

# What a bpy wheel needs on a bare machine, and what only the tests need.
RUN_PACKAGES := libx11-6 libxrender1 libxfixes3 libxi6 libxkbcommon0 libsm6 libice6 libxext6 libgl1
TEST_PACKAGES := $(RUN_PACKAGES) blender redis-server postgresql curl jq faketime \
  xvfb xdotool openbox imagemagick libgl1-mesa-dri x11-utils dbus gnome-keyring libsecret-tools

# Of `make lock`: hashes for every file, and nothing that says where they came from.
PINNED := --quiet --upgrade --strip-extras --generate-hashes --no-emit-options --no-header --allow-unsafe

.DEFAULT_GOAL := help
.PHONY: help run test check lint types unit bench simulate market chaos lock format clean distclean system-run system-test python-ok

help: ## List the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.ready blender ## Render the example scene on a local farm with 2 agents; results in renders/
	@$(BIN)/blendnet render examples/example.blend --agents 2 --blender $(BLENDER) --output $(RENDERS)

test: system-test $(VENV)/.ready-test blender lint types unit ## Set up all that is needed and run the whole suite
	@$(BIN)/python -m pytest $(SHARED) -m "blender or end_to_end or thorough"

check: $(VENV)/.ready-test lint types unit ## Lint, types, architecture and unit tests: under two minutes

lint: $(VENV)/.ready-test lint-image
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/vermin --quiet --no-tips --violations --target=3.7- blendnet/agent/inside.py blendnet/agent/in_blender addon/blendnet_addon

types: $(VENV)/.ready-test
	@$(BIN)/mypy

unit: $(VENV)/.ready-test
	@$(BIN)/python -m pytest -q $(UNIT_SHARED) -m "not blender and not end_to_end and not thorough"

simulate: system-test $(VENV)/.ready-test ## Simulate a farm: AGENTS=1000 CHUNKS=100000 SIMULATE="more options"
	@$(BIN)/python -m bench.simulator --agents $(AGENTS) --chunks $(CHUNKS) $(SIMULATE)

market: $(VENV)/.ready-test ## Simulate spot markets: compare policies, prove caps. RUNS=10000 COMPARE=100 SEED=1
	@$(BIN)/python -m bench.market --runs $(RUNS) --compare $(COMPARE) --seed $(SEED) $(MARKET)

bench: system-test $(VENV)/.ready-test blender ## Measure speed against plain Blender; prints ratios
	@$(BIN)/python -m bench

chaos: system-test $(VENV)/.ready-test blender ## Break a real farm at random; prints a table. make chaos MINUTES=60 SEED=1 RATE=5
	@$(BIN)/python -m tests.chaos --minutes $(MINUTES) --seed $(SEED) --rate $(RATE) $(CHAOS)

format: $(VENV)/.ready-test ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

blender: $(VENV)/.ready system-run ## Install the Blender build that `make run` uses, when it is missing
	@$(BIN)/blendnet blender install $(BLENDER) --if-missing

# --- environments ------------------------------------------------------------------------------------------------
python-ok:
	@$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null || \
	  { echo "BlendNet needs Python 3.11 with venv. On Debian 12: apt-get install python3-venv   (or: make PYTHON=/path/to/python3.11 ...)" >&2; exit 1; }

$(VENV)/.ready: requirements.lock setup.cfg | python-ok
	@echo "Setting up the Python environment in $(VENV) ..." >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

$(VENV)/.ready-test: requirements-test.lock $(VENV)/.ready
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-test.lock
	@touch $@

define need_packages
	@command -v dpkg-query >/dev/null || exit 0; \
	missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	test -z "$$missing" && exit 0; \
	set -- apt-get install -y --no-install-recommends $$missing; \
	if [ "$$(id -u)" = 0 ]; then \
	  echo "Installing system packages:" $$missing >&2; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive "$$@" -qq >/dev/null; \
	else echo "System packages are missing. Run first:  sudo $$*" >&2; exit 1; fi
endef

system-run:
	$(call need_packages,$(RUN_PACKAGES))

system-test:
	$(call need_packages,$(TEST_PACKAGES))

lock: $(VENV)/.ready-test ## Pin every dependency anew (needs pip-tools)
	@$(BIN)/python -m pip install --quiet pip-tools
	@$(BIN)/pip-compile $(PINNED) -o requirements.lock setup.cfg
	@$(BIN)/pip-compile $(PINNED) --extra aws --extra gcp -c requirements.lock -o requirements-manager.lock setup.cfg
	@$(BIN)/pip-compile $(PINNED) --extra test --extra postgresql -o requirements-test.lock setup.cfg

clean: ## Remove what tests and builds leave
	@rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info

distclean: clean ## Also remove the Python environment
	@rm -rf $(VENV)

# --- machines of agents (docs/worker-image.md) -----------------------------------------------------------------------
BUNDLE := build/blendnet-bundle.tar.gz
TOOLS := build/tools
IMAGE_SCRIPTS := $(wildcard worker_image/*.sh) examples/cloud_smoke.sh tests/end_to_end/debian_blender.sh

.PHONY: bundle images lint-image

bundle: $(VENV)/.ready ## Pack the project for machines that are to become agents: build/blendnet-bundle.tar.gz
	@PYTHON=$(abspath $(BIN)/python) worker_image/bundle.sh $(BUNDLE)

images: bundle ## Make machine images with Packer: make images ONLY=amazon-ebs.worker GPU=true
	@PATH="$$PATH:$(abspath $(TOOLS))/usr/bin" worker_image/images.sh $(BUNDLE) "$(ONLY)" "$(GPU)"

lint-image: $(VENV)/.ready-test $(TOOLS)/.ready
	@$(BIN)/shellcheck $(IMAGE_SCRIPTS)
	@$(BIN)/hadolint worker_image/Dockerfile
	@PATH="$$PATH:$(abspath $(TOOLS))/usr/bin" worker_image/check-packer.sh

# Unpacked, not installed: cloud-init would act at the next boot of this machine.
$(TOOLS)/.ready:
	@mkdir -p $(TOOLS)
	@command -v dpkg-deb >/dev/null && cd $(TOOLS) && \
	  { apt-get download -qq packer cloud-init 2>/dev/null || { apt-get update -qq && apt-get download -qq packer cloud-init; }; } && \
	  for deb in *.deb; do dpkg-deb -x "$$deb" . && rm "$$deb" || exit 1; done && touch .ready || \
	  echo "No packer and cloud-init from Debian here: Packer's files and user data are checked where they are installed." >&2

.PHONY: addon
addon: $(VENV)/.ready ## Build the Blender add-on, the same bytes every time: build/blendnet_addon.zip
	@$(BIN)/python addon/build.py build/blendnet_addon.zip

DEBIANS := build/debians/bullseye/blender build/debians/trixie/blender

.PHONY: matrix latency
matrix: system-test $(VENV)/.ready-test blender $(DEBIANS) ## Prove farm and add-on on Blender 2.83, 4.2, 4.3, 5.0 too; as root, 5 GB
	@$(BIN)/python -m pytest -v --durations 10 -m matrix

latency: system-test $(VENV)/.ready-test blender ## Measure how long Blender's window waits for the add-on: 5 GB sent, 1,000 frames watched
	@$(BIN)/python -m pytest -q -s -m matrix tests/ui/test_latency.py -k 3.4

# Blender 2.83 and 4.3 with everything they need, beside the ones of this Debian; what is there already is kept.
$(DEBIANS): build/debians/%/blender: tests/end_to_end/debian_blender.sh
	$(call need_packages,debootstrap)
	@$< $* $(@D)

.PHONY: container
container: system-test $(VENV)/.ready-test blender bundle ## Build the agent's container without a registry, and render in it; as root, podman
	@worker_image/container.sh build/container
	@BLENDNET_TEST_CONTAINERS=$(abspath build/container) $(BIN)/python -m pytest -q -s tests/machine/test_container.py

DEBIAN := build/debian

.PHONY: machine
machine: $(VENV)/.ready-test $(DEBIAN)/.ready ## Boot a bare Debian that becomes a Manager, with real systemd; as root
	@BLENDNET_TEST_DEBIAN=$(abspath $(DEBIAN)) $(BIN)/python -m pytest tests/machine

$(DEBIAN)/.ready:
	@command -v debootstrap systemd-nspawn script >/dev/null || \
	  { echo "Run first:  apt-get install debootstrap systemd-container bsdutils" >&2; exit 1; }
	@mkdir -p $(DEBIAN)
	@debootstrap --variant=minbase --include=ca-certificates,python3,systemd,systemd-sysv,dbus bookworm $(DEBIAN) \
	  http://deb.debian.org/debian >/dev/null
	@touch $@
