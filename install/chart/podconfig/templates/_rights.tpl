{{/*
What the programs may do, each right with its reason. What lies in namespaces of tenants comes apart from
what is cluster-wide: with `namespaces` the former is given in these alone.
*/}}

{{- define "podconfig.daemon.inNamespaces" -}}
# The pods of this node, their labels and addresses. The daemon asks by node; RBAC cannot express that.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The desired links, and the peers of tunnels.
- apiGroups: [podconfig.dev]
  resources: [podconfigs, peerslices]
  verbs: [get, list, watch]
# The links of each pod. `podconfig-daemon-writes` limits each daemon to its own node. Not all at once: there is no
# deletecollection.
- apiGroups: [podconfig.dev]
  resources: [podreports]
  verbs: [get, list, watch, create, update, patch, delete]
# The same as Events, on pods and PodConfigs; a repeated one is counted.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.reinvoke.plugins }}
# The configurations of the CNI plugins that links ask for.
- apiGroups: [k8s.cni.cncf.io]
  resources: [network-attachment-definitions]
  verbs: [get, list, watch]
{{- end }}
{{- end -}}

{{- define "podconfig.daemon.clusterWide" -}}
# What may be asked for, and in which namespaces: policies select these by label.
- apiGroups: [podconfig.dev]
  resources: [podconfigpolicies]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
# Claims and releases the addresses of its pods' links; one of several pods that request the same address gets it.
# `podconfig-address-claims` limits each daemon to its own node. Not all at once: there is no deletecollection.
- apiGroups: [podconfig.dev]
  resources: [addressclaims]
  verbs: [get, list, watch, create, update, delete]
# The networks of the cluster that no link may overlap, as the controller publishes them.
- apiGroups: [podconfig.dev]
  resources: [reservednetworks]
  verbs: [get, list, watch]
{{- end -}}

{{- define "podconfig.podStatus.inNamespaces" -}}
# The condition podconfig.dev/ready, for pods that list it as a readiness gate, and the annotation that
# Multus writes as well. The right alone would permit changes of labels; `podconfig-pod-status` prevents them.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
{{- end -}}

{{- define "podconfig.controller.inNamespaces" -}}
# The pods that a PodConfig selects, and their nodes.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [podconfig.dev]
  resources: [podconfigs]
  verbs: [get, list, watch]
# The aggregate of the nodes' reports.
- apiGroups: [podconfig.dev]
  resources: [podconfigs/status]
  verbs: [get, update, patch]
# Reads the nodes' reports, and deletes those of nodes that are gone.
- apiGroups: [podconfig.dev]
  resources: [podreports]
  verbs: [get, list, watch, delete]
# Publishes what each namespace may use, and which nodes a tunnel leads to. `publish` is not a verb of the API:
# `podconfig-controller-writes` asks for it, so an account of this name in another namespace gains nothing.
- apiGroups: [podconfig.dev]
  resources: [podconfigallowances]
  verbs: [get, list, watch, create, update, patch, publish]
- apiGroups: [podconfig.dev]
  resources: [peerslices]
  verbs: [get, list, watch, create, update, patch, delete]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "podconfig.controller.clusterWide" -}}
- apiGroups: [podconfig.dev]
  resources: [podconfigpolicies]
  verbs: [get, list, watch]
# Writes whether a policy is in use, and nothing else of it: `podconfig-deletions` uses that.
- apiGroups: [podconfig.dev]
  resources: [podconfigpolicies/status]
  verbs: [patch]
# Counts the addresses in use, and frees those of nodes that are gone.
- apiGroups: [podconfig.dev]
  resources: [addressclaims]
  verbs: [get, list, watch, delete]
# The namespaces that a policy selects, and the nodes that are gone.
- apiGroups: [""]
  resources: [namespaces, nodes]
  verbs: [get, list, watch]
# Publishes the networks of the cluster that no link may overlap. `publish`: as for allowances.
- apiGroups: [podconfig.dev]
  resources: [reservednetworks]
  verbs: [get, list, watch, create, update, patch, delete, publish]
{{ include "podconfig.controller.sources" . }}
{{- end -}}

{{- define "podconfig.controller.sources" -}}
# Sources of cluster networks, read only, as far as the cluster has them. Nodes are in the list above.
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch]
# Only ConfigMaps of this name; the namespace may not exist yet, and a Role would need it.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [kube-flannel-cfg]
  verbs: [get, list, watch]
- apiGroups: [networking.k8s.io]
  resources: [servicecidrs]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways]
  verbs: [get, list, watch]
- apiGroups: [config.openshift.io, operator.openshift.io]
  resources: [networks]
  verbs: [get, list, watch]
- apiGroups: [crd.projectcalico.org, projectcalico.org]
  resources: [ippools, blockaffinities, ipreservations]
  verbs: [get, list, watch]
- apiGroups: [cilium.io]
  resources: [ciliumnodes, ciliumpodippools, ciliumloadbalancerippools]
  verbs: [get, list, watch]
- apiGroups: [k8s.ovn.org]
  resources: [userdefinednetworks, clusteruserdefinednetworks, egressips]
  verbs: [get, list, watch]
- apiGroups: [kubeovn.io]
  resources: [subnets, vips, iptables-eips, ovn-eips]
  verbs: [get, list, watch]
- apiGroups: [crd.antrea.io]
  resources: [ippools, externalippools]
  verbs: [get, list, watch]
- apiGroups: [metallb.io]
  resources: [ipaddresspools]
  verbs: [get, list, watch]
- apiGroups: [whereabouts.cni.cncf.io]
  resources: [ippools, nodeslicepools, overlappingrangeipreservations]
  verbs: [get, list, watch]
- apiGroups: [k8s.cni.cncf.io]
  resources: [network-attachment-definitions]
  verbs: [get, list, watch]
{{- end -}}

{{- define "podconfig.controller.settings" -}}
# In kube-system: the settings of the cluster, only ConfigMaps with these names; and the flags of its
# control plane.
- apiGroups: [""]
  resources: [configmaps]
  resourceNames: [kubeadm-config, kube-proxy, cilium-config, cluster-config-v1]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
{{- end -}}

{{/* The rules of one role, given to one account: (dict "root" $ "role" NAME "rules" DEFINED "account" NAME) */}}
{{- define "podconfig.grantClusterWide" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ include "podconfig.clusterName" (list .root .role) }}
  labels:
    {{- include "podconfig.labels" (list .root .account) | nindent 4 }}
rules:
{{- range .rules }}
{{ include . $.root }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ include "podconfig.clusterName" (list .root .role) }}
  labels:
    {{- include "podconfig.labels" (list .root .account) | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ include "podconfig.clusterName" (list .root .role) }}}
subjects:
- {kind: ServiceAccount, name: podconfig-{{ .account }}, namespace: {{ .root.Release.Namespace }}}
{{- end -}}

{{/* The same in each of the namespaces that are served, or in those of `namespaces`. */}}
{{- define "podconfig.grantInNamespaces" }}
{{- range $namespace := .namespaces | default .root.Values.namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ include "podconfig.clusterName" (list $.root $.role) }}
  namespace: {{ $namespace }}
  labels:
    {{- include "podconfig.labels" (list $.root $.account) | nindent 4 }}
rules:
{{- range $.rules }}
{{ include . $.root }}
{{- end }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ include "podconfig.clusterName" (list $.root $.role) }}
  namespace: {{ $namespace }}
  labels:
    {{- include "podconfig.labels" (list $.root $.account) | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: {{ include "podconfig.clusterName" (list $.root $.role) }}}
subjects:
- {kind: ServiceAccount, name: podconfig-{{ $.account }}, namespace: {{ $.root.Release.Namespace }}}
{{- end }}
{{- end -}}
