{{/*
A pod of the collector. Takes a dict: root, only ("queues", "apis" or "" for everything), labels, resources,
durable (its state outlives it), cluster (it is one process of a cluster).
*/}}
{{- define "collector.pod" -}}
{{- $ := .root -}}
{{- $values := $.Values -}}
metadata:
  annotations:
    {{- if .cluster }}
    checksum/hosts: {{ include "collector.hosts" $ | sha256sum }}
    {{- end }}
    checksum/config: {{ toYaml $values.configuration.config | sha256sum }}
    {{- with $values.podAnnotations }}{{ toYaml . | nindent 4 }}{{- end }}
  labels:
    {{- .labels | nindent 4 }}
    {{- include "collector.commonLabels" $ | nindent 4 }}
    {{- with $values.podLabels }}{{ toYaml . | nindent 4 }}{{- end }}
spec:
  serviceAccountName: {{ include "collector.serviceAccountName" $ }}
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: {{ $values.terminationGracePeriodSeconds }}
  securityContext: {{- toYaml $values.podSecurityContext | nindent 4 }}
  {{- with $values.imagePullSecrets }}
  imagePullSecrets: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $values.affinity }}
  affinity: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if $values.topologySpreadConstraints }}
  topologySpreadConstraints: {{- toYaml $values.topologySpreadConstraints | nindent 4 }}
  {{- else if eq .only "queues" }}
  topologySpreadConstraints:
    {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "collector.queueLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: collector
      image: "{{ $values.image.repository }}:{{ $values.image.tag | default $.Chart.AppVersion }}{{ with $values.image.digest }}@{{ . }}{{ end }}"
      imagePullPolicy: {{ $values.image.pullPolicy }}
      args:
        - --interval={{ $values.configuration.interval }}
        - --workers={{ $values.configuration.workersPerProcess }}
        {{- with .only }}
        - --only={{ . }}
        {{- end }}
        {{- if or .durable (eq .only "queues") }}
        - --state=/collector/state
        {{- end }}
      env:
        - {name: CONFIG_FILE, value: config.yaml}
        - {name: COLLECTOR_LOG, value: json}
        - {name: COLLECTOR_STATUS, value: "0.0.0.0:{{ $values.status.port }}"}
        {{- if .cluster }}
        - {name: BYTEWAX_HOSTFILE_PATH, value: /etc/bytewax/hostfile.txt}
        - {name: BYTEWAX_STATEFULSET_NAME, value: {{ include "collector.name" $ | quote }}}
        {{- if $values.configuration.clusterSecret.existingSecret }}
        - name: COLLECTOR_CLUSTER_SECRET
          valueFrom: {secretKeyRef: {name: {{ $values.configuration.clusterSecret.existingSecret }}, key: cluster-secret}}
        {{- else if $values.networkPolicy.enabled }}
        - {name: COLLECTOR_CLUSTER_PORT, value: network-trusted}
        {{- end }}
        - name: BYTEWAX_POD_NAME
          valueFrom: {fieldRef: {fieldPath: metadata.name}}
        {{- end }}
        {{- range $name, $value := $values.env }}
        - {name: {{ $name }}, value: {{ $value | quote }}}
        {{- end }}
      {{- if or $values.envFromSecrets $values.envFrom }}
      envFrom:
        {{- range $values.envFromSecrets }}
        - secretRef: {name: {{ .name }}, optional: {{ .optional | default false }}}
        {{- end }}
        {{- with $values.envFrom }}{{ toYaml . | nindent 8 }}{{- end }}
      {{- end }}
      ports:
        {{- if .cluster }}
        - {name: process, containerPort: {{ $values.service.port }}}
        {{- end }}
        - {name: status, containerPort: {{ $values.status.port }}}
      # A cluster's processes open their port when all have come; until then nothing is wrong.
      startupProbe:
        httpGet: {path: /healthz, port: status}
        periodSeconds: 5
        failureThreshold: 60
      livenessProbe:
        httpGet: {path: /healthz, port: status}
        periodSeconds: 20
        failureThreshold: 6
      readinessProbe:
        httpGet: {path: /readyz, port: status}
        periodSeconds: 10
      resources: {{- toYaml (.resources | default $values.resources) | nindent 8 }}
      securityContext: {{- toYaml $values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: config, mountPath: /collector/config, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        {{- if .cluster }}
        - {name: hosts, mountPath: /etc/bytewax, readOnly: true}
        {{- end }}
        {{- if or .durable (eq .only "queues") }}
        - {name: recovery, mountPath: /collector/state}
        {{- end }}
        {{- if $values.certs.existingSecret }}
        - {name: certs, mountPath: /collector/certs, readOnly: true}
        {{- end }}
        {{- if $values.credentials.existingSecret }}
        - {name: credentials, mountPath: /collector/credentials, readOnly: true}
        {{- end }}
        {{- with $values.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{- end }}
  volumes:
    - name: config
      secret: {secretName: {{ include "collector.configSecret" $ }}, defaultMode: 0440}
    - name: tmp
      emptyDir: {}
    {{- if .cluster }}
    - name: hosts
      configMap: {name: {{ include "collector.name" $ }}-hosts}
    {{- end }}
    {{- if and (eq .only "queues") (not .durable) }}
    - name: recovery
      emptyDir: {}
    {{- end }}
    {{- with $values.certs.existingSecret }}
    - name: certs
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.credentials.existingSecret }}
    - name: credentials
      secret: {secretName: {{ . }}, defaultMode: 0440}
    {{- end }}
    {{- with $values.extraVolumes }}{{ toYaml . | nindent 4 }}{{- end }}
{{- end -}}
