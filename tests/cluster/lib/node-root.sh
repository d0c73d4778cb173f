#!/usr/bin/env bash
# node-root.sh INDEX: run in a new node's namespaces by nodes.sh. Gives the node a root file system of its own,
# in which the machine's programs are and none of its state, and its network.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
# shellcheck disable=SC1091
source "$here/settings.sh"
index=$1 name=n$1 root=$STATE/n$1/root

hostname "$name"
mount --make-rprivate /
mkdir -p "$root"/{proc,sys,dev,run,tmp,root,old,etc,opt/cni/bin,opt/cluster,srv,mnt,home} \
    "$root"/var/{lib/{kubelet,containerd,cni},log,tmp} "$root"/etc/cni/net.d
mount --bind "$root" "$root"
cd "$root"

# Programs and libraries are the machine's; a link to a folder stays one.
for folder in /usr /bin /sbin /lib /lib32 /lib64 /libx32; do
    if [[ -L $folder ]]; then
        ln -sfn "$(readlink "$folder")" ".$folder"
    elif [[ -d $folder ]]; then
        mkdir -p ".$folder"
        mount --rbind "$folder" ".$folder"
    fi
done
ln -sfn /run var/run
ln -sfn /run/lock var/lock
for file in passwd group nsswitch.conf protocols services ld.so.cache alternatives ssl iproute2; do
    [[ ! -e /etc/$file ]] || cp -a "/etc/$file" etc/
done
mount --bind "$BIN" opt/cluster

mount -t proc proc proc
# A sysfs of this network namespace, with the machine's cgroups in it.
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mkdir -p run/netns run/lock run/containerd

# A kubelet would set these for the whole machine: it reads what it wants to see.
while read -r setting value; do
    printf '%s\n' "$value" >"run/${setting//\//.}"
    mount --bind "run/${setting//\//.}" "proc/sys/$setting"
done <<-SETTINGS
	kernel/panic 10
	kernel/panic_on_oops 1
	vm/overcommit_memory 1
	vm/panic_on_oom 0
SETTINGS

pivot_root . old
umount --lazy /old
# From here on mounts propagate, as they do on every node; any earlier and the machine's would be touched.
mount --make-rshared /

ip link set lo up
ip address add "$(node_address "$index")/24" dev eth0
ip link set eth0 up
ip route add default via "$CONTROL_PLANE"
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
# As kube-proxy's nodes have it, where the kernel can.
for family in iptables ip6tables; do
    [[ ! -e /proc/sys/net/bridge/bridge-nf-call-$family ]] || echo 1 >"/proc/sys/net/bridge/bridge-nf-call-$family"
done
