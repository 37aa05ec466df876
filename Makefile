# Daily work, by name. `make demo` and `make test` do all the set-up.
.PHONY: demo day console openapi axe issuer looks pictures test test-devices packages-devices canary canary-proof leaky faults fuzz deb deb-reproducible test-package test-arm64 setup packages models build fmt lint clean

CARGO ?= cargo
# The inference library must not report on the machine (src/vision/telemetry.rs).
export ORT_DISABLE_TELEMETRY = 1
KEEP ?=
CUTS ?= 200
SECONDS ?= 600
ARCH ?=
LOOKS ?= $(CURDIR)/target/looks
VERSION ?=
ALERTS ?= 20000
FRESH ?=

demo: setup build  ## six settlements through the real programs, checked
	@target/release/examples/demo $(if $(KEEP),--keep)

# SETTLEMENTS= makes it shorter, SPEED= slower, WINDOWS= and SEED= another.
day: setup build  ## a hospital's day through relay, box and bureau, 60 times as fast; every settlement accounted for
	@target/release/examples/day

console: build  ## a console full of made-up alerts, on loopback; ALERTS=N of them, FRESH=1 anew
	@$(if $(FRESH),rm -rf target/console)
	@ALERTS=$(ALERTS) target/release/examples/console

openapi: build  ## what machines may ask, from the code into openapi/
	@target/release/counterproof-bureau openapi > openapi/bureau.json
	@target/release/counterproof openapi > openapi/agent.json

axe:  ## what pages are checked with, by hash; instant when it is there
	@scripts/axe

issuer:  ## the single sign-on that tests sign in at, by hash; instant when it is there
	@scripts/issuer

looks: packages axe build  ## a picture of every page in LOOKS, and what axe-core says of it
	COUNTERPROOF_LOOKS=$(LOOKS) $(CARGO) test --release --test it -- browser::looks

pictures: packages axe build  ## the README's pictures, from the running program on made-up data
	COUNTERPROOF_PICTURES=$(CURDIR)/docs/pictures $(CARGO) test --release --test it -- browser::pictures

test: packages-devices axe issuer models build  ## every test
	$(CARGO) test --release --lib --tests
	$(CARGO) test --release --doc

test-devices: packages-devices models build  ## cameras: a real RTSP server, a real kernel's V4L2 in an emulated machine
	@scripts/packages guest
	$(CARGO) test --release --test it -- rtsp::
	@tests/devices/run

# With LEAK=1 the agent has leaks built in, and the canary must fail.
canary: setup build $(if $(LEAK),leaky)  ## nothing of a face is written, sent or kept
	@target/release/examples/canary $(if $(LEAK),--leaky target/canary/leaky)

canary-proof: setup build leaky  ## each leak that is built in is found
	@target/release/examples/canary --leaky target/canary/leaky --proof

# An agent with deliberate leaks, kept apart: the ordinary one is put back in its place.
# Its own code is not optimised: what is looked for is whether leaks are found. With an
# example beside it, libraries have the features that tests ask of them, as in every other
# build here; without, many of them and the whole program would be built once more.
leaky: build
	$(CARGO) build --release --features leak --bin counterproof --example demo --config 'profile.release.package.counterproof.opt-level=0'
	@mkdir -p target/canary
	@mv target/release/counterproof target/canary/leaky
	$(CARGO) build --release --bins --examples

faults: setup build  ## break everything that can break, and count what was lost
	@target/release/examples/faults --cuts $(CUTS)

fuzz:  ## everything that is read, under libFuzzer, so many SECONDS for each target
	@scripts/packages fuzz
	@KEEP=$(KEEP) fuzz/run $(SECONDS)

deb:  ## target/debian/*.deb with its bill of materials; ARCH=arm64 crosses
	@scripts/packages package $(ARCH)
	@package/build $(if $(ARCH),--arch $(ARCH)) $(if $(VERSION),--version $(VERSION))

deb-reproducible:  ## built anew in another folder, the package has the same bytes
	@scripts/packages package $(ARCH)
	@package/reproducible $(if $(ARCH),--arch $(ARCH))

test-package: deb  ## install, try, upgrade, downgrade, remove, purge in a fresh Debian 12; as root
	@tests/package/run

test-arm64:  ## crosses for arm64; its embeddings against this machine's, in an emulated machine
	@scripts/packages package arm64
	@scripts/packages guest-arm64
	@models/fetch --all-arch
	$(CARGO) build --release --example agreement
	ROOT=$(CURDIR) ARCH=arm64 && . package/environment && "$$CARGO" build --release --locked --target "$$TARGET" --example agreement
	@tests/package/agreement

setup: packages models

packages:  ## Debian packages that the build and the models need
	@scripts/packages

packages-devices:  ## and those that cameras are tested with
	@scripts/packages devices

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
