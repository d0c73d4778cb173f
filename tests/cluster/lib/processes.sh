# Sourced: processes that the cluster starts, and the proof that a pid is still one of them.
# shellcheck shell=bash disable=SC2154
# A pid file holds the pid, when that process started, and the boot: nothing else is ever signalled.

boot=$(</proc/sys/kernel/random/boot_id)

# state_and_start PID: both from the kernel, whatever the program calls itself.
state_and_start() {
    local line
    { line=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    awk '{ print $1, $20 }' <<<"${line##*) }"
}

record() { # NAME PID
    local start
    start=$(state_and_start "$2") || return 1
    printf '%s %s %s\n' "$2" "${start#* }" "$boot" >"$RUN/$1.pid"
}

# The pid of NAME, where that very process lives.
pid_of() {
    local pid start of_boot now
    [[ -s $RUN/$1.pid ]] || return 1
    read -r pid start of_boot <"$RUN/$1.pid"
    now=$(state_and_start "$pid") || return 1
    [[ $of_boot == "$boot" && ${now#* } == "$start" && ${now% *} != [ZX] ]] || return 1
    printf '%s\n' "$pid"
}

# within SECONDS WHAT COMMAND…: again and again until it succeeds.
within() {
    local seconds=$1 what=$2 end=$((SECONDS + $1))
    shift 2
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "waited $seconds s for $what; the logs are in $LOG"
        sleep 0.05
    done
}

# start NAME COMMAND…: in a session of its own and recorded, unless it runs. Sets `started`.
start() {
    local name=$1
    shift
    if pid_of "$name" >/dev/null; then return; fi
    say "start $name"
    # Without the lock, or it would be held as long as the program runs.
    "${clean[@]}" setsid "$@" >>"$LOG/$name.log" 2>&1 </dev/null 9>&- &
    started=$!
    disown "$started"
    record "$name" "$started" || fail "$name ended at once; see $LOG/$name.log"
}

only_child_of() {
    local child
    child=$(<"/proc/$1/task/$1/children") 2>/dev/null
    [[ $child ]] && printf '%s\n' "${child%% *}"
}

# The same for a command that forks once into a new pid namespace: the child is the one that counts.
start_inside() {
    local name=$1
    if pid_of "$name" >/dev/null; then return; fi
    start "$@"
    rm "$RUN/$name.pid"
    within 10 "$name to start" only_child_of "$started"
    started=$(only_child_of "$started")
    record "$name" "$started" || fail "$name ended at once; see $LOG/$name.log"
}

# stop NAME [SECONDS]: asked first, then made to.
stop() {
    local name=$1 seconds=${2:-10} pid end
    pid=$(pid_of "$name") || { rm -f "$RUN/$name.pid"; return 0; }
    say "stop $name"
    kill -TERM "$pid" 2>/dev/null || true
    end=$((SECONDS + seconds))
    while pid_of "$name" >/dev/null; do
        if ((SECONDS > end)); then
            say "$name does not listen: SIGKILL"
            kill -KILL "$pid" 2>/dev/null || true
            end=$((SECONDS + seconds))
        fi
        sleep 0.05
    done
    rm -f "$RUN/$name.pid"
}
