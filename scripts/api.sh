#!/bin/sh
# api.sh: shows how the public interface differs from tests/golden/api.txt, and fails when it does.
# With NFTMESH_BLESS=1 it writes that file instead. Where the tools cannot be had it says SKIP and why.
# cargo-public-api makes the list from the JSON of rustdoc, which only a nightly compiler writes.
set -eu
cd "$(dirname "$0")/.."

golden=tests/golden/api.txt
why=$(sh scripts/setup.sh api 2>&1) || {
    echo "SKIP: api: $why"
    exit 0
}
made=$(mktemp)
trap 'rm -f "$made"' EXIT
{
    echo "# The public interface with every feature, without what all types have (Send, Debug, From and the like)."
    echo "# Made by scripts/api.sh; \`make bless-api\` writes it anew, and the commit says why it changes."
    cargo public-api --color never -sss --all-features
} >"$made"
if [ "${NFTMESH_BLESS:-}" = 1 ]; then
    cp "$made" "$golden"
elif ! diff -u "$golden" "$made"; then
    echo "api: the public interface changed, see above; when that is meant: make bless-api" >&2
    exit 1
fi
