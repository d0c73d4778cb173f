# A second node, and the wire between the two: a bridge in a namespace of its own, on which others may
# be as well.

# Makes node-2, whose pid 1 is $node_2 from then on: namespaces, chain and daemon, as the first has them.
make_node_2() {
    # shellcheck disable=SC2016 # the new shell shall expand it
    read -r node_2 < <(
        exec unshare --net --mount --pid --fork --kill-child bash -euo pipefail -c '
            read -r outer rest </proc/self/stat
            source "$DEMO_FOLDER/node.sh"
            furnish 10.89.0.0/16
            printf "%s\n" "$outer"
            exec sleep infinity >/dev/null'
    ) || wrong 'node-2 does not start'
    node_2_holder=$!
    on_node_2 join_chain
    on_node_2 start_daemon quietly
    shelves=("$objects" "/proc/$node_2/root$objects")
}

# A function of the demo, or a program, on node-2.
on_node_2() {
    # shellcheck disable=SC2016 # the new shell shall expand it
    prompt='node-2 $' nsenter -t "$node_2" --net --mount --pid -- \
        bash -euo pipefail -c 'source "$DEMO_FOLDER/node.sh"; "$@"' node-2 "$@"
}

end_node_2() {
    kill -9 "$node_2_holder"
    shelves=("$objects")
}

# The chain of a node whose installation is not worth a word.
join_chain() {
    podconfig-install install --conf-dir "$confdir" --bin-dir "$bindir" >/dev/null
}

# A pod whose labels the daemon of its node knows.
start_labelled() {
    start_pod "$1"
    tell_labels "$1"
}

# lay_wire [OPTION…]: the bridge, with the options, and the two nodes on it.
lay_wire() {
    ip netns add wire
    ip -n wire -batch - <<LINES
link add wire type bridge mcast_snooping 0 $*
link set wire up
LINES
    connect node-1 /proc/1/ns/net 10.77.0.1
    connect node-2 "/proc/$node_2/ns/net" 10.77.0.2
}

# connect NAME NETNS ADDRESS: a namespace has eth1 on the wire.
connect() {
    ip -n wire -batch - <<LINES
link add $1 type veth peer name eth1 netns $2
link set $1 master wire up
LINES
    nsenter --net="$2" ip -batch - <<LINES
address add $3/24 dev eth1
link set eth1 up
LINES
}

# links_to SPEC NETWORK POD…: a PodConfig for each pod; their names and addresses are all that differs.
links_to() {
    local spec=$1 network=$2 number=0 pod
    shift 2
    for pod in "$@"; do
        ((++number == 1)) || printf -- '---\n'
        cat <<YAML
apiVersion: podconfig.dev/v1alpha1
kind: PodConfig
metadata: {name: far-$number, namespace: $namespace}
spec:
  podSelector: {matchLabels: {pod: $pod}}
  links:
  - name: far0
    $spec
    addresses: [$network.$number/24]
YAML
    done
}
