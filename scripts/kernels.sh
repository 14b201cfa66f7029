#!/usr/bin/env bash
# kernels.sh [SUITE...]: boots the kernel of each Debian suite in qemu, and runs the demo and the
# tests that use the kernel there. Everything is built once: examples in release, tests with the
# checks of tests, but optimised, since the processor is emulated in most places.
# Prints a table, and exits with 1 when anything failed. The output of the programs is kept in
# target/kernels/SUITE.log.
#
#   KERNELS_PROGRAMS   runs only these test programs, such as 'trace guard:routes,signal'; of guard
#                      only tests with these words in their names
#   KERNELS_SECONDS    gives up on a kernel after this time; 10800 unless set
#
# Needs qemu-system-x86 busybox-static cpio kmod xz-utils zstd, and apt to fetch the kernels.
set -euo pipefail
cd "$(dirname "$0")/.."

SUITES=(bullseye-security bookworm trixie trixie-backports)
# Every test program that makes a network namespace: the shortest first, the longest last, with the
# library's own tests.
FIRST='demo scenario istio_syn istio_syn_in istio_syn_out istio_init istio_order guard drop_in commit list watch snapshot validate walk_facts'
LAST='writers snapshot_load trace_walk trace_walk_nft traffic istio_traffic transitions nftmesh'
others() { basename -s .rs -a $(grep -lE 'in_fresh_netns|in_traced_netns|NetNs::new|Pod::new' tests/*.rs) | grep -vxF "$(printf '%s\n' $FIRST $LAST)"; }
PROGRAMS=${KERNELS_PROGRAMS:-$FIRST $(others) $LAST}
[ $# -eq 0 ] || SUITES=("$@")

echo 'building' >&2
cargo=${CARGO:-cargo}
# In release, but for the slow optimisation across crates.
CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
	$cargo build --quiet --locked --release --examples
export CARGO_PROFILE_DEV_OPT_LEVEL=1
targets=()
for one in $PROGRAMS; do
	case $one in
	nftmesh) targets+=(--lib) ;;
	*) targets+=(--test "${one%%:*}") ;;
	esac
done
built=$($cargo test --no-run --locked --features serde,tracing "${targets[@]}" 2>&1 | sed -n 's/^ *Executable .*(\(.*\))$/\1/p')
[ -n "$built" ] || { $cargo test --no-run --locked --features serde,tracing "${targets[@]}" >&2 || true; exit 1; }
stage=$PWD/target/kernels/programs
rm -rf "$stage"
mkdir -p "$stage/deps" "$stage/examples"
list=()
for one in $PROGRAMS; do
	# Symbols would be most of the image that boots.
	strip -o "$stage/deps/${one%%:*}" "$(grep -m1 "/${one%%:*}-[0-9a-f]*$" <<<"$built")"
	list+=("$one=$stage/deps/${one%%:*}")
done
folder=$(dirname "$(dirname "$(dirname "$(realpath "$(head -n 1 <<<"$built")")")")")/release/examples
for file in examples/*.rs examples/*/main.rs; do
	name=${file#examples/} name=${name%/main.rs}
	strip -o "$stage/examples/${name%.rs}" "$folder/${name%.rs}"
done
files=()
for file in "$stage"/*/*; do files+=(-f "$file"); done
# The recordings of the reference implementation, if they are beside the crate.
[ ! -d ../shared/istio-reference ] || files+=(-f "$(realpath ../shared/istio-reference)")

failed=0
for suite in "${SUITES[@]}"; do
	log=target/kernels/$suite.log
	scripts/run-on-kernel -x target -x 'tests/corpus' "${files[@]}" -m 6144 -t "${KERNELS_SECONDS:-10800}" "$suite" . \
		sh scripts/on-kernel.sh "${list[@]}" >"$log" 2>&1 || failed=1
	grep -a '^| ' "$log" || { failed=1; tail -n 5 "$log"; }
done
exit $failed
