# `make help` lists what there is. Each target makes its own virtual environment.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
LEAN := .venv-runtime/bin
ORT118 := onnxruntime==1.18.1 numpy==1.26.4
OLDEST := onnxruntime==1.20.0 numpy==1.26.4 msgspec==0.18.6 click==8.1.7
OLDEST_TOOLS := onnxruntime==1.20.0 numpy==1.26.4 msgspec==0.21.0 click==8.1.7 onnx==1.18.0 onnx-ir==0.2.0 \
  onnxscript==0.7.0 tqdm==4.66.0 pyarrow==18.0.0 Pillow==10.3.0 matplotlib==3.9.0 pyparsing==3.1.0
# two or more processes, each with one thread: torch's threads and another process on two cores slow each other tenfold
TOGETHER := -n auto --maxprocesses 4 --dist loadfile
SOURCES := $(shell find runtime export train -name '*.py' 2>/dev/null) pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help catalogue demo test test-all test-runtime test-oldest test-oldest-tools test-onnxruntime-118 lint format
.PHONY: gpu bench bench-stream bench-batcher bench-train bench-int8 bench-gate fuzz fuzz-guided soak model model-mnist clean

help: ## List these targets
	@grep -E '^[a-z0-9-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv-runtime/.ready: $(SOURCES)
	$(PYTHON) -m venv --clear .venv-runtime
	$(LEAN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt '.[cpu,test]'
	@touch $@

# the oldest onnxruntime that exported files promise to run on; it needs numpy 1, so an environment of its own
.venv-ort118/.ready: Makefile
	$(PYTHON) -m venv --clear .venv-ort118
	.venv-ort118/bin/python -m pip install --quiet --disable-pip-version-check --no-deps $(ORT118)
	@touch $@

catalogue: $(READY) ## Write tests/catalogue.md again, from its rows
	@mkdir -p build
	PYTHONPATH=tests $(BIN)/python -m catalogue.page > build/catalogue.md
	mv build/catalogue.md tests/catalogue.md

demo: $(READY) ## Train, export, prove, run and draw, once, into build/demo
	@rm -rf build/demo
	$(BIN)/reparam demo --out build/demo --device cpu

test test-all test-runtime test-oldest: export OMP_NUM_THREADS ?= 1

test: $(READY) test-runtime .venv-ort118/.ready ## All tests but the slow ones, in the full environment and in the runtime's own
	$(BIN)/python -m pytest $(TOGETHER) -m 'not slow and not gpu'

test-all: $(READY) test-runtime test-oldest test-oldest-tools .venv-ort118/.ready ## All tests, the slow ones too
	$(BIN)/python -m pytest $(TOGETHER) -m 'not gpu'

test-runtime: .venv-runtime/.ready ## The runtime's tests on the built wheel, without torch and onnx
	$(LEAN)/python -m pytest $(TOGETHER) -m 'not slow and not gpu' tests/runtime

test-oldest: ## The runtime's tests on the oldest versions that pyproject.toml promises
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check $(OLDEST) '.[cpu,test]'
	.venv-oldest/bin/python -m pytest $(TOGETHER) -m 'not slow and not gpu' tests/runtime

test-oldest-tools: ## Training and export with the oldest versions that they promise; PyTorch is the usual one
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check $(OLDEST_TOOLS) \
	  $(shell grep -E '^(torch|diffusers|huggingface_hub)==' constraints.txt) '.[cpu,train,export,convert,parquet,images,report,test]' diffusers
	.venv-oldest/bin/python -m pytest $(TOGETHER) -m 'not slow and not gpu' tests/export tests/train

test-onnxruntime-118: $(READY) .venv-ort118/.ready ## Exported files on onnxruntime 1.18, held against the newest
	$(BIN)/python -m pytest tests/export/test_onnxruntime_118.py

lint: $(READY) .venv-runtime/.ready ## ruff, mypy strict, pyright strict, and the types of the installed package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright --warnings
	VIRTUAL_ENV=$(CURDIR)/.venv-runtime PATH=$(CURDIR)/.venv-runtime/bin:$$PATH \
	  $(BIN)/pyright --verifytypes reparam --ignoreexternal >/dev/null || \
	  { echo "pyright --verifytypes reparam: not every public type is known"; exit 1; }

format: $(READY) ## Let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY) ## What the runtime costs above bare onnxruntime, and what a program pays before its first result
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/startup.py

bench-stream: $(READY) ## Rows a second and memory of a large file through encode; GIGABYTES=4 for a larger one
	$(BIN)/python benchmarks/streaming.py $(GIGABYTES)

bench-batcher: $(READY) ## What a Batcher gains for 64 callers of single rows, in one paired run
	$(BIN)/python benchmarks/batcher.py

bench-gate: $(READY) ## What the gate costs beyond reading and hashing, for models/mnist, a node, and 100 MB
	$(BIN)/python benchmarks/gate.py

fuzz: export OMP_NUM_THREADS = 1
fuzz: GRAPHS ?= 50000
fuzz: BUNDLES ?= 100000
fuzz: SEED ?= 0
fuzz: $(READY) ## Random graphs and damaged bundles through the gate and onnxruntime; GRAPHS=, BUNDLES=, SEED=
	$(BIN)/python tests/fuzz/graphs.py --count $(GRAPHS) --seed $(SEED)
	$(BIN)/python tests/fuzz/bundles.py --count $(BUNDLES) --seed $(SEED)
	$(BIN)/python tests/fuzz/bundles.py --count $(BUNDLES) --seed $(SEED) --rehash

fuzz-guided: SECONDS ?= 600
fuzz-guided: .venv-fuzz/.ready ## Coverage-guided fuzzing of gate, manifest and .npy files by atheris; SECONDS= of each
	set -e; for target in gate manifest npy; do \
	  .venv-fuzz/bin/python tests/fuzz/guided.py $$target -max_total_time=$(SECONDS); done

.venv-fuzz/.ready: $(SOURCES)
	$(PYTHON) -m venv --clear .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt atheris==3.0.0 .
	@touch $@

soak: $(READY) ## A million runs, 2,000 loads, 20,000 failures, 10 million rows: what they leave behind; RUNS= LOADS= FAILURES= ROWS=
	$(BIN)/python benchmarks/soak.py $(or $(RUNS),1000000) $(or $(LOADS),2000) $(or $(FAILURES),20000) $(or $(ROWS),10000000)

gpu: .venv-gpu/.ready ## Everything that wants a CUDA card, into docs/gpu-report.json and .md; docs/gpu.md
	.venv-gpu/bin/python benchmarks/gpu

# of PyTorch's own index where the usual wheel is another CUDA's; onnxruntime and onnxruntime-gpu exclude each other
.venv-gpu/.ready: $(SOURCES)
	$(PYTHON) -m venv --clear .venv-gpu
	.venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
	  '.[cuda,train,export,nvml,test]' diffusers
	@touch $@

bench-train: ## Rows a second of training beside pythae, in an environment of its own; needs MNIST=DIR
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pythae==0.1.2 '.[cpu,train]'
	.venv-bench/bin/python benchmarks/training.py $(MNIST)

bench-int8: $(READY) ## What int8 gains and costs on this CPU, on one thread; needs MNIST=DIR
	$(BIN)/python benchmarks/int8.py $(MNIST)

model: $(READY) ## Train and export models/digits again
	rm -rf build/digits-run
	$(BIN)/reparam train digits --out build/digits-run --likelihood gaussian --latent 8 --activation silu --threads 1
	$(BIN)/reparam export build/digits-run models/digits

model-mnist: $(READY) ## Train and export models/mnist again, in half an hour; needs MNIST=DIR
	rm -rf build/mnist-run
	$(BIN)/reparam train $(MNIST) --out build/mnist-run --net mlp --hidden 200,200 --activation tanh --latent 50 \
	  --likelihood bernoulli --binarize dynamic --batch-size 100 --lr 1e-3 --adam-eps 1e-4 --epochs 450 \
	  --schedule cosine --validate-every 25 --seed 0 --threads 1 --compile
	$(BIN)/reparam export build/mnist-run models/mnist --precision fp32,int8 --calibrate $(MNIST)

clean: ## Remove environments and everything built
	rm -rf .venv .venv-runtime .venv-oldest .venv-ort118 .venv-bench .venv-fuzz .venv-gpu build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
