# Sourced: the cgroups of nodes, with either version of cgroups.
# shellcheck shell=bash

cgroup_trees() {
    if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
        printf '/sys/fs/cgroup\n'
        return
    fi
    local name
    for name in cpu cpuacct cpuset memory devices freezer blkio pids systemd; do
        [[ ! -d /sys/fs/cgroup/$name ]] || printf '/sys/fs/cgroup/%s\n' "$name"
    done
}

# make_cgroups NODE: empty ones, ready to have others inside.
make_cgroups() {
    local tree folder
    remove_cgroups "$1"
    for tree in $(cgroup_trees); do
        for folder in "$tree/$CGROUP" "$tree/$CGROUP/$1"; do
            mkdir -p "$folder"
            # In version 1 a cpuset starts with no CPU at all.
            [[ $tree != */cpuset ]] || inherit "$tree" "$folder"
        done
        [[ ! -e $tree/cgroup.controllers ]] || delegate "$tree" "$tree/$CGROUP" "$tree/$CGROUP/$1"
    done
}

inherit() {
    cat "$1/cpuset.cpus" >"$2/cpuset.cpus"
    cat "$1/cpuset.mems" >"$2/cpuset.mems"
}

# In version 2 a controller is in a folder only if the one above hands it down.
delegate() {
    local folder controller
    for folder in "$@"; do
        for controller in cpuset cpu io memory pids; do
            printf '+%s' "$controller" >"$folder/cgroup.subtree_control" 2>/dev/null || true
        done
    done
}

# remove_cgroups [NODE]: innermost first. What a dead node leaves holds up the next kubelet, 3 s for each pod.
remove_cgroups() {
    local tree folder
    for tree in $(cgroup_trees); do
        folder=$tree/$CGROUP${1:+/$1}
        for _ in {1..40}; do
            [[ -d $folder ]] || break
            find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.05
        done
        [[ ! -d $folder ]] || say "left over: $folder"
    done
}
