#!/usr/bin/env bash
# msrv.sh: builds the library with the oldest compiler that is promised to work: rustc of Debian 13.
#
# The packages are fetched with apt into ~/.cache/nftmesh-msrv and run from there; nothing is installed. $DEBIAN_MIRROR is
# the mirror that this machine's apt has unless set. Cargo is the one at hand: only the compiler is old.
set -euo pipefail
cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/nftmesh-msrv
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
packages="rustc libstd-rust-$wanted libstd-rust-dev libllvm19 libstdc++6 libgcc-s1 libc6 zlib1g libzstd1 libxml2 libedit2
	libtinfo6 libffi8 libz3-4 liblzma5 libbsd0 libmd0 libicu76 libgmp10"

die() {
	echo "msrv: $*" >&2
	exit 1
}

fetch() {
	local mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(SITE)' | grep -m1 -E '/debian/?$')} own=$cache/apt
	rm -rf "$cache/debs" "$cache/new"
	mkdir -p "$own/lists/partial" "$own/archives/partial" "$cache/debs"
	: >"$own/status"
	echo "deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror trixie main" >"$own/sources.list"
	cat >"$own/apt.conf" <<-END
		Dir::Etc::sourcelist "$own/sources.list";
		Dir::Etc::sourceparts "-";
		Dir::State "$own";
		Dir::State::status "$own/status";
		Dir::Cache "$own";
		APT::Architecture "amd64";
		APT::Sandbox::User "";
		Acquire::Languages "none";
		APT::Update::Post-Invoke-Success "";
	END
	(
		export APT_CONFIG=$own/apt.conf
		apt-get -qq update && cd "$cache/debs" || exit 1
		# shellcheck disable=SC2086
		apt-get -qq download $packages
	) || return 1
	mkdir -p "$cache/new"
	for deb in "$cache/debs"/*.deb; do dpkg -x "$deb" "$cache/new"; done
	mv -T "$cache/new" "$cache/root"
}

[ "$(uname -m)" = x86_64 ] || die "Debian's packages for x86_64 are what this script fetches"
if [ ! -d "$cache/root" ]; then
	fetch || { echo "SKIP: msrv: the packages of Debian 13 cannot be fetched here"; exit 0; }
fi
root=$cache/root
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
