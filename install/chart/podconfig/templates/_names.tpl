{{/* Names, labels and words that several templates share. */}}

{{/* The name of what is cluster-wide: of two copies, each has its own. (list $ "podconfig-daemon") */}}
{{- define "podconfig.clusterName" -}}
{{- $root := index . 0 -}}
{{- index . 1 }}{{ if ne $root.Values.installation "default" }}-{{ $root.Values.installation }}{{ end -}}
{{- end -}}

{{- define "podconfig.image" -}}
{{- $tag := .Values.image.tag | default .Chart.AppVersion -}}
{{- .Values.image.repository }}{{ if hasPrefix "sha256:" $tag }}@{{ else }}:{{ end }}{{ $tag -}}
{{- end -}}

{{/* The labels of every object. (list $ "daemon") */}}
{{- define "podconfig.labels" -}}
{{ include "podconfig.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/part-of: podconfig
{{- end -}}

{{/* The labels that pods are found by; they never change. */}}
{{- define "podconfig.selector" -}}
app.kubernetes.io/name: podconfig
app.kubernetes.io/instance: {{ (index . 0).Values.installation }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Which namespaces are served, as flags. */}}
{{- define "podconfig.scopeArgs" -}}
{{- with .Values.namespaces }}
- --namespaces={{ join "," . }}
{{- end }}
{{- with .Values.exceptNamespaces }}
- --except-namespaces={{ join "," . }}
{{- end }}
{{- end -}}

{{/* Where the plugin and its chain are, as flags of `keep` and `uninstall`. */}}
{{- define "podconfig.nodeArgs" -}}
- --installation={{ .Values.installation }}
- --run-dir={{ .Values.node.run }}
- --switch-folder={{ .Values.node.netns }}
- --records={{ .Values.node.run }}/records
- --conf-dir={{ .Values.node.cniConf }}
- --bin-dir={{ .Values.node.cniBin }}
{{- end -}}

{{/* How the plugin joins the chain, as flags of `keep`. */}}
{{- define "podconfig.chainArgs" -}}
- --mode={{ .Values.plugin.mode }}
{{- with .Values.plugin.confFile }}
- --conf-file={{ . }}
{{- end }}
{{- with .Values.plugin.network }}
- --network={{ . }}
{{- end }}
{{- if .Values.plugin.skipInvalid }}
- --skip-invalid
{{- end }}
{{- end -}}

{{/* The mounts of what works on the node itself: it pins the switch and writes into the chain. */}}
{{- define "podconfig.nodeMounts" -}}
# What is mounted here must be seen by the node and by the daemon: that takes a privileged container.
- {name: netns, mountPath: {{ .Values.node.netns }}, mountPropagation: Bidirectional}
- {name: run, mountPath: {{ .Values.node.run }}}
- {name: cni-conf, mountPath: {{ .Values.node.cniConf }}}
- {name: cni-bin, mountPath: {{ .Values.node.cniBin }}}
{{- end -}}

{{- define "podconfig.nodeVolumes" -}}
- {name: netns, hostPath: {path: {{ .Values.node.netns }}, type: DirectoryOrCreate}}
- {name: run, hostPath: {path: {{ .Values.node.run }}, type: DirectoryOrCreate}}
- {name: cni-conf, hostPath: {path: {{ .Values.node.cniConf }}, type: DirectoryOrCreate}}
- {name: cni-bin, hostPath: {path: {{ .Values.node.cniBin }}, type: DirectoryOrCreate}}
- {name: cni-cache, hostPath: {path: {{ .Values.node.cniCache }}, type: DirectoryOrCreate}}
{{- end -}}

{{/* What a container on a node may do that does the node's own work. */}}
{{- define "podconfig.nodeSecurity" -}}
privileged: true
runAsUser: 0
readOnlyRootFilesystem: true
{{- end -}}

{{- define "podconfig.apiServerEnv" -}}
{{- with .Values.apiServer.host }}
- {name: KUBERNETES_SERVICE_HOST, value: {{ . | quote }}}
{{- end }}
{{- with .Values.apiServer.port }}
- {name: KUBERNETES_SERVICE_PORT, value: {{ . | toString | quote }}}
{{- end }}
{{- end -}}

{{- define "podconfig.check" -}}
{{- if and .Values.namespaces .Values.exceptNamespaces }}
{{- fail "namespaces and exceptNamespaces exclude each other" }}
{{- end }}
{{- with .Values.reinvoke.networksAnnotation }}
{{- if not $.Values.reinvoke.plugins }}
{{- fail "reinvoke.networksAnnotation needs reinvoke.plugins: without plugins nothing can be attached" }}
{{- end }}
{{- /* Each would take the other's attachments for its own. Without a cluster to ask, as in `helm template`, none is found. */}}
{{- range (lookup "apps/v1" "DaemonSet" "" "").items }}
{{- if eq .metadata.name "dynamic-networks-controller-ds" }}
{{- fail (printf "reinvoke.networksAnnotation: the DaemonSet %s/%s follows the same annotation; remove it first" .metadata.namespace .metadata.name) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
