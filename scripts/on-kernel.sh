#!/bin/sh
# on-kernel.sh NAME[:FILTER,...]=PROGRAM...: runs test programs on the booted kernel, and prints a
# row of a table for each.
NFTMESH_REQUIRE_KERNEL=1
export NFTMESH_REQUIRE_KERNEL
# Without hardware virtualisation everything takes some ten times longer
# (tests/support/patience.rs).
if grep -q 'QEMU TCG' /proc/cpuinfo; then
	NFTMESH_SLOWNESS=10
	export NFTMESH_SLOWNESS
fi
# A test puts another file in its place.
[ -e /etc/resolv.conf ] || : >/etc/resolv.conf
kernel=$(uname -r)
status=0
for one in "$@"; do
	name=${one%%=*} program=${one#*=}
	filter=
	case $name in
	# What only computes is the same on every kernel.
	nftmesh) filter='kernel:: sys:: pod:: inside:: --skip inside::mutants --skip inside::mutated' ;;
	*:*) filter=$(echo "${name#*:}" | tr , ' ') ;;
	esac
	start=$(date +%s)
	# shellcheck disable=SC2086 # the words are meant to split
	{ timeout 2400 "$program" $filter 2>&1 || echo "on-kernel.sh: $name: exit code $?"; } | tee /tmp/output
	! grep -q '^on-kernel.sh: ' /tmp/output || status=1
	counts=$(sed -n 's/^test result: [A-Za-z]*\. \([0-9]* passed; [0-9]* failed\).*/\1/p' /tmp/output)
	# A program that ended early has no result line: count the tests that had passed.
	: "${counts:=ended early, $(grep -c '\.\.\. ok$' /tmp/output) passed; $(grep -c '\.\.\. FAILED$' /tmp/output) failed}"
	echo "| $kernel | $name | $counts | $(grep -c '^SKIP' /tmp/output) skipped | $(($(date +%s) - start)) s |"
done
exit $status
