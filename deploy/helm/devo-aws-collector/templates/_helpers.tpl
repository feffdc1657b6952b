{{- define "collector.name" -}}
{{- default .Release.Name .Values.nameOverride | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{- define "collector.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of the pods for queues: no label of theirs may make them the StatefulSet's. */}}
{{- define "collector.queueLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}-queues
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* Of all pods of a release. */}}
{{- define "collector.commonLabels" -}}
app.kubernetes.io/part-of: {{ include "collector.name" . }}
{{- end -}}

{{- define "collector.labels" -}}
{{ include "collector.selectorLabels" . }}
{{ include "collector.commonLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "collector.meta" -}}
namespace: {{ .Release.Namespace }}
labels: {{- include "collector.labels" . | nindent 2 }}
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

{{/* What would be lost in silence, or start half a cluster, is refused here. */}}
{{- define "collector.sound" -}}
{{- if eq .Values.mode "replicas" -}}
{{- if gt (int .Values.configuration.processesCount) 1 -}}
{{- fail "processesCount without a cluster: configuration.processesCount: set queues.replicas, or mode: cluster" -}}
{{- end -}}
{{- if not (or .Values.queues.enabled .Values.apis.enabled) -}}
{{- fail "nothing to run: queues.enabled, apis.enabled: enable one of them" -}}
{{- end -}}
{{- $quarantine := dig "globals" "quarantine" "" .Values.configuration.config -}}
{{- if and .Values.queues.enabled .Values.configuration.config (not .Values.queues.localQuarantine) (not (hasPrefix "s3://" $quarantine)) -}}
{{- fail "quarantine would go with its pod: configuration.config.globals.quarantine: set s3://bucket/prefix, or queues.localQuarantine: true" -}}
{{- end -}}
{{- if and (eq .Values.queues.autoscaling.kind "keda") (not .Values.queues.autoscaling.queues) -}}
{{- fail "KEDA has no queue to look at: queues.autoscaling.queues: list url and region of each" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* One line per process, in the order of their ids: pod names are stable, and so are these addresses. */}}
{{- define "collector.hosts" -}}
{{- $name := include "collector.name" . -}}
{{- range until (int .Values.configuration.processesCount) }}
{{ $name }}-{{ . }}.{{ $name }}.{{ $.Release.Namespace }}.svc.cluster.local:{{ $.Values.service.port }}
{{- end }}
{{- end -}}
