# The scene on a VLAN. It runs on two nodes of its own, because the kernel of most machines on which a demo is tried
# has no 802.1Q: then these nodes are in a guest that has it.

the_vlan() {
    title 'A vlan'
    local tests lacks guest=()
    tests=$(dirname "$DEMO_FOLDER")
    if ! lacks=$("$tests/../.ci/full-kernel"); then
        say "This machine's own kernel is too small for that: $lacks."
        if ! command -v linux.uml >/dev/null; then
            say 'There is no user-mode-linux here either, so this scene is left out.'
            return
        fi
        say "So this scene runs under Debian's user-mode-linux, a full kernel that is an ordinary process."
        say 'Everything is slow there, so the milliseconds of this scene are no measure.'
        furnish_guest
        guest=("$tests/vm.sh" --seconds 120)
    fi
    # shellcheck disable=SC2016 # the new shell shall expand it
    "${guest[@]}" unshare --net --mount --pid --fork --kill-child \
        bash -euo pipefail -c 'source "$DEMO_FOLDER/node.sh"; vlan_between_two_nodes'
}

# The guest's folder goes with this node, whatever way it ends; and what the guest may write to is empty.
furnish_guest() {
    mount -t tmpfs -o mode=755 guest /boot
    mkdir /boot/empty
    cd /boot/empty || wrong 'the guest has no folder'
    export VM_FOLDERS=/boot
}

vlan_between_two_nodes() {
    trap 'exit 130' INT
    local took before
    furnish
    join_chain
    start_daemon quietly
    make_node_2
    say 'Two nodes again, each with a daemon and a pod. The switch between them counts frames by their tags.'
    lay_wire vlan_filtering 1 vlan_stats_enabled 1 vlan_stats_per_port 1
    # That the kernel may have to load a module for the first one is not what is measured.
    ip link add link eth1 name first type vlan id 4094
    ip link delete first
    bridge -n wire vlan add dev node-1 vid 100
    bridge -n wire vlan add dev node-2 vid 100
    start_labelled cnf-0
    on_node_2 start_labelled cnf-2
    homes[cnf-2]=/proc/$node_2/root
    prompt='node-1 $'
    write policy.yaml < <(policy vlans) >/dev/null
    say "The policy's rule, and what the tenant asks for:"
    vlans | sed 's/^  //' | quote
    watch cnf-0 cnf-2
    write far.yaml < <(links_to 'vlan: {parent: eth1, id: 100}' 10.6.0 cnf-0 cnf-2)
    took=$(since_written 'far0 +inet 10\.6\.' cnf-0 cnf-2)
    stop_watching
    await 'far0 of cnf-0 does not carry' carries cnf-0 far0
    on_node_2 await 'far0 of cnf-2 does not carry' carries cnf-2 far0
    found "the running pods of both nodes had far0 $took ms after the file was renamed into place"
    before=$(tagged_frames)
    show ip netns exec cnf-0 ping -q -c 5 -i 0.2 10.6.0.2
    prompt='the switch $' show bridge -n wire -s vlan show dev node-1 vid 100
    (($(tagged_frames) >= before + 5)) || wrong 'the pings were not tagged'
    found 'on the wire the pings had the tag 100'
    withdraw far.yaml
    await 'something of the vlan is left on node-1' switch_is_empty
    on_node_2 await 'something of the vlan is left on node-2' switch_is_empty
    found 'withdrawn, and nothing is left of it on either node'
}

vlans() {
    cat <<'YAML'
  - vlan: {parents: [eth1], ids: [{min: 100, max: 199}]}
    addresses: [10.6.0.0/24]
YAML
}

# How many frames with the tag the switch has got from node-1.
tagged_frames() {
    bridge -n wire -j -s vlan show dev node-1 vid 100 | jq '[.. | .rx_packets? // empty] | add // 0'
}
