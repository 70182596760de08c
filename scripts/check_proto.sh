#!/bin/sh
# Fail when the committed stubs are not what proto/ generates: check_proto.sh PYTHON
set -eu
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
sh scripts/generate_proto.sh "$1" "$fresh"
if ! diff -r --exclude=__pycache__ --exclude=__init__.py "$fresh/blindfit/v1" blindfit/v1; then
    echo "blindfit/v1 is not what proto/ generates: run 'make proto' and commit it" >&2
    exit 1
fi
