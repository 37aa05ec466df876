# Daily work, by name. `make demo` and `make test` do all the set-up.
.PHONY: demo test faults setup packages models build fmt lint clean

CARGO ?= cargo
KEEP ?=
CUTS ?= 200

demo: setup build  ## six settlements through the real programs, checked
	@target/release/examples/demo $(if $(KEEP),--keep)

test: setup build  ## every test
	$(CARGO) test --release --all-targets
	$(CARGO) test --release --doc

faults: setup build  ## break everything that can break, and count what was lost
	@target/release/examples/faults --cuts $(CUTS)

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
