{{/* What only the server's pods have. */}}

{{- define "ferroflow.podLabels" -}}
{{- $labels := include "ferroflow.texts" .Values.commonLabels | fromJson -}}
{{- $labels = mergeOverwrite $labels (include "ferroflow.workloadIdentity" . | fromYaml) -}}
{{- $labels = mergeOverwrite $labels (include "ferroflow.texts" .Values.mlflow.podLabels | fromJson) -}}
{{- $labels = mergeOverwrite $labels (dict "app.kubernetes.io/component" "server" "app.kubernetes.io/part-of" "mlflow") -}}
{{- mergeOverwrite $labels (include "ferroflow.selector" . | fromYaml) | toYaml -}}
{{- end }}

{{/* Every address of the pod: of IPv4 as well where IPv6 is among them, for a socket on `::` takes both. */}}
{{- define "ferroflow.host" -}}
{{- $service := .Values.service -}}
{{- if .Values.mlflow.host }}{{ .Values.mlflow.host }}
{{- else if or (has "IPv6" $service.ipFamilies) (hasSuffix "DualStack" $service.ipFamilyPolicy) }}::
{{- else }}0.0.0.0{{ end -}}
{{- end }}

{{- define "ferroflow.serverEnv" -}}
{{- $ferroflow := eq .Values.engine "ferroflow" -}}
{{- include "ferroflow.env" (list . true) }}
{{- if $ferroflow }}
# The server accepts the addresses of its pod as hosts: Prometheus and probes use them.
- name: POD_IPS
  valueFrom: {fieldRef: {fieldPath: status.podIPs}}
{{- end }}
{{- with include "ferroflow.connections" . | fromJson }}
{{- if and .each $ferroflow }}
- name: FERROFLOW_DATABASE_CONNECTIONS
  value: {{ .each | toString | quote }}
{{- else if .each }}
- name: MLFLOW_SQLALCHEMYSTORE_POOL_SIZE
  value: {{ .each | toString | quote }}
- name: MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW
  value: "0"
{{- end }}
{{- end }}
{{- include "ferroflow.readReplicaEnv" . }}
{{- if $ferroflow }}
{{- range $kind, $limits := .Values.quotas }}
{{- with include "ferroflow.quotas" $limits }}
- name: FERROFLOW_{{ upper $kind }}_QUOTAS
  value: {{ . | quote }}
{{- end }}
{{- end }}
{{- if not (kindIs "invalid" .Values.mlflow.slowStatementSeconds) }}
- name: FERROFLOW_SLOW_STATEMENT
  value: {{ .Values.mlflow.slowStatementSeconds | toString | quote }}
{{- end }}
{{- with .Values.monitoring.traces }}
{{- if .endpoint }}
- name: FERROFLOW_OTEL_TRACES_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: parentbased_traceidratio
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .ratio | toString | quote }}
{{- end }}
{{- end }}
{{- end }}
- name: MLFLOW_SERVER_ALLOWED_HOSTS
  value: {{ include "ferroflow.allowedHosts" . | quote }}
{{- with include "ferroflow.allowedOrigins" . }}
- name: MLFLOW_SERVER_CORS_ALLOWED_ORIGINS
  value: {{ . | quote }}
{{- end }}
{{- with .Values.auth.flaskSecretKey }}
{{- if and $.Values.auth.enabled .existingSecret }}
- name: MLFLOW_FLASK_SERVER_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- if include "ferroflow.namespaces" . }}
{{- with .Values.workspaces.kubernetes }}
- name: MLFLOW_K8S_WORKSPACE_LABEL_SELECTOR
  value: {{ .selector | quote }}
{{- with .defaultWorkspace }}
- name: MLFLOW_K8S_DEFAULT_WORKSPACE
  value: {{ . | quote }}
{{- end }}
{{- if .artifactRoots }}
- name: FERROFLOW_K8S_ARTIFACT_ROOTS
  value: MLflowConfig
{{- end }}
{{- if .trustedProxy.enabled }}
- name: MLFLOW_K8S_AUTH_AUTHORIZATION_MODE
  value: subject_access_review
- name: FERROFLOW_TRUSTED_PROXIES
  value: {{ join "," .trustedProxy.addresses | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.webhooks }}
{{- if .existingSecret }}
- name: MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .key }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* Quotas as the server's list: `experiment.runs=100000,workspace.runs=1000000`. */}}
{{- define "ferroflow.quotas" -}}
{{- $list := list -}}
{{- range $name, $number := . -}}
{{- if not (kindIs "invalid" $number) }}{{ $list = append $list (printf "%s=%d" $name (int64 $number)) }}{{ end -}}
{{- end -}}
{{- join "," $list -}}
{{- end }}

{{/*
The bucket has to answer once, so that wrong keys do not replace right ones. That it is away later is no reason to take all
servers away, which do everything else without it. A migration at the start may take its time, and so may what has to be
repaired before.
*/}}
{{- define "ferroflow.probes" -}}
{{- $ferroflow := eq .Values.engine "ferroflow" -}}
startupProbe:
  httpGet: {path: {{ ternary "/readyz" "/health" $ferroflow }}, port: http, httpHeaders: [{name: Host, value: localhost}]}
  periodSeconds: 2
  timeoutSeconds: 6
  failureThreshold: {{ ternary 1800 150 (or $ferroflow .Values.mlflow.autoMigrate) }}
livenessProbe:
  httpGet: {path: {{ ternary "/livez" "/health" $ferroflow }}, port: http, httpHeaders: [{name: Host, value: localhost}]}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: {{ ternary "/readyz?needs=database" "/health" $ferroflow | quote }}, port: http, httpHeaders: [{name: Host, value: localhost}]}
  periodSeconds: 5
  timeoutSeconds: 6
  failureThreshold: 2
{{- end }}

{{/* Whether the server has tokens of service accounts reviewed. */}}
{{- define "ferroflow.tokenReview" -}}
{{- if and .Values.auth.enabled .Values.auth.serviceAccounts.enabled }}yes{{ end -}}
{{- end }}

{{/* Whether namespaces are its workspaces. */}}
{{- define "ferroflow.namespaces" -}}
{{- if and .Values.workspaces.enabled .Values.workspaces.kubernetes.enabled }}yes{{ end -}}
{{- end }}

{{/* Whether it calls the API server, for which it has a token. */}}
{{- define "ferroflow.apiToken" -}}
{{- if or (include "ferroflow.tokenReview" .) (include "ferroflow.namespaces" .) }}yes{{ end -}}
{{- end }}
