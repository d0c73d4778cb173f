# A small container runtime: what containerd and CRI-O do with a CNI chain, in bash and jq.
# ADD calls the plugins in order and hands each the result of the one before; DEL goes in reverse.

confdir=/run/demo/net.d
bindir=/run/demo/bin
results=/run/demo/results
# Where a pod of another node is found from here: the root of that node.
declare -A homes=()
netns_of() { printf '%s/run/netns/%s' "${homes[$1]:-}" "$1"; }
uid_of() { printf '00000000-0000-4000-8000-%s' "$(sha256sum <<<"$1" | cut -c1-12)"; }
container_of() { sha256sum <<<"sandbox of $1" | cut -c1-64; }

# The first file in sorted order is the node's network, as for a runtime.
conflist() {
    local files=("$confdir"/*.conflist)
    printf '%s' "${files[0]}"
}

# call VERB POD ENTRY [PREVIOUS RESULT]
call() {
    local verb=$1 pod=$2 entry=$3 previous=${4:-null}
    local request
    request=$(jq -c --argjson entry "$entry" --argjson previous "$previous" '
        $entry + {cniVersion, name}
        + (if $previous then {prevResult: $previous} else {} end)
        + (if $entry.capabilities["io.kubernetes.cri.pod-annotations"]
           then {runtimeConfig: {"io.kubernetes.cri.pod-annotations": {}}} else {} end)
        | del(.capabilities)' "$(conflist)")
    CNI_COMMAND=$verb CNI_CONTAINERID=$(container_of "$pod") CNI_NETNS=$(netns_of "$pod") \
        CNI_IFNAME=eth0 CNI_PATH=$bindir \
        CNI_ARGS="IgnoreUnknown=1;K8S_POD_NAMESPACE=$namespace;K8S_POD_NAME=$pod;K8S_POD_INFRA_CONTAINER_ID=$(container_of "$pod");K8S_POD_UID=$(uid_of "$pod")" \
        "$bindir/$(jq -r .type <<<"$entry")" <<<"$request"
}

# A pod starts: a network namespace, the chain, a process.
start_pod() {
    local pod=$1 result=null entry
    ip netns add "$pod"
    ip -n "$pod" link set lo up
    while read -r entry; do
        result=$(call ADD "$pod" "$entry" "$result") || wrong "ADD of $pod: $result"
    done < <(jq -c '.plugins[]' "$(conflist)")
    printf '%s\n' "$result" >"$results/$pod"
    ip netns exec "$pod" sleep infinity &
    # Its end is no news.
    disown $!
}

# A pod ends.
end_pod() {
    local pod=$1 entry
    while read -r entry; do
        call DEL "$pod" "$entry" "$(<"$results/$pod")" || wrong "DEL of $pod"
    done < <(jq -c '.plugins | reverse[]' "$(conflist)")
    rm "$results/$pod"
    ip netns pids "$pod" | xargs -r kill -9
    ip netns delete "$pod"
}
