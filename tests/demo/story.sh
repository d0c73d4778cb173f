#!/usr/bin/env bash
# The demo itself, on a throwaway node. It runs as pid 1 of the node's namespaces. It checks
# everything that it shows, and the first failure ends it with an error.
set -euo pipefail
# shellcheck source=node.sh
source "$DEMO_FOLDER/node.sh"

# Pid 1 of a node hears no signal that it has not asked for.
trap 'exit 130' INT
trap 'exit 143' TERM HUP

say "${bold}podconfig: running pods gain and lose network links${plain}"
say
say 'All of this happens on throwaway nodes: network, mount and process namespaces of their own.'
say 'This machine stays as it is, also if you press Ctrl-C.'

furnish
the_chain
the_pods
the_daemon
default_deny
the_policy
the_ping
the_edit
the_tenant
the_host_bridge
the_kill
the_plugin
the_second_node
the_stranger
the_vlan
the_end

say
say "${bold}That was podconfig.${plain} It took $SECONDS seconds, and this machine is as it was."
