# Sourced: keys, certificates, and files to log in with. What is there already is kept.
# shellcheck shell=bash

key() { [[ -s $PKI/$1.key ]] || openssl ecparam -name prime256v1 -genkey -noout -out "$PKI/$1.key"; }

authority() {
    key "$1"
    [[ -s $PKI/$1.crt ]] || openssl req -x509 -new -key "$PKI/$1.key" -sha256 -days 365 -subj "/CN=$1" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,digitalSignature,keyCertSign \
        -out "$PKI/$1.crt"
}

# certificate NAME SUBJECT USAGE [ALTERNATIVE-NAMES] [AUTHORITY]
certificate() {
    local by=${5:-ca} extensions
    key "$1"
    [[ ! -s $PKI/$1.crt ]] || return 0
    extensions=$(printf '%s\n' 'basicConstraints=CA:FALSE' 'keyUsage=critical,digitalSignature' \
        "extendedKeyUsage=$3" ${4:+"subjectAltName=$4"})
    openssl req -new -key "$PKI/$1.key" -subj "$2" 2>/dev/null |
        openssl x509 -req -CA "$PKI/$by.crt" -CAkey "$PKI/$by.key" -set_serial "0x$(openssl rand -hex 8)" -sha256 \
            -days 365 -extfile <(printf '%s\n' "$extensions") -out "$PKI/$1.crt" 2>/dev/null
}

# login NAME: for whom the certificate of that name is, at the API server.
login() {
    [[ ! -s $LOGIN/$1 ]] || return 0
    cat >"$LOGIN/$1" <<-CONFIG
		apiVersion: v1
		kind: Config
		clusters:
		- name: cluster
		  cluster: {server: "$API_SERVER", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}
		users:
		- name: $1
		  user: {client-certificate-data: $(base64 -w0 "$PKI/$1.crt"), client-key-data: $(base64 -w0 "$PKI/$1.key")}
		contexts:
		- name: cluster
		  context: {cluster: cluster, user: $1}
		current-context: cluster
	CONFIG
}

make_keys_of_control_plane() {
    local name
    authority ca
    authority front-proxy-ca
    certificate kube-apiserver /CN=kube-apiserver serverAuth \
        "IP:$CONTROL_PLANE,IP:127.0.0.1,IP:$API_SERVICE,DNS:localhost,DNS:kubernetes.default.svc"
    certificate kubelet-client /O=system:masters/CN=kubelet-client clientAuth
    certificate front-proxy-client /CN=front-proxy-client clientAuth '' front-proxy-ca
    certificate admin /O=system:masters/CN=admin clientAuth
    key service-accounts
    [[ -s $PKI/service-accounts.pub ]] ||
        openssl ec -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub" 2>/dev/null
    for name in kube-controller-manager kube-scheduler; do
        certificate "$name" "/CN=system:$name" clientAuth,serverAuth IP:127.0.0.1
    done
    certificate kube-proxy /CN=system:kube-proxy clientAuth
    for name in admin kube-controller-manager kube-scheduler kube-proxy; do
        login "$name"
    done
}

make_keys_of_node() { # NAME ADDRESS
    certificate "$1" "/O=system:nodes/CN=system:node:$1" clientAuth
    certificate "$1-kubelet" "/O=system:nodes/CN=system:node:$1" serverAuth "IP:$2,DNS:$1"
    login "$1"
}
