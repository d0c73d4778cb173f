# The scenes on a segment between two nodes: who is on it, and who is not.

the_second_node() {
    title 'A segment that reaches another node'
    say 'There is a second node now, made like the first. A wire connects them, and a stranger is on it too.'
    cat <<'WIRE'

     node-1     10.77.0.1  ──┐
     node-2     10.77.0.2  ──┼── the wire
     a stranger 10.77.0.66 ──┘

WIRE
    make_node_2
    lay_wire
    ip netns add stranger
    connect stranger /run/netns/stranger 10.77.0.66
    on_node_2 start_labelled cnf-2
    homes[cnf-2]=/proc/$node_2/root
    prompt='node-1 $'
    say 'The administrator allows tunnels over it. What is written from now on, both nodes read.'
    write policy.yaml < <(policy veths tunnels)
    say 'The tenant asks for one network, for a pod of each node.'
    local took
    watch cnf-0 cnf-2
    write far.yaml < <(links_to \
        'vxlan: {underlay: eth1, vni: 10042, peers: {addresses: [10.77.0.1, 10.77.0.2]}}' \
        10.5.0 cnf-0 cnf-2)
    took=$(since_written 'far0 +inet 10\.5\.' cnf-0 cnf-2)
    stop_watching
    await 'far0 of cnf-0 does not carry' carries cnf-0 far0
    on_node_2 await 'far0 of cnf-2 does not carry' carries cnf-2 far0
    show ip -n cnf-0 -4 -brief address show
    on_node_2 show ip -n cnf-2 -4 -brief address show
    found "the running pods of both nodes had far0 $took ms after the file was renamed into place"
    show ip netns exec cnf-0 ping -q -c 5 -i 0.2 10.5.0.2
    [[ $(other_ends) == 10.77.0.2 ]] || wrong "the tunnel of node-1 leads to $(other_ends)"
    [[ $(on_node_2 other_ends) == 10.77.0.1 ]] || wrong 'the tunnel of node-2 does not lead to node-1'
    found 'the objects name both nodes, and each leaves itself out: the tunnels lead to the other node alone'
}

tunnels() {
    cat <<'YAML'
  - vxlan:
      underlays: [eth1]
      vnis: [{min: 10000, max: 10999}]
      peers: [10.77.0.0/28]
    addresses: [10.5.0.0/24]
YAML
}

# The device of the node's tunnel, which is in the switch.
tunnel() { ip -n podconfig -j link show type vxlan | jq -r .[].ifname; }

# Where the tunnel sends what is for all.
other_ends() {
    bridge -n podconfig -j fdb show dev "$(tunnel)" |
        jq -r '.[] | select(.mac == "00:00:00:00:00:00") | .dst'
}

the_stranger() {
    title 'A stranger sends a frame into it'
    say 'A tunnel is a UDP port, and anybody can send to that. This packet holds a ping for cnf-0:'
    frame | indented
    # shellcheck disable=SC2059 # the bytes are the format
    printf "$(frame | sed 's/  .*//; s/^\| /\\x/g' | tr -d '\n')" >/run/demo/packet
    local before
    before=$(pings_received)
    say 'First the other node sends it, which may.'
    send node-2 "/proc/$node_2/ns/net"
    await 'the frame of a peer does not arrive' has_received $((before + 1))
    found 'cnf-0 has received a ping'
    say 'Now the stranger on the wire sends it, and then another pod of this node. A counter stands at the door.'
    nft -f - <<'NFT'
table inet door {
    chain strangers {
        type filter hook prerouting priority -400
        ip saddr != 10.77.0.2 udp dport 4789 counter
    }
}
NFT
    send stranger "$(netns_of stranger)"
    send cnf-1 "$(netns_of cnf-1)"
    await 'the frames do not come to node-1' have_knocked 2
    show nft list chain inet door strangers
    nft delete table inet door
    # One more of the peer's: when that has arrived, those before it are no longer under way.
    deliver "/proc/$node_2/ns/net"
    await 'the frame of a peer does not arrive any more' has_received $((before + 2))
    [[ $(pings_received) == $((before + 2)) ]] || wrong 'the frame of a stranger arrived'
    found 'both came to node-1, and neither to cnf-0'
    say 'They end in a chain of the daemon, which knows the peers:'
    show nft list chain inet podconfig-default vni10042.port4789
    show nft list set inet podconfig-default "$(peer_set)"
    the_end_of_the_segment
}

# The packet, as it is shown and sent: bytes, two blanks, what they are.
frame() {
    cat <<'FRAME'
08 00 00 00 00 27 3a 00                    VXLAN, VNI 10042
ff ff ff ff ff ff 02 00 00 00 00 66 08 00  to everybody on the segment
45 00 00 1c 00 00 40 00 40 01 26 d5        IPv4
0a 05 00 02 0a 05 00 01                    from 10.5.0.2 to 10.5.0.1
08 00 f7 98 00 66 00 01                    a ping
FRAME
}

# deliver NETNS: sends it to node-1 from there.
deliver() {
    nsenter --net="$1" bash -c 'cat /run/demo/packet >/dev/udp/10.77.0.1/4789'
}

# send WHO NETNS: and says so.
send() {
    prompt="$1 \$" typed 'cat packet >/dev/udp/10.77.0.1/4789'
    deliver "$2"
}

# How many pings the kernel has counted in cnf-0.
pings_received() {
    # shellcheck disable=SC2016 # awk shall expand it
    nsenter --net="$(netns_of cnf-0)" awk '$1 == "Icmp:" && names { print $at; exit }
        $1 == "Icmp:" { names = 1; for (n = 1; n <= NF; n++) if ($n == "InEchos") at = n }' /proc/net/snmp
}
has_received() { (($(pings_received) >= $1)); }

have_knocked() { [[ $(nft list chain inet door strangers) == *" packets $1 "* ]]; }

# The set of the peers that have IPv4 addresses.
peer_set() {
    nft list chain inet podconfig-default vni10042.port4789 | sed -n 's/.*ip saddr @\([^ ]*\).*/\1/p'
}

the_end_of_the_segment() {
    say 'The tenant needs it no more.'
    watch cnf-0 cnf-2
    withdraw far.yaml
    found "far0 was gone from the pods of both nodes $(since_written 'Deleted [0-9]+: far0@' cnf-0 cnf-2) ms later"
    stop_watching
    await 'something of the tunnel is left on node-1' has_no_tunnel
    on_node_2 await 'something of the tunnel is left on node-2' has_no_tunnel
    on_node_2 switch_is_empty || wrong 'the switch of node-2 is not empty'
    found 'no tunnel is left on either node, and no nft table'
    end_node_2
    ip netns delete stranger
    ip netns delete wire
    prompt='$'
}

has_no_tunnel() {
    [[ -z $(tunnel) && $(nft list tables) != *podconfig-* ]]
}
