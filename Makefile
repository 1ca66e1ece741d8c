# `make demo` shows the job, `make test` tests it. Both install what a bare Debian machine lacks.

N ?= 200000
IMAGE ?= notification-cleanup
JOBS ?= 2
bench: N = 1000000
bench bench-pace: ROUNDS = 0
bench-pace: N = 1000000
bench-large: N = 10000000
bench-huge: N = 50000000
bench-huge: KEYS = uuid
bench-growth: N = 2000000
bench-citus: N = 1000000
GOOSE := github.com/pressly/goose/v3/cmd/goose@v3.29.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
export PATH := $(CURDIR)/.build:$(PATH)
export RAPID_CHECKS ?= 50

.PHONY: help ## list these targets
help:
	@awk -F ' ## ' '/^.PHONY: .* ## / { printf "make %-12s %s\n", substr($$1, 9), $$2 }' \
		$(MAKEFILE_LIST)

.PHONY: build ## compile the program into .build/, as one static file
build:
	@mkdir -p .build
	@CGO_ENABLED=0 go build -buildvcs=auto -ldflags '-s -w' -o .build/ ./cmd/...

.PHONY: image ## build a container image IMAGE of the program, with buildah, podman or docker
image: export GOOS = linux
image: build
	@$(builder) build -q -t $(IMAGE) -f cmd/notification-cleanup/Dockerfile .build

builders := buildah podman docker
builder = $(or $(firstword $(foreach tool,$(builders),$(shell command -v $(tool)))),buildah)

.PHONY: run ## run the cleanup once, on $DATABASE_URL
run: build
	@notification-cleanup run

.PHONY: demo ## show the whole job on N=200000 made-up notifications, or in $DEMO_DATABASE_URL
demo: build postgresql
	@with-postgres -env DEMO_DATABASE_URL $(MAKE) --no-print-directory demo-steps

# A throw-away database: for the tables and routines alone, and with demo data.
quiet_migrate = { notification-cleanup migrate up >.build/migrate.log 2>&1 || { \
	cat .build/migrate.log >&2; exit 1; }; }

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
.PHONY: bench ## compare with the physical limit, and with what people run today; N=1000000
bench: build postgresql
	@DATABASE_URL= with-postgres -durable \
		go run ./sql/bench -n $(N) -rounds $(ROUNDS) -before '$(BEFORE)'

.PHONY: bench-pace ## measure an application beside runs that rest; N=1000000
bench-pace: build postgresql
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -pace -n $(N) -rounds $(ROUNDS)

.PHONY: bench-large ## bench with max_wal_size 8 and 1 GB, and with little to delete; N=10000000
bench-large: build postgresql
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -large -n $(N) -before '$(BEFORE)'

.PHONY: bench-huge ## measure a row with KEYS=uuid, or bigint in the order of time; N=50000000
bench-huge: build postgresql
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -huge -n $(N) -keys $(KEYS)

.PHONY: bench-growth ## measure a row by users over the limit, and by partitions; N=2000000
bench-growth: build postgresql
	@DATABASE_URL= with-postgres -durable go run ./sql/bench -growth -n $(N)

.PHONY: bench-citus ## compare one server with a Citus cluster of three nodes; N=1000000
bench-citus: build postgresql
	@DATABASE_URL= with-postgres -durable -citus go run ./sql/bench -citus -n $(N)

.PHONY: pictures ## draw the pictures of the documents, from sql/bench/results.json and a real run
pictures: build postgresql
	@go run ./sql/pictures sql/pictures
	@DATABASE_URL= with-postgres sh -c \
		'$(demo_database) && go run ./sql/pictures -terminal sql/pictures'

.PHONY: psql ## start psql on a throw-away database with N=200000 made-up notifications
psql: build postgresql
	@DATABASE_URL= with-postgres sh -c '$(demo_database) && psql "$$DATABASE_URL"'

# What goes to the tests that kill at random, and to rapid, as half the number of cases that the
# kinds of table share.
test-long: ROUNDS = 40
test-long: export RAPID_CHECKS = 5000

# Two suites at a time, on one server.
go_test = with-postgres -env TEST_DATABASE_URL go test -count=1 -p 2

# The suites of the SQL. Which of them TEST_ONLY means, each says in its main_test.go.
suites = $$(go list ./sql/test/... | grep -v /mutate$$)

.PHONY: test ## run all tests, on a throw-away server or on $TEST_DATABASE_URL
test: build german pg-cron pgbouncer .build/goose
	@$(go_test) ./...

.PHONY: test-short ## run the tests without the slow ones, and with fewer random cases
test-short: build german pg-cron pgbouncer .build/goose
	@$(go_test) -short ./...

.PHONY: test-long ## run long tests: random sequences, kills, odd settings, load, a full disk
test-long: build postgresql german
	@TEST_ONLY=long $(go_test) -timeout 1h $(suites) -rounds $(ROUNDS)

.PHONY: test-matrix ## run all tests on VERSIONS='14 15 16 17 18', with servers from npm
test-matrix: build postgresql german pgbouncer .build/goose
	@VERSIONS='$(VERSIONS)' .ci/matrix $(MAKE) --no-print-directory test

test-citus: ROUNDS = 3
test-citus: export RAPID_CHECKS = 150

.PHONY: test-citus ## run the tests for Citus on a cluster; PG_BIN has to have Citus
test-citus: build
	@TEST_ONLY=citus TEST_DATABASE_URL= with-postgres -citus -env TEST_DATABASE_URL \
		go test -count=1 -timeout 1h -p 1 -parallel 3 $(suites) -rounds $(ROUNDS)

.PHONY: mutate ## break clauses one by one, each time a test must fail; ONLY=regexp, JOBS=2
mutate: build german pg-cron .build/goose
	@go run ./sql/test/mutate -jobs $(JOBS) -only '$(value ONLY)'

# The files in which no line is over 100 characters. The SQL of migrations is not among them: what
# make snapshot writes there is not wrapped, and what is released may not change.
narrow = $$(find .ci cmd sql migrations/*.go \
	-path '.ci/*' -o -name '*.go' -o -name '*.sql' -o -name '*.tmpl')

.PHONY: lint ## check the width of lines, gofmt, go vet, staticcheck, go mod tidy, plpgsql_check
lint: build plpgsql-check
	@awk 'length > 100 { print FILENAME ":" FNR ": " $$0; wide = 1 } END { exit wide }' $(narrow)
	@test -z "$$(gofmt -l cmd migrations sql)" || { gofmt -d cmd migrations sql; exit 1; }
	@go mod tidy -diff
	@go vet ./...
	@go run $(STATICCHECK) ./...
	@DATABASE_URL= with-postgres sh -c \
		'$(quiet_migrate) && psql "$$DATABASE_URL" -q -f .ci/plpgsql_check.sql'

.PHONY: fmt ## format the Go code
fmt:
	@gofmt -w cmd migrations sql

.PHONY: snapshot ## copy the routines of sql/ into their migration
snapshot:
	@.ci/snapshot

.PHONY: verify ## check these copies, and that each mutant finds the text that it changes
verify:
	@.ci/snapshot --check
	@go run ./sql/test/mutate -check

.PHONY: release ## note the checksums of all migrations: from then on none may change
release: verify
	@.ci/snapshot --release

# What is missing is installed where apt-get may do it; elsewhere with-postgres says what to do.
apt_install = [ "$$(id -u)" = 0 ] && sudo= || sudo='sudo -n'; \
	if command -v apt-get >/dev/null && $$sudo true 2>/dev/null; then \
		echo "installing $(1)" >&2; $$sudo apt-get update -qq && \
		$$sudo env DEBIAN_FRONTEND=noninteractive \
			apt-get install -qqy --no-install-recommends $(1) >/dev/null; \
	fi

.PHONY: postgresql
postgresql:
	@[ -n "$$PG_BIN" ] || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || \
		command -v initdb >/dev/null || { $(call apt_install,postgresql); }

# An extension for the newest server, known by the file it brings.
newest = $$(ls /usr/lib/postgresql 2>/dev/null | sort -n | tail -n 1)
extension = @[ -n "$$PG_BIN" ] || for version in $(newest); do \
	[ -e /usr/share/postgresql/$$version/extension/$(1).control ] || { \
		$(call apt_install,postgresql-$$version-$(2)); }; done

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
	@[ -e /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || { \
		$(call apt_install,pgbouncer); }

# The tests run the migrations by the plain goose command line too. The tags leave the drivers of
# other databases out.
other_databases = azuresql clickhouse libsql mssql mysql sqlite3 vertica ydb
.build/goose: Makefile
	@GOBIN=$(CURDIR)/.build go install -tags '$(addprefix no_,$(other_databases))' $(GOOSE)
	@touch $@
