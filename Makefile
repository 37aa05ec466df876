# Daily work, by name. `make demo` and `make test` do all the set-up.
.PHONY: demo test fuzz setup packages models build fmt lint clean

CARGO ?= cargo
KEEP ?=
SECONDS ?= 600

demo: setup build  ## six settlements through the real programs, checked
	@target/release/examples/demo $(if $(KEEP),--keep)

test: setup build  ## every test
	$(CARGO) test --release --all-targets
	$(CARGO) test --release --doc

fuzz:  ## everything that is read, under libFuzzer, so many SECONDS for each target
	@scripts/packages fuzz
	@KEEP=$(KEEP) fuzz/run $(SECONDS)

setup: packages models

packages:  ## Debian packages that the build and the models need
	@scripts/packages

models:  ## models and sample portraits, checked by hash; instant when they are there
	@models/fetch

build:
	$(CARGO) build --release --bins --examples

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --release --all-targets -- -D warnings

clean:
	$(CARGO) clean
	rm -rf models/files
