{{/* Names. Every object has the release's name, so that a release `mlflow` has a Deployment `mlflow`. */}}

{{- define "ferroflow.name" -}}
{{- .Values.fullnameOverride | default (include "ferroflow.instance" .) | trunc 42 | trimSuffix "-" -}}
{{- end }}

{{/* As part of another chart, it shares the release with neighbours, and perhaps with another one of itself. */}}
{{- define "ferroflow.instance" -}}
{{- if .Chart.IsRoot }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{/* Labels of the server's pods, and of nothing else. */}}
{{- define "ferroflow.selector" -}}
app.kubernetes.io/name: mlflow
app.kubernetes.io/instance: {{ include "ferroflow.instance" . }}
{{- end }}

{{- define "ferroflow.serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "ferroflow.name" . }}
{{- else }}default{{ end -}}
{{- end }}

{{/* Non-empty on OpenShift. */}}
{{- define "ferroflow.openshift" -}}
{{- $said := toString .Values.openshift -}}
{{- if eq $said "auto" -}}
{{- if .Capabilities.APIVersions.Has "route.openshift.io/v1" }}yes{{ end -}}
{{- else if eq $said "true" }}yes{{ end -}}
{{- end }}

{{/* Whether something is wanted that may be left to OpenShift. Arguments: the root, the value. */}}
{{- define "ferroflow.onOpenshift" -}}
{{- $said := toString (index . 1) -}}
{{- if eq $said "auto" }}{{ include "ferroflow.openshift" (index . 0) }}{{ else if eq $said "true" }}yes{{ end -}}
{{- end }}

{{- define "ferroflow.build" -}}{{ include "ferroflow.onOpenshift" (list . .Values.build.enabled) }}{{- end }}
{{- define "ferroflow.route" -}}{{ include "ferroflow.onOpenshift" (list . .Values.route.enabled) }}{{- end }}

{{/* Whether the image stream writes new images into the Deployment. */}}
{{- define "ferroflow.trigger" -}}
{{- $said := toString .Values.build.trigger -}}
{{- if not (include "ferroflow.build" .) -}}
{{- else if eq $said "auto" -}}
{{- if semverCompare "<4.0.0-0" .Capabilities.HelmVersion.Version }}yes{{ end -}}
{{- else if eq $said "true" }}yes{{ end -}}
{{- end }}

{{- define "ferroflow.tag" -}}{{ include "ferroflow.text" .Values.mlflow.image.tag }}{{- end }}

{{/* The image that is built upon, or run where nothing is built. */}}
{{- define "ferroflow.baseImage" -}}
{{- with .Values.mlflow.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ include "ferroflow.tag" $ }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The image that pods run. A build is found by nodes as soon as it has ended. */}}
{{- define "ferroflow.image" -}}
{{- if include "ferroflow.build" . -}}
{{ .Values.build.registry }}/{{ .Release.Namespace }}/{{ include "ferroflow.name" . }}:{{ include "ferroflow.tag" . }}
{{- else -}}
{{ include "ferroflow.baseImage" . }}
{{- end -}}
{{- end }}

{{- define "ferroflow.pullPolicy" -}}
{{- if include "ferroflow.build" . }}Always{{ else }}{{ .Values.mlflow.image.pullPolicy }}{{ end -}}
{{- end }}

{{- define "ferroflow.cluster" -}}{{ .Values.postgresql.clusterName }}{{- end }}

{{/* Under which this cluster's backups are kept. */}}
{{- define "ferroflow.ownServerName" -}}{{ .Values.backup.serverName | default .Values.postgresql.clusterName }}{{- end }}

{{/* The host of an entry of `ingress.hosts`: text, or a map with paths. */}}
{{- define "ferroflow.ingressHost" -}}{{ if kindIs "string" . }}{{ . }}{{ else }}{{ .host }}{{ end }}{{- end }}

{{/* Hosts by which people call the server. */}}
{{- define "ferroflow.publicHosts" -}}
{{- $hosts := list -}}
{{- if include "ferroflow.route" . -}}
{{- $hosts = append $hosts (.Values.route.host | default (printf "%s-%s.apps.*" (include "ferroflow.name" .) .Release.Namespace)) -}}
{{- end -}}
{{- if .Values.ingress.enabled -}}
{{- range .Values.ingress.hosts }}{{ $hosts = append $hosts (include "ferroflow.ingressHost" .) }}{{ end -}}
{{- end -}}
{{- if .Values.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.httpRoute.hostnames }}{{ end -}}
{{- $hosts | uniq | toJson -}}
{{- end }}

{{/* Every Host header that is accepted: people's, the Service's, and the addresses of pods, by which Prometheus calls. */}}
{{- define "ferroflow.allowedHosts" -}}
{{- $service := include "ferroflow.name" . -}}
{{- $hosts := list -}}
{{- $namespace := .Release.Namespace -}}
{{- range list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.cluster.local" $service $namespace) "localhost" "127.0.0.1" "[::1]" -}}
{{- $hosts = concat $hosts (list . (printf "%s:*" .)) -}}
{{- end -}}
{{- range include "ferroflow.publicHosts" . | fromJsonArray -}}
{{- $hosts = append $hosts . -}}
{{- if not (hasSuffix "*" .) }}{{ $hosts = append $hosts (printf "%s:*" .) }}{{ end -}}
{{- end -}}
{{- $hosts = concat $hosts (list "10.*" "192.168.*" "fc00:*" "fd00:*") -}}
{{- range untilStep 16 32 1 }}{{ $hosts = append $hosts (printf "172.%d.*" .) }}{{ end -}}
{{- concat $hosts .Values.mlflow.allowedHosts | uniq | join "," -}}
{{- end }}

{{- define "ferroflow.allowedOrigins" -}}
{{- $origins := list -}}
{{- range include "ferroflow.publicHosts" . | fromJsonArray }}{{ $origins = append $origins (printf "https://%s" .) }}{{ end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.tls) -}}
{{- range .Values.ingress.hosts }}{{ $origins = append $origins (printf "http://%s" (include "ferroflow.ingressHost" .)) }}{{ end -}}
{{- end -}}
{{- concat $origins .Values.mlflow.corsAllowedOrigins | uniq | join "," -}}
{{- end }}
