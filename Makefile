# Every target works alone, in a fresh clone, and can be repeated. PYTHON=python3.12 chooses the interpreter for .venv.
# ARGS="..." is passed on to the command of a target.
BIN := .venv/bin
SET_UP_FROM := pyproject.toml constraints.txt scripts/set-up scripts/install-torch
# If there is more than one core, two processes share the test files. Each has its own virtual screen.
WORKERS ?= $(shell [ "$$(nproc 2>/dev/null || echo 1)" -gt 1 ] && echo 2 || echo 1)
TESTS_OF_READING := $(sort $(foreach word,reading opening ome tiff zarr formats axes sizes sets,$(wildcard tests/imaging/*$(word)*)))
ON_A_SCREEN := scripts/with-screen $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help demo test test-aicsimageio lint format demo-model real-figures bench pins resolve clean
.NOTPARALLEL:
.DELETE_ON_ERROR:

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name what; \
		do printf '  make %-16s %s\n' "$$name" "$$what"; done

demo: .venv/.set-up ## Install, then integrate a simulated cell: in napari, or into demo-out/ if there is no display
	@if scripts/system-libraries; then windowless=; else windowless=--headless; echo 'Continuing without a window.'; fi; \
		set -x; $(BIN)/napari-ic demo --out demo-out $$windowless $(ARGS)

test: .venv/.set-up-for-tests ## Install, then run all tests on a virtual screen
	@scripts/system-libraries --virtual-screen
ifeq ($(WORKERS),1)
	@$(ON_A_SCREEN) -m pytest $(ARGS)
else
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --dist loadfile --no-loadscope-reorder \
		--tx '$(WORKERS)*popen//execmodel=main_thread_only//python=$(ON_A_SCREEN)' $(ARGS)
endif

test-aicsimageio: .venv-aicsimageio/.set-up ## Install aicsimageio beside .venv, then run the tests of reading and the demo with it
	IMAGE_READER=aicsimageio OMP_NUM_THREADS=1 .venv-aicsimageio/bin/python -m pytest $(TESTS_OF_READING) $(ARGS)
	.venv-aicsimageio/bin/napari-ic demo --headless --out build/demo-aicsimageio

lint: .venv/.set-up-for-tests ## Check format, style, types, direction of imports, and the napari manifest
	@scripts/system-libraries
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/npe2 validate --imports napari-integrated-cell

format: .venv/.set-up-for-tests ## Format the code and correct what ruff can correct
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

demo-model: .venv/.set-up-for-training ## Train the demo model again, on simulated cells, into runs/demo
	$(BIN)/napari-ic-train demo-model --out runs/demo $(ARGS)

real-figures: .venv/.set-up-for-training ## Measure the demo model on the real cells in DATA (../shared/data), and write docs/real-cells.md
	OMP_NUM_THREADS=2 $(BIN)/python benchmarks/real_figures.py --data $(or $(DATA),../shared/data) $(ARGS)

bench: .venv/.set-up-for-tests ## Measure the speed beside plain implementations and the machine's limits, and print a table
	@scripts/system-libraries --virtual-screen
	@$(ON_A_SCREEN) benchmarks/table.py $(ARGS)

pins: build/uv/bin/uv ## Resolve both files of constraints again for Python 3.11 and later; keep every version that still fits
	build/uv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 \
		--extra qt --extra czi --extra lif --extra nd2 --extra train --extra umap --group test --group lint --no-annotate --quiet --custom-compile-command 'make pins' --output-file constraints.txt
	grep '^torch==' constraints.txt > build/torch.txt
	build/uv/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --constraint build/torch.txt \
		--extra qt --extra aicsimageio --group test-aicsimageio --no-annotate --quiet --custom-compile-command 'make pins' --output-file constraints-aicsimageio.txt

resolve: build/uv/bin/uv ## Check that the plugin takes no other napari plugin down to an older version
	rm -rf build/resolve
	build/uv/bin/uv build --quiet --wheel --out-dir build/resolve .
	build/uv/bin/python scripts/resolve_beside.py build/resolve

clean: ## Remove .venv and everything else that was built here, except runs/
	rm -rf .venv .venv-aicsimageio build dist demo-out .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src training tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

build/uv/bin/uv:
	$(or $(PYTHON),python3) -m venv build/uv
	build/uv/bin/pip install --quiet uv packaging

# These stamp files are in .venv, so they disappear when it is removed.
.venv/.set-up: $(SET_UP_FROM)
	scripts/set-up
	@touch $@

.venv-aicsimageio/.set-up: pyproject.toml constraints-aicsimageio.txt scripts/set-up-aicsimageio build/uv/bin/uv
	scripts/set-up-aicsimageio build/uv/bin
	@touch $@

.venv/.set-up-for-training: $(SET_UP_FROM)
	scripts/set-up train
	@touch .venv/.set-up $@

.venv/.set-up-for-tests: $(SET_UP_FROM)
	scripts/set-up train test lint
	@touch .venv/.set-up .venv/.set-up-for-training $@
