# The scenes of the demo, in their order.

# A private /run, /proc and /sys, and the switches that every Kubernetes node has on.
furnish() {
    local subnet=${1:-10.88.0.0/16}
    mount -t proc proc /proc
    mount -t sysfs sysfs /sys
    mount -t tmpfs -o mode=755 run /run
    mkdir -p /run/netns "$objects" "$records" "$reports" "$confdir" "$bindir" "$results"
    chmod 700 "$records"
    ip link set lo up
    echo 1 >/proc/sys/net/ipv4/ip_forward
    cp /usr/lib/cni/bridge /usr/lib/cni/host-local "$bindir"
    cat >"$confdir/10-node.conflist" <<JSON
{
  "cniVersion": "1.0.0",
  "name": "node",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isGateway": true,
      "ipam": {
        "type": "host-local",
        "dataDir": "/run/demo/ipam",
        "ranges": [[{"subnet": "$subnet"}]],
        "routes": [{"dst": "0.0.0.0/0"}]
      }
    }
  ]
}
JSON
}

the_chain() {
    title 'The plugin joins the CNI chain'
    say "The node has an ordinary CNI network: Debian's bridge plugin, addresses from 10.88.0.0/16."
    show podconfig-install install --conf-dir "$confdir" --bin-dir "$bindir"
    say 'The chain now ends with one more entry. Nothing else in it has changed.'
    show jq -c '.plugins[] | del(.ipam, .capabilities)' "$(conflist)"
}

the_pods() {
    title 'Two pods start'
    say 'A small runtime runs the chain for each, as containerd would. They have eth0 and nothing more.'
    for pod in "${pods[@]}"; do
        start_pod "$pod"
        show ip -n "$pod" -4 -brief address show
        tell_labels "$pod"
    done
    say 'The plugin changed nothing in them. It wrote down where they are:'
    show ls "$records"
    [[ $(find "$records" -name '[!.]*' -type f | wc -l) == 2 ]] || wrong 'there are two records'
}

# The pod's manifest, on its node alone.
tell_labels() {
    write "pod-$1.yaml" >/dev/null <<YAML
apiVersion: v1
kind: Pod
metadata: {namespace: $namespace, name: $1, uid: $(uid_of "$1"), labels: {app: cnf, pod: $1}}
YAML
}

the_daemon() {
    title 'The daemon starts'
    say 'It watches a folder of manifests, which stands in for the API server, and the records.'
    say "The pods' own manifests lie there already: no cluster tells the daemon their labels."
    start_daemon
    found "ready, with $(metric 'pods_recorded{source="plugin"}') pods and no links; the pods are as they were"
}

links_manifest() {
    local mtu=${1:-9000}
    local -n more_addresses=${2:-nothing} more_lines=${3:-nothing}
    cat <<YAML
apiVersion: podconfig.dev/v1alpha1
kind: PodConfig
metadata: {name: data-0, namespace: $namespace}
spec:
  podSelector: {matchLabels: {pod: cnf-0}}
  links:
  - name: data0
    veth: {bridge: blue}
    mtu: $mtu
    addresses: [10.99.0.10/24$more_addresses]$more_lines
---
apiVersion: podconfig.dev/v1alpha1
kind: PodConfig
metadata: {name: data-1, namespace: $namespace}
spec:
  podSelector: {matchLabels: {pod: cnf-1}}
  links:
  - name: data0
    veth: {bridge: blue}
    mtu: $mtu
    addresses: [10.99.0.11/24]
YAML
}
nothing=''

default_deny() {
    title 'A tenant asks, and is refused'
    say 'The people of tenant-a want a second interface in their running pods, on a segment of their own.'
    links_manifest | write links.yaml
    say 'No policy allows it yet. The report of the pod says so:'
    await 'the report of cnf-0 does not say NoPolicy' reason_is cnf-0 NoPolicy
    show_link cnf-0
    ! ip -n cnf-0 link show data0 >/dev/null 2>&1 || wrong 'a link without a policy'
}

# What the report says of the pod's links.
show_link() {
    typed cat "$(report "$1")"
    awk '/^[^ ]/ { within = 0 } /^status:/ { within = 1 } within' "$(report "$1")" |
        awk '/^  [a-z]/ { within = 0 } /^  links:/ { within = 1 } within' | indented
}

the_policy() {
    title 'The administrator allows it'
    local took
    watch "${pods[@]}"
    write policy.yaml < <(policy veths)
    took=$(since_written 'data0 +inet 10\.99\.' "${pods[@]}")
    since_written 'data0@.*[<,]UP[,>]' "${pods[@]}" >/dev/null
    stop_watching
    await 'the report of cnf-1 does not say LinkReady' reason_is cnf-1 LinkReady
    await 'data0 of cnf-0 does not carry' carries cnf-0
    await 'data0 of cnf-1 does not carry' carries cnf-1
    show ip -n cnf-0 -4 -brief address show
    show ip -n cnf-1 -4 -brief address show
    found "both running pods had data0 with its address $took ms after the policy was renamed into place"
}

# policy RULES…: what the administrator allows; each word prints rules.
policy() {
    local rules
    cat <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: $namespace, labels: {tier: cnf}}
---
apiVersion: podconfig.dev/v1alpha1
kind: PodConfigPolicy
metadata: {name: telco}
spec:
  namespaceSelector: {matchLabels: {tier: cnf}}
  allow:
YAML
    for rules in "$@"; do "$rules"; done
}

veths() {
    cat <<'YAML'
  - veth: {bridges: Own}
    addresses: [10.99.0.0/16]
    routes: [172.20.0.0/16]
YAML
}

carries() { ip -n "$1" link show "${2:-data0}" | grep -q 'state UP'; }

the_ping() {
    title 'The pods talk over it'
    show ip netns exec cnf-0 ping -q -c 5 -i 0.2 10.99.0.11
    say 'The segment lives in the switch, a network namespace of its own without any address:'
    say 'from a pod, nothing of the node can be reached over it.'
    show ip -n podconfig -brief link show up
}

# counted_ping COUNT: 200 pings a second in the background, to be joined by no_ping_lost.
counted_ping() {
    ip netns exec cnf-0 ping -q -n -i 0.005 -c "$1" 10.99.0.11 >/run/demo/ping &
    pinging=$!
    sleep 0.5
}

no_ping_lost() {
    wait "$pinging" || wrong "the ping failed: $(</run/demo/ping)"
    local counts
    counts=$(grep 'packets transmitted' /run/demo/ping)
    [[ $counts == *' 0% packet loss'* ]] || wrong "$1, $counts"
    found "$1, ${counts%%, time*}"
}

index_of() { ip -n "$1" -j link show data0 | jq .[0].ifindex; }

the_edit() {
    title 'Changed in place, while a ping runs'
    say 'The tenant edits the object: another MTU, one more address, a route.'
    local before address=', 10.99.1.10/24' route=$'\n    routes: [{to: 172.20.0.0/16, via: 10.99.0.11}]'
    before=$(index_of cnf-0)
    counted_ping 400
    links_manifest 8000 address route | write links.yaml
    await 'the new address is not there' ip_has cnf-0 10.99.1.10
    await 'the new MTU is not there' mtu_is cnf-1 8000
    show ip -n cnf-0 -brief address show data0
    show ip -n cnf-0 route show dev data0
    no_ping_lost 'the link never went down'
    [[ $(index_of cnf-0) == "$before" ]] || wrong 'the link is another one'
    found "and it is the same interface: number $before before and after"
}

ip_has() { ip -n "$1" address show data0 | grep -q "inet $2/"; }
mtu_is() { ip -n "$1" link show data0 | grep -q "mtu $2 "; }

the_tenant() {
    title 'A process in the pod breaks it'
    say 'Root in the pod can delete and rename interfaces. The kernel notifies the daemon.'
    undone 'data0 +inet 10\.99\.0\.10' ip -n cnf-0 link delete data0
    undone ': data0@' ip -n cnf-0 link set data0 down name mine
    await 'the renamed link does not carry' carries cnf-0
    await 'the route has not come back' route_is_there
    ! ip -n cnf-0 link show mine >/dev/null 2>&1 || wrong 'the renamed link is still there'
    show ip -n cnf-0 -4 -brief address show data0
    show ip -n cnf-0 route show dev data0
}

route_is_there() { ip -n cnf-0 route show 172.20.0.0/16 | grep -q 'dev data0'; }

# undone PATTERN COMMAND…: what is done is undone, seen by an event that the command itself does not make.
undone() {
    local pattern=$1
    shift
    watch cnf-0
    typed "$@"
    written_at=$EPOCHREALTIME
    "$@"
    await 'data0 does not come back' event_after_gone "$pattern"
    found "back $(milliseconds "$written_at" "$(event_after_gone "$pattern")") ms after the command was started"
    stop_watching
    await 'the report of cnf-0 does not say LinkReady' reason_is cnf-0 LinkReady
}

# The time of the first event of that pattern after data0 was deleted or had another name.
event_after_gone() {
    local line
    line=$(awk -v pattern="$1" '/Deleted [0-9]+: data0|: mine/ { gone = 1 }
        gone && !/Deleted/ && $0 ~ pattern { print; exit }' /run/demo/events-cnf-0)
    [[ -n $line ]] || return 1
    line=${line#[}
    date -d "${line%%]*}" +%s.%6N
}

the_host_bridge() {
    title 'A PodConfig that requests too much'
    say "The node has a bridge of its own, br-lan. A tenant would like to be on it."
    ip link add br-lan type bridge
    ip link set br-lan up
    write greedy.yaml <<YAML
apiVersion: podconfig.dev/v1alpha1
kind: PodConfig
metadata: {name: greedy, namespace: $namespace}
spec:
  podSelector: {matchLabels: {pod: cnf-1}}
  links:
  - name: lan0
    veth: {hostBridge: br-lan}
    addresses: [10.99.9.9/24]
YAML
    await 'the report of cnf-1 does not say NotAllowed' reason_is cnf-1 NotAllowed
    show grep -B 2 -A 3 'name: lan0' "$(report cnf-1)"
    ! ip -n cnf-1 link show lan0 >/dev/null 2>&1 || wrong 'a link that no policy allows'
    found "refused with its reason; the pod's other link is untouched"
    withdraw greedy.yaml
}

the_kill() {
    title 'The daemon is killed and comes back'
    local before after
    before=$(index_of cnf-0) && before+=" and $(index_of cnf-1)"
    counted_ping 400
    typed kill -9 "$daemon"
    kill_daemon
    start_daemon quietly
    [[ $(metric netlink_changes_total) == 0 ]] || wrong 'the restarted daemon changed something'
    found 'restarted and ready, without sending one message that changes anything'
    no_ping_lost 'the links stayed in use all the time'
    after=$(index_of cnf-0) && after+=" and $(index_of cnf-1)"
    [[ $before == "$after" ]] || wrong "the interface numbers were $before and are $after"
    found "the same interfaces: numbers $after before and after"
}

the_end() {
    title 'The PodConfigs are deleted'
    watch "${pods[@]}"
    withdraw links.yaml
    say 'The daemon waits 50 ms before it acts on it: editors remove a file before they write it again.'
    found "data0 was gone from both pods $(since_written 'Deleted [0-9]+: data0@' "${pods[@]}") ms later"
    stop_watching
    await 'the switch is not empty' switch_is_empty
    show ip -n cnf-0 -4 -brief address show
    show ip -n podconfig -brief link show
    found 'the pods are as they were, and the switch is empty: its bridge went with its last link'
    for pod in "${pods[@]}"; do
        rm "$objects/pod-$pod.yaml"
        end_pod "$pod"
    done
    show podconfig-install uninstall --conf-dir "$confdir" --bin-dir "$bindir" --cache-dir "$results"
    [[ -z $(find "$records" -name '[!.]*' -type f) ]] || wrong 'a record outlived its pod'
    [[ ! -e $bindir/podconfig-cni ]] || wrong 'the plugin is still installed'
    found 'the pods ended in order, and the plugin is out of the chain'
    stop_runner
    { kill "$daemon" && wait "$daemon"; } || wrong 'the daemon did not end well on SIGTERM'
}

# Of the loopback it is never empty.
switch_is_empty() { (($(ip -n podconfig -o link show | wc -l) <= 1)); }
