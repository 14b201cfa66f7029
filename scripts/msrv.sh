#!/usr/bin/env bash
# msrv.sh: builds the library with the oldest supported compiler, the rustc of Debian 13, without
# the C libraries; also for processors of 32 bits and of the other byte order.
#
# The packages are fetched with apt into ~/.cache/nftmesh-msrv and run from there; nothing is
# installed. $DEBIAN_MIRROR defaults to the mirror that this machine's apt uses. Cargo is the
# installed one: only the compiler is old.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/debian.sh

cache=${XDG_CACHE_HOME:-$HOME/.cache}/nftmesh-msrv
root=$cache/root
rustlib=$root/usr/lib/rustlib
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
packages="rustc libstd-rust-$wanted libstd-rust-dev libllvm19 libstdc++6 libgcc-s1 libc6 zlib1g libzstd1 libxml2 libedit2
	libtinfo6 libffi8 libz3-4 liblzma5 libbsd0 libmd0 libicu76 libgmp10"

# Debian's architectures, and the compiler's names of them.
others=(arm64:aarch64-unknown-linux-gnu i386:i686-unknown-linux-gnu s390x:s390x-unknown-linux-gnu)

die() {
	echo "msrv: $*" >&2
	exit 1
}

fetch() {
	local standard=() each
	for each in "${others[@]%%:*}"; do standard+=("libstd-rust-dev:$each"); done
	rm -rf "$cache/debs" "$cache/new"
	mkdir -p "$cache/debs" "$cache/new"
	(
		debian_use trixie "$cache/apt" "${others[@]%%:*}" && cd "$cache/debs" || exit 1
		# shellcheck disable=SC2086
		apt-get -qq download $packages "${standard[@]}"
	) || return 1
	for deb in "$cache/debs"/*.deb; do dpkg -x "$deb" "$cache/new" || return 1; done
	rm -rf "$root"
	mv -T "$cache/new" "$root"
}

[ "$(uname -m)" = x86_64 ] || die "Debian's packages for x86_64 are what this script fetches"
if [ ! -d "$rustlib/${others[-1]#*:}" ]; then
	fetch || { echo "SKIP: msrv: the packages of Debian 13 cannot be fetched here"; exit 0; }
fi
libraries=$root/usr/lib/x86_64-linux-gnu
cat >"$cache/rustc" <<END
#!/bin/sh
exec '$libraries/ld-linux-x86-64.so.2' --library-path '$libraries' '$root/usr/bin/rustc' --sysroot '$root/usr' "\$@"
END
chmod +x "$cache/rustc"

version=$("$cache/rustc" --version)
case $version in
"rustc $wanted."*) echo "msrv: $version" ;;
*) die "Cargo.toml promises $wanted, and Debian 13 has $version" ;;
esac
export RUSTC=$cache/rustc CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/msrv PKG_CONFIG=false
cargo check --locked --lib --no-default-features
cargo check --locked --lib --no-default-features --features mesh,sim,import,proxy
for each in "${others[@]#*:}"; do
	echo "msrv: $each"
	cargo check --locked --lib --no-default-features --features mesh,sim,import,proxy --target "$each"
done
