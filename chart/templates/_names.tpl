{{/* Names and labels. Every object has the release's name, so that a release `mlflow` has a Deployment `mlflow`. */}}

{{- define "name" -}}
{{- default .Release.Name .Values.fullnameOverride | trunc 42 | trimSuffix "-" -}}
{{- end }}

{{- define "labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: mlflow
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{ include "selector" . }}
{{- end }}

{{/* Labels of the server's pods, and of nothing else. */}}
{{- define "selector" -}}
app.kubernetes.io/name: mlflow
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Labels of an object that is no server. Arguments: the root, the component. */}}
{{- define "labelsOf" -}}
{{- $labels := include "labels" (index . 0) | fromYaml -}}
{{- $_ := set $labels "app.kubernetes.io/name" (printf "mlflow-%s" (index . 1)) -}}
{{- $_ := set $labels "app.kubernetes.io/component" (index . 1) -}}
{{- toYaml $labels -}}
{{- end }}

{{- define "serviceAccount" -}}
{{- if .Values.serviceAccount.name }}{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create }}{{ include "name" . }}
{{- else }}default{{ end -}}
{{- end }}

{{/* Non-empty on OpenShift. */}}
{{- define "openshift" -}}
{{- $said := toString .Values.openshift -}}
{{- if eq $said "auto" -}}
{{- if .Capabilities.APIVersions.Has "route.openshift.io/v1" }}yes{{ end -}}
{{- else if eq $said "true" }}yes{{ end -}}
{{- end }}

{{/* Whether something is wanted that may be left to OpenShift. Arguments: the root, the value. */}}
{{- define "onOpenshift" -}}
{{- $said := toString (index . 1) -}}
{{- if eq $said "auto" }}{{ include "openshift" (index . 0) }}{{ else if eq $said "true" }}yes{{ end -}}
{{- end }}

{{- define "build" -}}{{ include "onOpenshift" (list . .Values.build.enabled) }}{{- end }}
{{- define "route" -}}{{ include "onOpenshift" (list . .Values.route.enabled) }}{{- end }}

{{/* Whether the image stream writes new images into the Deployment. */}}
{{- define "trigger" -}}
{{- $said := toString .Values.build.trigger -}}
{{- if not (include "build" .) -}}
{{- else if eq $said "auto" -}}
{{- if semverCompare "<4.0.0-0" .Capabilities.HelmVersion.Version }}yes{{ end -}}
{{- else if eq $said "true" }}yes{{ end -}}
{{- end }}

{{/* The image that pods run. A build is found by nodes as soon as it has ended. */}}
{{- define "image" -}}
{{- if include "build" . -}}
{{ .Values.build.registry }}/{{ .Release.Namespace }}/{{ include "name" . }}:{{ .Values.mlflow.image.tag }}
{{- else -}}
{{ .Values.mlflow.image.repository }}:{{ .Values.mlflow.image.tag }}
{{- end -}}
{{- end }}

{{- define "pullPolicy" -}}
{{- if include "build" . }}Always{{ else }}{{ .Values.mlflow.image.pullPolicy }}{{ end -}}
{{- end }}

{{- define "cluster" -}}{{ .Values.postgresql.clusterName }}{{- end }}

{{/* Under which this cluster's backups are kept. */}}
{{- define "ownServerName" -}}{{ .Values.backup.serverName | default .Values.postgresql.clusterName }}{{- end }}

{{/* Hosts by which people call the server. */}}
{{- define "publicHosts" -}}
{{- $hosts := list -}}
{{- if include "route" . -}}
{{- $hosts = append $hosts (.Values.route.host | default (printf "%s-%s.apps.*" (include "name" .) .Release.Namespace)) -}}
{{- end -}}
{{- if .Values.ingress.enabled }}{{ $hosts = concat $hosts .Values.ingress.hosts }}{{ end -}}
{{- if .Values.httpRoute.enabled }}{{ $hosts = concat $hosts .Values.httpRoute.hostnames }}{{ end -}}
{{- $hosts | uniq | toJson -}}
{{- end }}

{{/* Every Host header that is accepted: people's, the Service's, and the addresses of pods, by which Prometheus calls. */}}
{{- define "allowedHosts" -}}
{{- $service := include "name" . -}}
{{- $hosts := list -}}
{{- $namespace := .Release.Namespace -}}
{{- range list $service (printf "%s.%s" $service $namespace) (printf "%s.%s.svc" $service $namespace) (printf "%s.%s.svc.cluster.local" $service $namespace) "localhost" "127.0.0.1" "[::1]" -}}
{{- $hosts = concat $hosts (list . (printf "%s:*" .)) -}}
{{- end -}}
{{- range include "publicHosts" . | fromJsonArray -}}
{{- $hosts = append $hosts . -}}
{{- if not (hasSuffix "*" .) }}{{ $hosts = append $hosts (printf "%s:*" .) }}{{ end -}}
{{- end -}}
{{- $hosts = concat $hosts (list "10.*" "192.168.*" "fc00:*" "fd00:*") -}}
{{- range untilStep 16 32 1 }}{{ $hosts = append $hosts (printf "172.%d.*" .) }}{{ end -}}
{{- concat $hosts .Values.mlflow.allowedHosts | uniq | join "," -}}
{{- end }}

{{- define "allowedOrigins" -}}
{{- $origins := list -}}
{{- range include "publicHosts" . | fromJsonArray }}{{ $origins = append $origins (printf "https://%s" .) }}{{ end -}}
{{- if and .Values.ingress.enabled (not .Values.ingress.tls) -}}
{{- range .Values.ingress.hosts }}{{ $origins = append $origins (printf "http://%s" .) }}{{ end -}}
{{- end -}}
{{- concat $origins .Values.mlflow.corsAllowedOrigins | uniq | join "," -}}
{{- end }}
