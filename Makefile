# `make demo` shows the job, `make test` tests it; both install what a bare Debian machine lacks.

N ?= 200000
IMAGE ?= notification-cleanup
JOBS ?= 2
bench: N = 1000000
bench: ROUNDS = 0
bench-large: N = 10000000
bench-huge: N = 50000000
bench-huge: KEYS = uuid
bench-growth: N = 2000000
bench-citus: N = 1000000
GOOSE := github.com/pressly/goose/v3/cmd/goose@v3.29.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
export PATH := $(CURDIR)/.build:$(PATH)
export RAPID_CHECKS ?= 150
LONG := $(addprefix ./sql/test/,model exact load long)
CITUS := $(addprefix ./sql/test/,model lastword exact recipes)
SLOW := ^TestLong|^TestPgCron|^TestPlainGoose|^TestSnapshotEquals|^TestTheNextRunPuts|^TestAStandby|PgBouncer

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## compile notification-cleanup into .build/, static
	@mkdir -p .build
	@CGO_ENABLED=0 go build -buildvcs=auto -ldflags '-s -w' -o .build/ ./cmd/...

.PHONY: image
image: export GOOS = linux
image: build ## a container image of it, with buildah, podman or docker: IMAGE=notification-cleanup
	@$(or $(firstword $(foreach tool,buildah podman docker,$(shell command -v $(tool)))),buildah) build -q -t $(IMAGE) -f cmd/notification-cleanup/Dockerfile .build

.PHONY: run
run: build ## run the cleanup on $DATABASE_URL
	@notification-cleanup run

.PHONY: demo
demo: build postgresql ## the whole job on N=200000 made-up notifications, on a throw-away PostgreSQL or an empty $DEMO_DATABASE_URL
	@with-postgres -env DEMO_DATABASE_URL $(MAKE) --no-print-directory demo-steps

# A throw-away database: for the tables and routines alone, and with demo data.
quiet_migrate = { notification-cleanup migrate up >.build/migrate.log 2>&1 || { cat .build/migrate.log >&2; exit 1; }; }

demo_database = $(quiet_migrate) && psql "$$DATABASE_URL" -q -v n=$(N) -f sql/demo/demo_data.sql

# Prints a command, to be copied, and runs it.
step = @printf '\n$$ %s\n' '$(1)'; $(1)

# Never an exported DATABASE_URL, which may name an application's database.
.PHONY: demo-steps
demo-steps: export DATABASE_URL = $(DEMO_DATABASE_URL)
demo-steps:
	@psql "$$DATABASE_URL" -q -v check=1 -f sql/demo/demo_data.sql
	$(call step,notification-cleanup migrate up)
	$(call step,psql "$$DATABASE_URL" -q -v n=$(N) -f sql/demo/demo_data.sql)
	$(call step,notification-cleanup stats)
	$(call step,notification-cleanup preview | head)
	$(call step,notification-cleanup run)
	$(call step,notification-cleanup stats)
	$(call step,notification-cleanup run)
	$(call step,notification-cleanup history)
	$(call step,notification-cleanup restore 1)
	$(call step,notification-cleanup stats)

# BEFORE=folder names a checkout of an earlier version, whose procedure is measured too.
.PHONY: bench
bench: build postgresql ## compare the cleanup on N=1000000 notifications with the physical limit and with what people run today
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -n $(N) -rounds $(ROUNDS) -before '$(BEFORE)'

.PHONY: bench-large
bench-large: build postgresql ## the same on N=10000000 once, with max_wal_size of 8 and of 1 GB, and a thin night
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -large -n $(N) -before '$(BEFORE)'

.PHONY: bench-huge
bench-huge: build postgresql ## a deleted row on N=50000000, with random keys, or KEYS=bigint in the order of time
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -huge -n $(N) -keys $(KEYS)

.PHONY: bench-growth
bench-growth: build postgresql ## a row by the number of users over the limit, and by partitions, N=2000000
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -growth -n $(N)

.PHONY: bench-citus
bench-citus: build postgresql ## one node with a cluster of three, N=1000000 notifications
	@DATABASE_URL= with-postgres -durable -citus go run ./sql/bench -citus -n $(N)

.PHONY: pictures
pictures: build postgresql ## draw the pictures of the documents, from sql/bench/results.json and a real run
	@go run ./sql/pictures sql/pictures
	@DATABASE_URL= with-postgres sh -c '$(demo_database) && go run ./sql/pictures -terminal sql/pictures'

.PHONY: psql
psql: build postgresql ## a psql shell on a throw-away database with N=200000 made-up notifications
	@DATABASE_URL= with-postgres sh -c '$(demo_database) && psql "$$DATABASE_URL"'

# What goes to the tests that kill at random, and to rapid, as half the number of cases that the kinds of table share.
test-long: ROUNDS = 40
test-long: export RAPID_CHECKS = 5000

# Two suites at a time, on one server. What is in sql/test/long is for test-long only.
go_test = with-postgres -env TEST_DATABASE_URL go test -count=1 -p 2
suites = $$(go list ./... | grep -v '/sql/test/long$$')

.PHONY: test
test: build german pg-cron pgbouncer .build/goose ## all tests, on a throw-away PostgreSQL or $TEST_DATABASE_URL
	@$(go_test) -skip '$(SKIP)' $(suites)

.PHONY: test-short
test-short: build german pg-cron pgbouncer .build/goose ## the same with fewer random cases
	@$(go_test) -skip '$(SKIP)' -short $(suites)

.PHONY: test-long
test-long: build postgresql german ## 10,000 random sequences of operations, 400 kills, an application at work, a full disk
	@$(go_test) -timeout 1h $(LONG) -rounds $(ROUNDS)

.PHONY: test-matrix
test-matrix: build postgresql german pgbouncer .build/goose ## all tests on PostgreSQL 14 to 18, whose servers come from npm; VERSIONS='14 18' picks some
	@VERSIONS='$(VERSIONS)' .ci/matrix $(MAKE) --no-print-directory test SKIP='^TestPgCron'

.PHONY: test-citus
test-citus: build ## the model, interleavings, kills and the recipe on a Citus cluster, of the PostgreSQL in PG_BIN
	@TEST_DATABASE_URL= with-postgres -citus -env TEST_DATABASE_URL \
		go test -count=1 -timeout 1h -p 1 -parallel 3 -skip '^TestTheNaive' $(CITUS)

.PHONY: mutate
mutate: build german pg-cron .build/goose ## break clauses one by one, a test must go red each time; ONLY=regexp picks some, JOBS=2 at a time
	@go run ./sql/test/mutate -jobs $(JOBS) -skip '$(SLOW)' -only '$(value ONLY)'

.PHONY: lint
lint: build plpgsql-check ## gofmt, go vet, staticcheck, go mod tidy, plpgsql_check
	@test -z "$$(gofmt -l cmd migrations sql)" || { gofmt -d cmd migrations sql; exit 1; }
	@go mod tidy -diff
	@go vet ./...
	@go run $(STATICCHECK) ./...
	@DATABASE_URL= with-postgres sh -c '$(quiet_migrate) && psql "$$DATABASE_URL" -q -f .ci/plpgsql_check.sql'

.PHONY: fmt
fmt: ## format the Go code
	@gofmt -w cmd migrations sql

.PHONY: snapshot
snapshot: ## freeze the routines of sql/ into their migration
	@.ci/snapshot

.PHONY: verify
verify: ## check that the frozen copies equal sql/, and that each mutant finds what it changes
	@.ci/snapshot --check
	@go run ./sql/test/mutate -check

# What is missing is installed where apt-get may do it; elsewhere with-postgres says what to do.
apt_install = [ "$$(id -u)" = 0 ] && sudo= || sudo='sudo -n'; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
		echo "installing $(1)" >&2; $$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends $(1) >/dev/null; \
	fi

.PHONY: postgresql
postgresql:
	@[ -n "$$PG_BIN" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || { $(call apt_install,postgresql); }

# An extension for the newest server, known by the file it brings.
extension = @[ -n "$$PG_BIN" ] || for version in $$(ls /usr/lib/postgresql 2>/dev/null | sort -n | tail -n 1); do \
	[ -e /usr/share/postgresql/$$version/extension/$(1).control ] || { $(call apt_install,postgresql-$$version-$(2)); }; done

# The tests run in a database that speaks German, too.
.PHONY: german
german: postgresql
	@locale -a | grep -qix 'de_DE.utf-*8' || { \
		[ -e /usr/share/i18n/locales/de_DE ] || { $(call apt_install,locales); }; \
		[ "$$(id -u)" = 0 ] && sudo= || sudo='sudo -n'; \
		$$sudo localedef -i de_DE -f UTF-8 de_DE.UTF-8; }

.PHONY: plpgsql-check
plpgsql-check: postgresql
	$(call extension,plpgsql_check,plpgsql-check)

.PHONY: pg-cron
pg-cron: postgresql
	$(call extension,pg_cron,cron)

.PHONY: pgbouncer
pgbouncer:
	@[ -e /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || { $(call apt_install,pgbouncer); }

# The tests run the migrations by the plain goose command line too; the tags leave the drivers of other databases out.
.build/goose: Makefile
	@GOBIN=$(CURDIR)/.build go install -tags 'no_azuresql no_clickhouse no_libsql no_mssql no_mysql no_sqlite3 no_vertica no_ydb' $(GOOSE)
	@touch $@
