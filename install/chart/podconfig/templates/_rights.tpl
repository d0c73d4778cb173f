{{/*
What the programs may do, each right with its reason. What lies in namespaces of tenants comes apart from
what is cluster-wide: with `namespaces` the former is given in these alone.
*/}}

{{- define "podconfig.daemon.inNamespaces" -}}
# Which pods of this node there are, their labels and addresses. Asked for by node; RBAC cannot say that.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# What is asked for, and where the other ends of tunnels are.
- apiGroups: [podconfig.dev]
  resources: [podconfigs, peerslices]
  verbs: [get, list, watch]
# Tells what was done to each pod. `podconfig-daemon-writes` keeps each daemon to its own node. Never all at
# once: there is no deletecollection.
- apiGroups: [podconfig.dev]
  resources: [podreports]
  verbs: [get, list, watch, create, update, patch, delete]
# Tells the same as Events, on pods and PodConfigs; a repeated one is counted up.
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

{{- define "podconfig.daemon.clusterWide" -}}
# What may be asked for, and in which namespaces: policies select these by label.
- apiGroups: [podconfig.dev]
  resources: [podconfigpolicies]
  verbs: [get, list, watch]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get, list, watch]
# Which networks of the cluster no link may overlap: the controller says it.
- apiGroups: [podconfig.dev]
  resources: [reservednetworks]
  verbs: [get, list, watch]
{{- end -}}

{{- define "podconfig.podStatus.inNamespaces" -}}
# The condition podconfig.dev/ready, for pods that list it as a readiness gate, and the annotation that
# Multus writes as well. The right alone would reach labels too; `podconfig-pod-status` keeps it from that.
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
{{- end -}}

{{- define "podconfig.controller.inNamespaces" -}}
# Which pods a PodConfig selects, and on which node each of them is.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
- apiGroups: [podconfig.dev]
  resources: [podconfigs]
  verbs: [get, list, watch]
# The sum of what the nodes report.
- apiGroups: [podconfig.dev]
  resources: [podconfigs/status]
  verbs: [get, update, patch]
# Reads what the nodes report, and removes what a node that is gone has left.
- apiGroups: [podconfig.dev]
  resources: [podreports]
  verbs: [get, list, watch, delete]
# Publishes what each namespace may use, and which nodes a tunnel leads to. `publish` is no verb of the API:
# `podconfig-controller-writes` asks for it, so that an account of this name elsewhere is nobody.
- apiGroups: [podconfig.dev]
  resources: [podconfigallowances]
  verbs: [get, list, watch, create, update, patch, delete, publish]
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
# Which namespaces a policy selects, and which nodes are gone.
- apiGroups: [""]
  resources: [namespaces, nodes]
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

{{/* The same in each of the namespaces that are served. */}}
{{- define "podconfig.grantInNamespaces" }}
{{- range $namespace := .root.Values.namespaces }}
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
