# The scene of a CNI plugin that runs again, for a pod that runs.

the_plugin() {
    title 'Any CNI plugin, in a pod that runs'
    local took
    ip link add lan1 type veth peer name lan1-far
    ip link set lan1 up
    ip link set lan1-far up
    if ! ip link add probe link lan1 type macvlan 2>/dev/null; then
        say 'The kernel has no macvlan, so this scene is left out.'
        return
    fi
    ip link delete probe
    # What plugins keep is this node's own, too.
    mkdir -p /var/lib/cni
    mount -t tmpfs -o mode=755 cni /var/lib/cni
    say "The node's administrator lists the plugins that may run at all. The runner executes nothing else,"
    say 'each chain in a jail of its own; the daemon only asks it.'
    start_runner macvlan host-local
    kill_daemon
    plugins=(--runner-socket /run/podconfig/run.sock --state-dir /run/podconfig/state)
    start_daemon quietly
    write fast.yaml <<'YAML'
apiVersion: k8s.cni.cncf.io/v1
kind: NetworkAttachmentDefinition
metadata: {name: fast, namespace: networks}
spec:
  config: |
    {"cniVersion": "1.0.0", "type": "macvlan", "master": "lan1", "mode": "bridge",
     "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.98.0.0/24"}]]}}
YAML
    write policy.yaml < <(policy veths definitions) >/dev/null
    say "The policy's rule, and what the tenant asks for:"
    definitions | sed 's/^  //' | quote
    watch cnf-0
    write net1.yaml <<YAML
apiVersion: podconfig.dev/v1alpha1
kind: PodConfig
metadata: {name: net1, namespace: $namespace}
spec:
  podSelector: {matchLabels: {pod: cnf-0}}
  links:
  - name: net1
    cni: {networkAttachmentDefinition: networks/fast}
YAML
    took=$(since_written 'inet 10\.98\.' cnf-0)
    stop_watching
    await 'net1 is not attached' attachment_is Attached
    show ip -n cnf-0 -4 -brief address show net1
    show reconfd attachments --state-dir /run/podconfig/state
    found "the running pod had the macvlan, with an address from host-local, $took ms after the file was renamed into place"
    withdraw net1.yaml
    await 'net1 is still there' gone_from cnf-0 net1
    await 'something of the attachment is left' nothing_attached
    found 'withdrawn: the plugins have undone it, and no reservation is left'
}

definitions() {
    cat <<'YAML'
  - cni: {definitions: [{namespace: networks, names: [fast]}]}
    addresses: [10.98.0.0/24]
YAML
}

start_runner() {
    local words=(reconfd run --socket /run/podconfig/run.sock --plugin-folder /usr/lib/cni) plugin
    for plugin in "$@"; do
        words+=(--plugin "$plugin")
    done
    typed "${words[@]}" '&'
    NO_COLOR=1 "$RECONFD_BIN" "${words[@]:1}" --log-format text >>"$log" 2>&1 &
    runner=$!
    await 'the runner does not listen' test -S /run/podconfig/run.sock
}

reconfd() { "$RECONFD_BIN" "$@"; }

attachment_is() { reconfd attachments --state-dir /run/podconfig/state | grep -q "$1"; }
gone_from() { ! ip -n "$1" link show "$2"; }

nothing_attached() {
    [[ -z $(find /var/lib/cni -name '10.98.*') ]] &&
        [[ -z $(ls -A /run/podconfig/state/default/attachments/results) ]]
}

stop_runner() {
    [[ -n ${runner:-} ]] || return 0
    kill "$runner"
    wait "$runner" 2>/dev/null || true
}
