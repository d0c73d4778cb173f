# Sourced: nodes. A node is five namespaces and a root file system, in which containerd, kubelet and kube-proxy run.
# shellcheck shell=bash disable=SC2154

in_node() {
    local name=$1
    shift
    "${clean[@]}" PATH="$node_path" CONTAINERD_NAMESPACE=k8s.io HOME=/root \
        nsenter --target "$(pid_of "$name")" --mount --net --pid --uts --ipc -- "$@"
}
node_path=/opt/cluster:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# A daemon of a node. nsenter forks for the pid namespace, and waits for its child.
start_in_node() { # NAME PROGRAM ARGUMENT…
    local name=$1 program=$2
    shift 2
    start_inside "$name.$program" env PATH="$node_path" HOME=/root \
        nsenter --target "$(pid_of "$name")" --mount --net --pid --uts --ipc -- "/opt/cluster/$program" "$@"
}

start_node() { # INDEX
    local name=n$1
    make_keys_of_node "$name" "$(node_address "$1")"
    pid_of "$name" >/dev/null || make_node "$1"
    start_in_node "$name" containerd --config /etc/containerd.toml
    within 30 "containerd of $name" in_node "$name" ctr version
    import_images "$name"
    pid_of "$name.kubelet" >/dev/null || date --utc +%FT%TZ >"$STATE/$name/since"
    start_in_node "$name" kubelet --v=1 --config=/etc/kubelet.yaml --kubeconfig=/etc/login --hostname-override="$name" \
        --node-ip="$(node_address "$1")" --root-dir=/var/lib/kubelet
    start_in_node "$name" kube-proxy --v=1 --config=/etc/kube-proxy.yaml --hostname-override="$name"
}

make_node() {
    local name=n$1 pid mac
    make_cgroups "$name"
    start_inside "$name" unshare --net --mount --pid --uts --ipc --fork -- "$STATE/pause"
    pid=$(pid_of "$name")
    within 5 "the namespaces of $name" is_elsewhere "$pid"
    # The same MAC address after a restart: neighbours need not find out.
    printf -v mac '02:4b:38:73:00:%02x' $((10 + $1))
    on_wire ip link add "$name" type veth peer name eth0 address "$mac" netns "$pid"
    on_wire ip link set "$name" master wire0 up
    CLUSTER_BIN=$BIN CLUSTER_STATE=$STATE nsenter --target "$pid" --mount --net --pid --uts --ipc -- \
        bash "$cluster/lib/node-root.sh" "$1" 9>&-
    on_wire ip route replace "$(pods_of "$1")" via "$(node_address "$1")"
    furnish "$1"
}

# What a node has in /etc.
furnish() {
    local name=n$1 file
    for file in containerd.toml kubelet.yaml kube-proxy.yaml; do
        fill_in "$1" <"$cluster/conf/$file" | put "$name" "/etc/$file"
    done
    # Another program may have added to the chain already: a node that comes back keeps it.
    in_node "$name" test -e /etc/cni/net.d/10-podnet.conflist ||
        fill_in "$1" <"$cluster/conf/podnet.conflist" | put "$name" /etc/cni/net.d/10-podnet.conflist
    in_node "$name" sh -c 'cp /opt/cluster/cni/* /opt/cni/bin/'
    put "$name" /etc/login <"$LOGIN/$name"
    # For plugins that ask the API server: delegates and whereabouts.
    put "$name" /etc/login-plugins <"$LOGIN/admin"
    put "$name" /etc/login-kube-proxy <"$LOGIN/kube-proxy"
    put "$name" /etc/ca.crt <"$PKI/ca.crt"
    put "$name" /etc/kubelet.crt <"$PKI/$name-kubelet.crt"
    put "$name" /etc/kubelet.key <"$PKI/$name-kubelet.key"
    put "$name" /etc/resolv.conf <<<'nameserver 127.0.0.1'
    put "$name" /etc/hosts <<<"127.0.0.1 localhost $name"
}

fill_in() {
    sed "s|@NODE@|n$1|g; s|@ADDRESS@|$(node_address "$1")|g; s|@PODS@|$(pods_of "$1")|g; s|@ALL_PODS@|$PODS|g
        s|@CGROUP@|$CGROUP/n$1|g; s|@SNAPSHOTTER@|$snapshotter|g"
}
# Layers on layers: no kernel stacks that many.
snapshotter=overlayfs
[[ $(stat -f -c %T "$STATE" 2>/dev/null) != overlay* ]] || snapshotter=native

put() { in_node "$1" sh -c "cat >$2"; }

import_images() {
    local name=$1 image
    for image in "$IMAGES"/*.tar; do
        [[ $image -nt $STATE/$name/$(basename "$image") ]] || continue
        in_node "$name" ctr images import --no-unpack - <"$image" >>"$LOG/$name.images.log" 2>&1 ||
            fail "$image: containerd of $name cannot import it; see $LOG/$name.images.log"
        touch "$STATE/$name/$(basename "$image")"
    done
}

# Ready, and said so by the kubelet that runs: what the last one said of a node that was away still stands.
is_ready() {
    local said
    said=$(kubectl get node "$1" --output \
        'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.lastHeartbeatTime}{end}')
    [[ $said == 'True '* && ! ${said#* } < $(<"$STATE/$1/since") ]]
}

# join INDEX COUNT: what a cluster has for a node beside what the node says itself.
join() {
    local name=n$1 other range
    within 60 "$name to register" kubectl get node "$name"
    range=$(pods_of "$1")
    kubectl patch node "$name" --patch "{\"spec\":{\"podCIDR\":\"$range\",\"podCIDRs\":[\"$range\"]}}" >/dev/null
    for ((other = 0; other < $2; other++)); do
        ((other == $1)) || in_node "$name" ip route replace "$(pods_of "$other")" via "$(node_address "$other")"
    done
}

stop_node() {
    stop "$1.kube-proxy"
    stop "$1.kubelet"
    stop "$1.containerd"
    # With pid 1 the kernel ends every process of the node: shims, pods, all.
    stop "$1" 3
    remove_cgroups "$1"
}

known_nodes() { (cd "$RUN" && find . -name 'n[0-9].pid' -o -name 'n[0-9][0-9].pid') | sed 's|^\./||; s|\.pid$||' | sort; }
