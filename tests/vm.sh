#!/usr/bin/env bash
# Runs one command on a full Linux kernel, as root, and ends as the command ended:
#
#     tests/vm.sh [--seconds N] [--no-ipv6] COMMAND [ARGUMENT…]
#
# It is for tests of links that the machine's own kernel cannot make. The kernel is Debian's
# user-mode-linux, an ordinary program: it needs no virtualisation, and loads modules on demand.
# The guest has the machine's own files, read-only. The current folder is writable, and /tmp is too,
# but what is written to /tmp ends with the guest. Environment, arguments and current folder are passed
# on, stdin is empty, stdout and stderr stay apart. It has one CPU and no network but its own.
# What it needs itself is in a folder in /tmp, or in $VM_FOLDERS, while it runs.
# With --no-ipv6 its kernel is as one that was booted with ipv6.disable=1.
# Exit code: the command's; 124 when it ran out of time, 125 when there is no guest to ask.
set -euo pipefail

kernel=/usr/bin/linux.uml
modules=/usr/lib/uml/modules
megabytes=2048
seconds=600
ipv6='disable=0'
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
    printf 'vm: %s\n' "$*" >&2
    exit 125
}

check_machine() {
    local needed
    [[ $(id -u) == 0 ]] || fail 'root in the guest is root on this machine, so run it as root'
    for needed in "$kernel" "$modules" /sbin/modprobe; do
        [[ -e $needed ]] ||
            fail "there is no $needed: apt-get install --no-install-recommends user-mode-linux kmod"
    done
    [[ $PWD != / ]] || fail 'the current folder is the one that the guest may write to: not the root'
    [[ $PWD != *[[:space:],\\]* ]] || fail "the guest cannot mount a folder with such a name: $PWD"
}

# The guest's memory is a file that programs are run from; in containers /dev/shm is often not for that.
memory_folder() {
    local free
    free=$(df --output=avail --block-size=1M /dev/shm | tail -n 1)
    if ((free > megabytes)) && [[ $(findmnt -n -o OPTIONS --target /dev/shm) != *noexec* ]]; then
        printf '/dev/shm'
    else
        printf '%s' "$folder"
    fi
}

# What the guest finds in its folder: the command, what to mount, and where its modules are.
pack() {
    {
        # shellcheck disable=SC2016 # the guest shall expand it
        printf 'unset $(compgen -e)\n'
        export -p
        printf 'cd %q\nexec' "$PWD"
        printf ' %q' "$@"
    } >"$folder/command"
    cat >"$folder/fstab" <<-FSTAB
		sys     /sys      sysfs
		pts     /dev/pts  devpts    X-mount.mkdir,ptmxmode=666
		shm     /dev/shm  tmpfs     X-mount.mkdir,mode=1777
		tmp     /tmp      overlay   lowerdir=/tmp,upperdir=/run/tmp/upper,workdir=/run/tmp/work
		folder  $folder   hostfs    X-mount.mkdir,$folder
		current $PWD      hostfs    X-mount.mkdir,$PWD
	FSTAB
    mkdir -p "$folder/lib"
    ln -s "$modules" "$folder/lib/modules"
    printf '#!/bin/sh\nexec /sbin/modprobe --dirname %s "$@"\n' "$folder" >"$folder/modprobe"
    cp "$here/vm/init" "$folder/init"
    chmod +x "$folder/modprobe" "$folder/init"
    mkfifo "$folder"/{log,stdout,stderr,code}
}

# Each console of the guest ends in a pipe: its log, stdout, stderr, and the exit code.
# In a namespace for pids none of its processes outlives the kernel, nor the kernel this script; but it
# is not pid 1 there, which could not abort, and has a session, because it aborts its whole group.
# The blacklist: initialisers of btrfs and RAID measure this machine for a third of the boot.
boot() {
    TMPDIR=$(memory_folder) exec setpriv --pdeathsig KILL unshare --pid --fork --kill-child -- setsid --fork --wait \
        "$kernel" mem="${megabytes}M" uml_dir="$folder" umid=vm rootfstype=hostfs rootflags=/ ro \
        init="$folder/init" VM_FOLDER="$folder" VM_IPV6="$ipv6" \
        initcall_blacklist=init_btrfs_fs,raid6_select_algo,raid6_init,calibrate_xor_blocks,xor_init \
        loglevel=5 panic=0 oops=panic con=null ssl=null \
        con0=null,fd:6 con1=null,fd:7 con2=null,fd:8 con3=null,fd:9 \
        6>"$folder/log" 7>"$folder/stdout" 8>"$folder/stderr" 9>"$folder/code" </dev/null >&6 2>&6
}

# Why there is no exit code: `read` ended with $1.
explain() {
    if (($1 > 128)); then
        printf 'vm: stopped after %s s\n' "$seconds" >&2
        return 124
    fi
    printf 'vm: the guest died; the last words of its kernel:\n' >&2
    tail -n 40 "$folder/kernel.log" >&2
    return 125
}

# In one command, without output: else the shell reports that a process was killed.
end_guest() {
    { kill -KILL "$guest" && wait "$guest"; } 2>/dev/null || true
}

while [[ ${1:-} == --* ]]; do
    case $1 in
    --seconds) seconds=$2 && shift ;;
    --no-ipv6) ipv6='disable=1' ;;
    *) fail "unknown option $1" ;;
    esac
    shift
done
(($# > 0)) || fail 'which command shall be run?'
check_machine
# A plain name: it becomes a word of the kernel's command line.
folder=$(mktemp -d "${VM_FOLDERS:-/tmp}/podconfig-vm.XXXXXX")
trap '[[ -z ${guest:-} ]] || end_guest; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP
pack "$@"
ulimit -c 0

cat <"$folder/log" >"$folder/kernel.log" &
cat <"$folder/stdout" &
relays=($!)
cat <"$folder/stderr" >&2 &
relays+=($!)
boot &
guest=$!
code='' rc=0
read -r -t "$seconds" code <"$folder/code" || rc=$?
end_guest
wait "${relays[@]}"
((rc == 0)) || explain "$rc" || exit
exit "${code%$'\r'}"
