#!/usr/bin/env bash
# weight.sh [FEATURES...]: counts what a program that depends on this crate compiles, for each set of
# features.
#
# Without arguments: none (a plain firewall), all but the C libraries, and the default. Each set is
# built from scratch, in a directory that is removed afterwards. Lines are those of the Rust sources
# that the compiler read, as its dep-info files name them, so a module that a feature leaves out
# does not count. Seconds are processor time; on a busy machine only ratios mean anything.
set -euo pipefail
cd "$(dirname "$0")/.."

[ $# -gt 0 ] || set -- "" mesh,sim,import,proxy default
target=$(mktemp -d)
trap 'rm -rf "$target"' EXIT

measure() { # measure FEATURES: prints crates, lines, how often syn, user and system seconds
	local TIMEFORMAT='%U %S' seconds
	seconds=$({ time CARGO_TARGET_DIR=$target CARGO_INCREMENTAL=0 cargo build --quiet --lib --locked --no-default-features \
		--features "$1" >&3 2>&4; } 3>&1 4>&2 2>&1)
	find "$target" -name '*.d' -exec grep -ho '^[^ ].*\.rs:$' {} + | sed 's/:$//' | sort -u >"$target/sources"
	# Each call of rustc writes one dep-info file; those of build scripts are elsewhere.
	local crates syn lines
	crates=$(find "$target/debug/deps" -name '*.d' | wc -l)
	syn=$(find "$target/debug/deps" -name 'syn-*.d' | wc -l)
	lines=$(tr '\n' '\0' <"$target/sources" | xargs -0 cat | wc -l)
	rm -rf "${target:?}"/*
	echo "$crates $lines $syn $seconds"
}

first=
printf '%-24s %6s %8s %4s %8s %8s\n' features crates lines syn seconds ratio
for features; do
	read -r crates lines syn user system < <(measure "$features")
	seconds=$(awk "BEGIN { print $user + $system }")
	first=${first:-"$lines $seconds"}
	printf '%-24s %6s %8s %4s %8.1f   %s\n' "${features:-none}" "$crates" "$lines" "$syn" "$seconds" \
		"$(awk -v l="$lines" -v s="$seconds" -v f="$first" 'BEGIN { split(f, a, " "); printf "%.2f lines, %.2f seconds", l / a[1], s / a[2] }')"
done
