# How the demo speaks: sentences, the commands it runs with what they print, the YAML it writes.
# Colour is for terminals alone; the first shell of the demo decides for those that it starts.

[[ -n ${DEMO_COLOUR:-} ]] || {
    [[ -t 1 && -z ${NO_COLOR:-} ]] && DEMO_COLOUR=yes || DEMO_COLOUR=no
    export DEMO_COLOUR
}
if [[ $DEMO_COLOUR == yes ]]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi
chapter=0
# Where there are several nodes, it says whose commands they are.
prompt=${prompt:-$}

title() {
    chapter=$((chapter + 1))
    printf '\n%s%s. %s%s\n\n' "$bold" "$chapter" "$1" "$plain"
}

say() {
    printf '%s\n' "$*"
}

# A figure or a fact that this run has shown.
found() {
    printf '%s   → %s%s\n' "$green" "$*" "$plain"
}

indented() {
    sed "s/^/     /"
}

# A command as it is typed.
typed() {
    printf '%s   %s %s%s\n' "$bold" "$prompt" "$*" "$plain"
}

# Prints a command, runs it, prints what it says.
show() {
    typed "$@"
    "$@" 2>&1 | indented
}

# Prints text as it stands in a file.
quote() {
    printf '%s' "$dim"
    indented
    printf '%s' "$plain"
}

# The folders that manifests go to: one for each node that shall read them.
shelves=("$objects")

# Writes a manifest into the folder that the daemon watches, by rename, as careful people do.
# The time just before `mv` starts is left in $written_at: what is counted from it is never too short.
write() {
    local name=$1 text shelf
    text=$(cat)
    printf '%s   %s%s\n' "$bold" "$objects/$name" "$plain"
    quote <<<"$text"
    for shelf in "${shelves[@]}"; do
        printf '%s\n' "$text" >"$shelf/.$name.new"
    done
    written_at=$EPOCHREALTIME
    for shelf in "${shelves[@]}"; do
        mv "$shelf/.$name.new" "$shelf/$name"
    done
}

# Takes a manifest away.
withdraw() {
    typed rm "$objects/$1"
    written_at=$EPOCHREALTIME
    rm "${shelves[@]/%//$1}"
}

# What was promised and is not so ends the demo.
wrong() {
    printf '\n%sdemo: not as promised: %s%s\n' "$red" "$1" "$plain" >&2
    if [[ -s $log ]]; then
        printf 'The last words of the daemon:\n' >&2
        tail -n 30 "$log" | indented >&2
    fi
    exit 1
}

# Waits up to ten seconds for a command to succeed.
await() {
    local what=$1 deadline=$((SECONDS + 10))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < deadline)) || wrong "$what"
        sleep 0.02
    done
}
