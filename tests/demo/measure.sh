# When things happened, by the kernel's own events: `ip -ts monitor` stamps each as it hears it, in
# microseconds. Nothing here looks at a link again and again.

watching=()

# Listens in each pod; returns when all listen.
watch() {
    local pod
    watching=()
    for pod in "$@"; do
        nsenter --net="$(netns_of "$pod")" ip -ts -o monitor link address >"/run/demo/events-$pod" 2>&1 &
        watching+=($!)
        await "ip monitor does not listen in $pod" listens $!
    done
}

# Whether the process has a socket of the routing family that hears of changes: one of its own, because
# the daemon listens in the same namespaces.
listens() {
    local open
    open=$(readlink "/proc/$1/fd/"* | tr -dc '0-9\n' | tr '\n' ' ')
    awk -v open=" $open" '$2 == 0 && $4 != "00000000" && index(open, " " $10 " ") { found = 1 }
        END { exit !found }' "/proc/$1/net/netlink"
}

stop_watching() {
    kill "${watching[@]}"
    wait "${watching[@]}" 2>/dev/null || true
    watching=()
}

# event_time POD PATTERN: the time of the first such event, or failure.
event_time() {
    local line
    line=$(grep -m 1 -E -- "$2" "/run/demo/events-$1") || return 1
    line=${line#[}
    date -d "${line%%]*}" +%s.%6N
}

# milliseconds FROM TO, with one digit.
milliseconds() {
    awk -v from="$1" -v to="$2" 'BEGIN { printf "%.1f", (to - from) * 1000 }'
}

# since_written PATTERN POD…: waits for the event in all of them; ms from $written_at to the last one.
since_written() {
    local pattern=$1 last=0 pod at
    shift
    for pod in "$@"; do
        await "no event in $pod matches $pattern" event_time "$pod" "$pattern"
        at=$(event_time "$pod" "$pattern")
        last=$(printf '%s\n%s\n' "$last" "$at" | sort -n | tail -n 1)
    done
    milliseconds "$written_at" "$last"
}
