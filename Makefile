# make run    serve http://127.0.0.1:8080 from checkpoint/run1 (PORT=, CHECKPOINT=... change it)
# make test   the whole test suite
# make bench  compare the speed with other engines: half an hour or more (ARGS= asks for a part)
# make load   how many visitors at once, beside the ancestor: ten minutes (needs nginx; ARGS=)
# make train  fine-tune on data/train.txt with what train_gpt2.py asks by default (ARGS= adds flags)
# make wasm   the engine for the browser, engine/wasm/gpt2.wasm (needs clang and lld)
# make fuzz   what reads strangers' bytes, ten minutes a target (ARGS= as tests/fuzz/run.py says)
# make format lint types
#
# Each makes what it needs: a virtual environment in .venv, used again the next time.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
C_FILES := $(filter-out %/unicode_classes.h,$(wildcard engine/csrc/*.[ch] \
	engine/wasm/*.[ch] engine/wasm/include/*.h tests/engine/*.c tests/fuzz/*.c bench/*.c))
ENGINE := pyproject.toml setup.py $(wildcard engine/csrc/*.[ch])

# The core without what needs threads or an operating system.
WASM := engine/wasm/gpt2.wasm
WASM_SOURCES := $(addprefix engine/csrc/,model.c forward.c kernels_portable.c sample.c tokenizer.c) \
	$(wildcard engine/wasm/*.c)
WASM_CC ?= clang

.PHONY: run test fuzz bench load train wasm format lint types clean

run: $(VENV)/.run
	@echo "Open http://127.0.0.1:$${PORT:-8080} (Ctrl-C ends)"
	@exec $(BIN)/uwsgi --ini uwsgi.ini --binary-path $(abspath $(BIN)/python)

test: $(VENV)/.dev
	$(BIN)/python -m pytest $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m bench.generation $(ARGS)

load: $(VENV)/.dev
	$(BIN)/python -m bench.load $(ARGS)

train: $(VENV)/.train
	$(BIN)/python train_gpt2.py $(ARGS)

fuzz: $(VENV)/.dev
	$(BIN)/python -m tests.fuzz.run $(ARGS)

wasm: $(WASM)

# As setup.py compiles it; overflowing the stack, first in memory, traps.
$(WASM): Makefile $(WASM_SOURCES) $(wildcard engine/csrc/*.h engine/wasm/*.h engine/wasm/include/*.h)
	$(WASM_CC) --target=wasm32 -msimd128 -mbulk-memory -std=c11 -O3 -ffp-contract=off \
		-fno-math-errno -fvisibility=hidden -Wall -Wextra -Werror -nostdlib -nostdlibinc \
		-isystem engine/wasm/include -Iengine/csrc \
		-Wl,--no-entry,--export-dynamic,--stack-first,--strip-all -o $@ $(WASM_SOURCES)

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --select I --fix .
	$(BIN)/clang-format -i $(C_FILES)

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run --Werror $(C_FILES)
	$(CC) -std=c11 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror -Wno-psabi -O2 -fsyntax-only \
		$(wildcard engine/csrc/*.c)
	$(BIN)/hadolint Dockerfile

types: $(VENV)/.dev
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info engine/*.so $(WASM)

# One environment; each stamp says which of the requirement files it holds.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; say which with PYTHON=..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: requirements.txt $(ENGINE) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.train: requirements-train.txt $(VENV)/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-train.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.train
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
