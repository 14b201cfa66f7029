#!/bin/sh
# deploy.sh PROGRAM: tries what is in deploy/ with a static mesh-node. systemd-analyze verifies the
# unit. podman builds the image without a network and runs it as the DaemonSet does, in namespaces
# that stand for a node, where it has to heal a pod. Nothing is left behind. Prints SKIP and why
# where it cannot.
set -eu

[ "${1:-}" = inside ] || {
    program=${1:?deploy.sh PROGRAM: give a static mesh-node}
    [ -x "$program" ] || { echo "deploy: $program is not a program" >&2; exit 1; }
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    if command -v systemd-analyze >/dev/null; then
        unit=$(dirname "$0")/../deploy/mesh-node.service
        sed "s,=/usr/local/bin/mesh-node,=$(realpath "$program")," "$unit" >"$folder/mesh-node.service"
        systemd-analyze verify "$folder/mesh-node.service"
        echo "deploy: systemd takes the unit"
    else
        echo "SKIP: unit: there is no systemd-analyze"
    fi
    for need in podman runc nft ip unshare; do
        PATH=$PATH:/usr/sbin:/sbin command -v $need >/dev/null || { echo "SKIP: image: there is no $need"; exit 0; }
    done
    [ "$(id -u)" -eq 0 ] || { echo "SKIP: image: needs root"; exit 0; }
    unshare -n -m sh "$0" inside "$program" "$folder"
    exit
}

program=$2 folder=$3
deploy=$(cd "$(dirname "$0")/../deploy" && pwd)
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/netns
mount --bind /run/netns /run/netns
mount --make-shared /run/netns
ip link set lo up

cat >"$folder/containers.conf" <<END
[containers]
default_ulimits=["nofile=4096:4096","nproc=512:512"]
[engine]
cgroup_manager="cgroupfs"
events_logger="file"
runtime="runc"
END
export CONTAINERS_CONF="$folder/containers.conf"
podman() {
    command podman --root "$folder/storage" --runroot "$folder/run" --storage-driver vfs --cgroup-manager cgroupfs "$@"
}
trap 'podman rm -f -t 0 -a >/dev/null 2>&1 || true; umount -l "$folder"/storage/vfs 2>/dev/null || true' EXIT

mkdir "$folder/image" "$folder/config"
cp "$program" "$folder/image/mesh-node"
podman build --quiet --network none --pull=never --file "$deploy/Dockerfile" --tag mesh-node "$folder/image" >/dev/null
sed -n '/mesh-node.conf: |/,/^---/ s/^    //p' "$deploy/daemonset.yaml" >"$folder/config/mesh-node.conf"
[ -s "$folder/config/mesh-node.conf" ]

ip netns add pod
# Mounts, capabilities and network of the DaemonSet.
podman run --detach --name node --network host --cap-drop ALL \
    --cap-add NET_ADMIN --cap-add NET_RAW --cap-add SYS_ADMIN --cap-add SYS_PTRACE \
    --volume /run/netns:/run/netns:rslave --volume "$folder/config:/etc/mesh-node:ro" mesh-node >/dev/null

has_rules() { ip netns exec "$1" nft list ruleset | grep -q 'redirect to :15006'; }
wait_for() {
    for _ in $(seq 300); do
        if has_rules "$1"; then return 0; fi
        sleep 0.1
    done
    echo "deploy: $1 has no rules" >&2
    podman logs node >&2
    return 1
}
wait_for pod
ip netns exec pod nft delete table ip istio-proxy-nat
wait_for pod
ip netns add late
wait_for late
size=$(podman image inspect --format '{{.Size}}' mesh-node)
podman stop -t 5 node >/dev/null
has_rules pod || { echo "deploy: the rules did not stay" >&2; exit 1; }
[ -z "$(nft list tables)" ] || { echo "deploy: the node has rules" >&2; exit 1; }
echo "deploy: image of $((size / 1000)) kB, built without a network; a pod's rules were installed, healed, and stay"
