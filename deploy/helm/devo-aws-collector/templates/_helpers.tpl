{{- define "collector.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 52 | trimSuffix "-" -}}
{{- end -}}

{{- define "collector.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "collector.labels" -}}
{{ include "collector.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "collector.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "collector.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "collector.configSecret" -}}
{{- if .Values.configuration.existingSecret -}}
{{- .Values.configuration.existingSecret -}}
{{- else if .Values.configuration.config -}}
{{- include "collector.name" . }}-config
{{- else -}}
{{- fail "no configuration: configuration.config: set it, or name a Secret with config.yaml in configuration.existingSecret" -}}
{{- end -}}
{{- end -}}

{{/* One line per process, in the order of their ids: pod names are stable, and so are these addresses. */}}
{{- define "collector.hosts" -}}
{{- $name := include "collector.name" . -}}
{{- range until (int .Values.configuration.processesCount) }}
{{ $name }}-{{ . }}.{{ $name }}.{{ $.Release.Namespace }}.svc.cluster.local:{{ $.Values.service.port }}
{{- end }}
{{- end -}}
