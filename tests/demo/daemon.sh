# The daemon of the throwaway node: started, awaited, asked, killed.

# As a person would call it who has installed it.
# It is in another folder than the plugin here, whereas an image has both in one.
podconfig-install() {
    local plugin=()
    [[ $1 != install ]] || plugin=(--plugin "$PODCONFIG_CNI_BIN")
    "$PODCONFIG_INSTALL_BIN" "$@" "${plugin[@]}"
}

# Flags for links of CNI plugins, once there is a runner.
plugins=()

start_daemon() {
    local words=(reconfd
        --source "directory:$objects" --records "$records" --reports "$reports"
        --netns-folder /run/netns --switch-folder /run/netns --run-dir /run/podconfig
        --listen 127.0.0.1:9478 --log-format text "${plugins[@]}")
    if [[ ${1:-} != quietly ]]; then
        printf '%s   %s %s \\\n' "$bold" "$prompt" "${words[*]:0:3}"
        printf '       %s \\\n' "${words[*]:3:4}" "${words[*]:7:4}"
        printf '       %s%s\n' "${words[*]:11}" "$plain"
    fi
    NO_COLOR=1 "$RECONFD_BIN" "${words[@]:1}" >>"$log" 2>&1 &
    daemon=$!
    await 'the daemon does not get ready' is_ready
}

is_ready() {
    [[ $(ask /readyz) == *' 200 '* ]]
}

# ask PATH: the daemon's answer, without any program for it.
ask() {
    local answer
    exec {line}<>/dev/tcp/127.0.0.1/9478
    printf 'GET %s HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n' "$1" >&"$line"
    answer=$(cat <&"$line")
    exec {line}>&-
    printf '%s\n' "$answer"
}

metric() {
    ask /metrics | awk -v name="reconfd_$1" '$1 == name { print $2 }'
}

kill_daemon() {
    kill -9 "$daemon"
    wait "$daemon" 2>/dev/null || true
}

# The report about a pod.
report() {
    printf '%s/%s/podreport-%s.yaml' "$reports" "$namespace" "$1"
}

# Whether the report about a pod has this word, and no other, as some link's reason.
reason_is() {
    grep -q "reason: $2\$" "$(report "$1")"
}
