#!/usr/bin/env bash
# Shows podconfig at work on throwaway nodes, on this machine, in less than a minute.
# A node is a set of namespaces with a /run of its own: whatever way the demo ends, nothing of it
# stays. RECONFD_BIN, PODCONFIG_CNI_BIN and PODCONFIG_INSTALL_BIN name programs that are built already.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# `su` without a dash leaves root without these.
export PATH=$PATH:/usr/sbin:/sbin
export DEMO_FOLDER=$here/demo

fail() {
    printf 'demo: %s\n' "$1" >&2
    exit 1
}

[[ $(id -u) == 0 ]] || fail 'it makes network namespaces, so it must be run as root'
for program in ip jq nft ping unshare /usr/lib/cni/bridge /usr/lib/cni/host-local; do
    command -v "$program" >/dev/null || fail "$program is missing; \`make demo\` installs it"
done

if [[ -z ${RECONFD_BIN:-} || -z ${PODCONFIG_CNI_BIN:-} || -z ${PODCONFIG_INSTALL_BIN:-} ]]; then
    cd "$here/.."
    # shellcheck source=../.ci/build
    source .ci/build
fi
RECONFD_BIN=$(realpath "$RECONFD_BIN")
PODCONFIG_CNI_BIN=$(realpath "$PODCONFIG_CNI_BIN")
PODCONFIG_INSTALL_BIN=$(realpath "$PODCONFIG_INSTALL_BIN")
export RECONFD_BIN PODCONFIG_CNI_BIN PODCONFIG_INSTALL_BIN

# The demo is pid 1 of the first node: when it ends, the kernel ends all that it has started.
exec unshare --net --mount --pid --fork --kill-child --propagation private \
    bash "$DEMO_FOLDER/story.sh"
