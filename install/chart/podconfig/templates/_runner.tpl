{{/*
The container that executes CNI plugins, for links with `cni`. It is only there with `reinvoke.plugins`.
*/}}

{{- define "podconfig.runnerFolder" -}}
/run/reconfd-runner
{{- end -}}

{{- define "podconfig.runnerSocket" -}}
{{ include "podconfig.runnerFolder" . }}/runner.sock
{{- end -}}

{{- define "podconfig.stateFolder" -}}
/var/lib/podconfig/{{ .Values.installation }}
{{- end -}}

{{/* Whether Multus' folder is not in the one that plugins write. */}}
{{- define "podconfig.hasMultusFolder" -}}
{{- if not (hasPrefix "/var/lib/cni/" .Values.reinvoke.multus.cniDir) }}true{{ end -}}
{{- end -}}

{{- define "podconfig.runner" -}}
# Executes CNI plugins of the node, those of the list alone, each chain in a jail of its own. No token, no listening
# port: the daemon asks on a socket that is in no other container.
- name: runner
  image: {{ include "podconfig.image" . }}
  imagePullPolicy: {{ .Values.image.pullPolicy }}
  command: [/reconfd, run]
  args:
  - --socket={{ include "podconfig.runnerSocket" . }}
  - --root=/host
  {{- range .Values.reinvoke.plugins }}
  - --plugin={{ . }}
  {{- end }}
  {{- range .Values.reinvoke.pluginFolders }}
  - --plugin-folder={{ . }}
  {{- end }}
  {{- range .Values.reinvoke.share }}
  - --share={{ . }}
  {{- end }}
  - --chain-memory={{ .Values.reinvoke.chainMemoryMiB }}
  - --chain-processes={{ .Values.reinvoke.chainProcesses }}
  - --conf-dir={{ .Values.node.cniConf }}
  - --multus-cni-dir={{ .Values.reinvoke.multus.cniDir }}
  - --multus-conf-dir={{ .Values.reinvoke.multus.confDir }}
  - --log={{ .Values.log.level }}
  securityContext:
    privileged: false
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    # Kubernetes gives capabilities to root only.
    runAsUser: 0
    capabilities:
      drop: [ALL]
      # NET_ADMIN: what plugins are for. SYS_ADMIN: the mounts of a jail, and to enter a pod's network namespace.
      # NET_RAW: iptables, ARP, DHCP. DAC_OVERRIDE: files and sockets of other users. SYS_CHROOT: to enter the jail.
      add: [NET_ADMIN, SYS_ADMIN, NET_RAW, DAC_OVERRIDE, SYS_CHROOT]
    seccompProfile: {type: RuntimeDefault}
    # The runtimes' default profile forbids every mount.
    appArmorProfile: {type: Unconfined}
    {{- with .Values.daemon.seLinuxOptions }}
    seLinuxOptions:
      {{- toYaml . | nindent 6 }}
    {{- end }}
  resources:
    {{- toYaml .Values.reinvoke.resources | nindent 4 }}
  volumeMounts:
  - {name: runner, mountPath: {{ include "podconfig.runnerFolder" . }}}
  # Plugins, their libraries and programs; a jail sees it read-only in all depths.
  - {name: host, mountPath: /host, readOnly: true, mountPropagation: HostToContainer}
  # Where plugins keep their reservations.
  - {name: cni-state, mountPath: /host/var/lib/cni}
  {{- if include "podconfig.hasMultusFolder" . }}
  # What Multus has stored of its attachments, which goes when one is undone.
  - {name: multus-state, mountPath: /host{{ .Values.reinvoke.multus.cniDir }}}
  {{- end }}
{{- end -}}

{{- define "podconfig.runnerVolumes" -}}
- {name: runner, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
- {name: host, hostPath: {path: /, type: Directory}}
- {name: cni-state, hostPath: {path: /var/lib/cni, type: DirectoryOrCreate}}
{{- if include "podconfig.hasMultusFolder" . }}
- {name: multus-state, hostPath: {path: {{ .Values.reinvoke.multus.cniDir }}, type: DirectoryOrCreate}}
{{- end }}
# What was attached: it outlives a restart of the node.
- {name: state, hostPath: {path: {{ include "podconfig.stateFolder" . }}, type: DirectoryOrCreate}}
{{- end -}}
