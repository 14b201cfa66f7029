#!/usr/bin/env bash
# kernels.sh [SUITE...]: boots the kernel of each Debian suite in qemu and runs the tests that use the kernel, and the demo, there.
# Prints a table, and exits with 1 when anything failed. What a program printed stays in target/kernels/SUITE.log.
# Needs qemu-system-x86 busybox-static cpio kmod xz-utils zstd, and apt to fetch the kernels.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITES=(bullseye-security bookworm trixie trixie-backports)
# Test programs that talk to the kernel; of the library's tests, the rooms that do.
PROGRAMS=${KERNELS_PROGRAMS:-'commit demo guard istio_init istio_traffic list namespaces render snapshot snapshot_load trace trace_example
	trace_walk traffic validate walk walk_facts watch xt nftmesh'}
[ $# -eq 0 ] || SUITES=("$@")

echo 'building' >&2
cargo build --quiet --locked --examples
built=$(cargo test --no-run --locked 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
folder=$(dirname "$(dirname "$(realpath "$(head -n 1 <<<"$built")")")")
list=() files=()
for name in $PROGRAMS; do
	program=$(realpath "$(grep -m1 "/$name-[0-9a-f]*$" <<<"$built")")
	list+=("$name=$program") files+=(-f "$program")
done
for example in "$folder"/examples/*; do
	[ ! -x "$example" ] || [ ! -f "$example" ] || case $example in *-????????????????) ;; *) files+=(-f "$example") ;; esac
done

mkdir -p target/kernels
failed=0
for suite in "${SUITES[@]}"; do
	log=target/kernels/$suite.log
	scripts/run-on-kernel -x target -x 'tests/corpus' "${files[@]}" -m 6144 -t "${KERNELS_SECONDS:-5400}" "$suite" . \
		sh scripts/on-kernel.sh "${list[@]}" >"$log" 2>&1 || failed=1
	grep -a '^| ' "$log" || { failed=1; tail -n 5 "$log"; }
done
exit $failed
