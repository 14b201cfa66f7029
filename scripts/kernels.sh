#!/usr/bin/env bash
# kernels.sh [SUITE...]: boots the kernel of each Debian suite in qemu and runs the tests that use the kernel, and the demo, there.
# Everything is built once. Prints a table, and exits with 1 when anything failed. What a program printed stays in target/kernels/SUITE.log.
#
#   KERNELS_PROGRAMS   these test programs only, such as 'trace guard'
#   KERNELS_SECONDS    gives up on a kernel after that, 10800 unless set
#
# Needs qemu-system-x86 busybox-static cpio kmod xz-utils zstd, and apt to fetch the kernels.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITES=(bullseye-security bookworm trixie trixie-backports)
# Test programs that talk to the kernel, quick ones first; of the library's tests, the rooms that do.
PROGRAMS=${KERNELS_PROGRAMS:-'nftmesh demo scenario commit list namespaces render snapshot trace trace_example validate walk walk_facts
	walk_bytes walk_sources watch hook_order precedence severity raised restore listing_faults listing drop_in writers istio_init guard
	istio_order istio_owners istio_family istio_syn xt traffic istio_traffic trace_walk snapshot_load transitions'}
[ $# -eq 0 ] || SUITES=("$@")

echo 'building' >&2
# shellcheck disable=SC2086 # a command and its words
{
	${CARGO:-cargo} build --quiet --locked --examples
	built=$(${CARGO:-cargo} test --no-run --locked 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
}
folder=$(dirname "$(dirname "$(realpath "$(head -n 1 <<<"$built")")")")
list=() files=()
for name in $PROGRAMS; do
	program=$(realpath "$(grep -m1 "/$name-[0-9a-f]*$" <<<"$built")")
	list+=("$name=$program") files+=(-f "$program")
done
for example in "$folder"/examples/*; do
	[ ! -x "$example" ] || [ ! -f "$example" ] || case $example in *-????????????????) ;; *) files+=(-f "$example") ;; esac
done
# The recordings of the reference, where they are beside the crate.
[ ! -d ../shared/istio-reference ] || files+=(-f "$(realpath ../shared/istio-reference)")

mkdir -p target/kernels
failed=0
for suite in "${SUITES[@]}"; do
	log=target/kernels/$suite.log
	scripts/run-on-kernel -x target -x 'tests/corpus' "${files[@]}" -m 6144 -t "${KERNELS_SECONDS:-10800}" "$suite" . \
		sh scripts/on-kernel.sh "${list[@]}" >"$log" 2>&1 || failed=1
	grep -a '^| ' "$log" || { failed=1; tail -n 5 "$log"; }
done
exit $failed
