# Sourced: etcd, the API server, the controller manager and the scheduler, in the network namespace "wire".
# shellcheck shell=bash disable=SC2154

on_wire() { "${clean[@]}" nsenter --target "$(pid_of wire)" --net -- "$@"; }

# The wire: a namespace with a bridge, to which every node has a cable.
start_wire() {
    local pid
    if pid_of wire >/dev/null; then return; fi
    start wire unshare --net -- "$STATE/pause"
    pid=$(pid_of wire)
    within 5 'the wire' is_elsewhere "$pid"
    on_wire bash -ec "
        ip link set lo up
        ip link add wire0 type bridge
        ip address add $CONTROL_PLANE/24 dev wire0
        ip link set wire0 up
        echo 1 >/proc/sys/net/ipv4/ip_forward"
}

is_elsewhere() { [[ $(readlink "/proc/$1/exe") == "$STATE/pause" ]]; }

start_on_wire() {
    local name=$1
    shift
    start "$name" nsenter --target "$(pid_of wire)" --net -- "$BIN/$name" "$@"
}

start_etcd() {
    start_on_wire etcd --name=default --data-dir="$STATE/etcd" --unsafe-no-fsync --log-level=warn \
        --listen-client-urls=http://127.0.0.1:2379 --advertise-client-urls=http://127.0.0.1:2379 \
        --listen-peer-urls=http://127.0.0.1:2380
}

# What the accounts of podconfig write is written down: that is how writes are counted.
start_api_server() {
    start_on_wire kube-apiserver --v=1 --etcd-servers=http://127.0.0.1:2379 \
        --bind-address="$CONTROL_PLANE" --advertise-address="$CONTROL_PLANE" --secure-port=6443 \
        --service-cluster-ip-range="$SERVICES" --endpoint-reconciler-type=lease --shutdown-delay-duration=0s \
        --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
        --client-ca-file="$PKI/ca.crt" --tls-cert-file="$PKI/kube-apiserver.crt" \
        --tls-private-key-file="$PKI/kube-apiserver.key" \
        --service-account-issuer=https://kubernetes.default.svc.cluster.local \
        --service-account-key-file="$PKI/service-accounts.pub" \
        --service-account-signing-key-file="$PKI/service-accounts.key" \
        --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" \
        --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
        --enable-aggregator-routing=true --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" \
        --requestheader-allowed-names=front-proxy-client --requestheader-extra-headers-prefix=X-Remote-Extra- \
        --requestheader-group-headers=X-Remote-Group --requestheader-username-headers=X-Remote-User \
        --proxy-client-cert-file="$PKI/front-proxy-client.crt" --proxy-client-key-file="$PKI/front-proxy-client.key" \
        --audit-policy-file="$cluster/conf/audit.yaml" --audit-log-path="$LOG/audit.log"
}

start_controllers() {
    local name
    for name in kube-controller-manager kube-scheduler; do
        set -- --v=1 --bind-address=127.0.0.1 --leader-elect=false --kubeconfig="$LOGIN/$name" \
            --authentication-kubeconfig="$LOGIN/$name" --authorization-kubeconfig="$LOGIN/$name" \
            --tls-cert-file="$PKI/$name.crt" --tls-private-key-file="$PKI/$name.key"
        # A node that is gone shall be seen to be gone while a test watches.
        [[ $name != *manager ]] || set -- "$@" --root-ca-file="$PKI/ca.crt" --use-service-account-credentials=true \
            --service-account-private-key-file="$PKI/service-accounts.key" \
            --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" \
            --node-monitor-period=1s --node-monitor-grace-period=20s
        start_on_wire "$name" "$@"
    done
}

start_control_plane() {
    start_wire
    start_etcd
    start_api_server
    within 90 'the API server to be ready' kubectl get --raw=/readyz
    start_controllers
}
