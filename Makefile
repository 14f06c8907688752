# Every target prepares what it needs. `make run` and `make test` are the two a newcomer wants.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

.PHONY: setup run test test-long test-nat lint codecs interop-peers lethean-peer js-peers rust-peers bench lock clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup
	@exec $(BIN)/mesh daemon

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.spec_compiler --check

codecs: setup
	$(BIN)/python -m tools.spec_compiler

interop-peers:
	@if command -v go >/dev/null; then cd tools/interop_peers && go build -mod=readonly -o build/peer . && cd current && \
	  { go build -mod=readonly -o ../build/current . || \
	    echo "interop-peers: the newest go-libp2p needs a newer Go: its tests will be skipped" >&2; }; \
	else echo "interop-peers: no Go toolchain: the tests against Go peers will be skipped" >&2; fi

lethean-peer:
	@if command -v go >/dev/null; then cd tools/lethean_peer && go build -mod=readonly -o ../interop_peers/build/lethean_peer .; \
	else echo "lethean-peer: no Go toolchain: the tests against it will be skipped" >&2; fi

js-peers: setup
	$(BIN)/python -m tools.interop_peers.javascript

# Rust's take many minutes once, and are kept: no part of `make test`.
rust-peers: setup
	$(BIN)/python -m tools.interop_peers.rust

test: setup lint interop-peers lethean-peer js-peers
	$(BIN)/python -m pytest -n 3 --dist loadgroup -m "not long"

test-long: setup interop-peers
	$(BIN)/python -m pytest -m long

# Ten sets behind real NATs, three tries each: required where a laboratory can be built, else skipped, loudly. They wait
# most of the time, so there are more of them than processors.
test-nat: setup interop-peers
	@if $(BIN)/python -c "import sys; from mesh.lab import missing_ability; sys.exit(bool(missing_ability()))"; \
	then MESH_LAB=require $(BIN)/python -m pytest -n 4 --dist loadgroup -m nat_set tests/lab; \
	else echo "test-nat: NOTHING WAS TESTED BEHIND NATS: no laboratory can be built here" >&2; fi

bench: setup interop-peers
	$(BIN)/python -m tools.bench --peers second
	$(BIN)/python -m tools.bench.dht
	$(BIN)/python -m tools.bench.gossip
	$(BIN)/python -m tools.bench.crdt
	$(BIN)/python -m tools.bench.crdt_catching_up
	$(BIN)/python -m tools.bench.crdt_chain
	$(BIN)/python -m tools.bench.bitswap
	$(BIN)/python -m tools.bench.lethean
	$(BIN)/python -m tools.bench.lethean_live
	$(BIN)/python -m tools.bench.agent

lock: setup
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links --extra agent --extra chain --extra market --extra sim --extra zstd pyproject.toml requirements/dev.in -o requirements/dev.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis tools/interop_peers/build
