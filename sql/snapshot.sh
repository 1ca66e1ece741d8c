#!/bin/sh
# Freezes the routines of sql/ into migrations/, because goose cannot include files.
#
#     sql/snapshot.sh [NAME]     writes migrations/<next number>_NAME.sql with every routine that differs from its newest
#                                frozen copy; its Down puts the previous copy back, or drops a routine that had none
#     sql/snapshot.sh --check    changes nothing; exit status 1 where a routine differs
#
# To change a migration that is not released yet: delete it, then snapshot again.
set -eu
cd "$(dirname "$0")/.."

# The file $1 as goose statements.
statements() {
    awk '/^CREATE OR REPLACE (FUNCTION|PROCEDURE)|^DO / { print "-- +goose StatementBegin" }
         { print }
         /^\$\$;$/ { print "-- +goose StatementEnd" }' "$1"
}

# The newest frozen copy of the file $1; nothing where there is none.
frozen() {
    cat migrations/*.sql | awk -v first="-- frozen copy of $1" -v last="-- end of $1" '
        /^-- \+goose (Up|Down)/ { up = $3 == "Up" }
        $0 == last { inside = 0 }
        inside { copy = copy $0 "\n" }
        up && $0 == first { inside = 1; copy = "" }
        END { printf "%s", copy }'
}

changed=$(for file in $(grep -lE '^CREATE OR REPLACE' sql/*.sql); do
    [ "$(statements "$file")" = "$(frozen "$file")" ] || echo "$file"
done)

if [ "${1:-}" = --check ]; then
    [ -z "$changed" ] && exit
    echo "differs from its frozen copy in migrations/, run make snapshot:" $changed >&2
    exit 1
fi
[ -n "$changed" ] || { echo "nothing to freeze: migrations/ has every routine as it is in sql/"; exit; }

last=$(ls migrations | sed -n 's/^\([0-9]\{5\}\)_.*\.sql$/\1/p' | tail -n 1)
new=migrations/$(printf '%05d' "$(expr "$last" + 1)")_${1:-routines}.sql
pin="-- SET search_path FROM CURRENT then pins the schema that goose installs into, and temporary objects last.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);"
{
    echo "-- Written by sql/snapshot.sh: edit sql/, never this copy."
    printf '\n-- +goose Up\n%s\n' "$pin"
    for file in $changed; do
        printf '\n-- frozen copy of %s\n%s\n-- end of %s\n' "$file" "$(statements "$file")" "$file"
    done
    printf '\n-- +goose Down\n%s\n' "$pin"
    for file in $changed; do
        copy=$(frozen "$file")
        kind=$(sed -n 's/^CREATE OR REPLACE \([A-Z]*\).*/\1/p' "$file")
        printf '%s\n' "${copy:-DROP $kind $(basename "$file" .sql);}"
    done
} > "$new.tmp"
mv "$new.tmp" "$new"
echo "$new:" $changed
