{{/* What the server's pods and those of its Jobs share. */}}

{{/* A user and a group only where the cluster does not choose them itself, as OpenShift does. */}}
{{- define "ferroflow.podSecurity" -}}
{{- $context := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if not (include "ferroflow.openshift" .) -}}
{{- $context = merge $context (dict "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001) -}}
{{- end -}}
{{- mergeOverwrite $context .Values.mlflow.podSecurityContext | toYaml -}}
{{- end }}

{{- define "ferroflow.containerSecurity" -}}
{{- $context := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- mergeOverwrite $context .Values.mlflow.securityContext | toYaml -}}
{{- end }}

{{- define "ferroflow.resources" -}}
{{- if .Values.mlflow.resources -}}
{{- toYaml .Values.mlflow.resources -}}
{{- else if eq .Values.engine "ferroflow" -}}
limits: {memory: 1Gi}
requests: {cpu: 100m, memory: 128Mi}
{{- else -}}
limits: {memory: 3Gi}
requests: {cpu: 500m, memory: 1Gi}
{{- end -}}
{{- end }}

{{/* Of the containers that wait, compare and report. */}}
{{- define "ferroflow.smallResources" -}}
{{- if .Values.helpers.resources -}}
{{- toYaml .Values.helpers.resources -}}
{{- else -}}
limits: {memory: 512Mi}
requests: {cpu: 50m, memory: 128Mi}
{{- end -}}
{{- end }}

{{- define "ferroflow.jobResources" -}}
{{- if .Values.jobs.resources }}{{ toYaml .Values.jobs.resources }}{{ else }}{{ include "ferroflow.resources" . }}{{ end -}}
{{- end }}

{{/* Names of pull secrets in JSON: `imagePullSecrets`, and those of a parent chart; each a name or `{name: …}`. */}}
{{- define "ferroflow.pullSecretNames" -}}
{{- $names := list -}}
{{- range concat (.Values.imagePullSecrets | default list) ((.Values.global | default dict).imagePullSecrets | default list) -}}
{{- $secret := kindIs "string" . | ternary (dict "name" .) . -}}
{{- $names = append $names $secret.name -}}
{{- end -}}
{{- $names | uniq | toJson -}}
{{- end }}

{{- define "ferroflow.pullSecrets" -}}
{{- with include "ferroflow.pullSecretNames" . | fromJsonArray }}
imagePullSecrets:
{{- range . }}
  - name: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations of the pods of a Job. Arguments: the root, the component. */}}
{{- define "ferroflow.jobPodMetadata" -}}
{{- $root := index . 0 -}}
{{- $labels := mergeOverwrite (include "ferroflow.workloadIdentity" $root | fromYaml) (deepCopy $root.Values.jobs.podLabels) -}}
labels: {{- include "ferroflow.labels" (dict "root" $root "component" (index . 1) "labels" $labels) | nindent 2 }}
{{- with include "ferroflow.texts" $root.Values.jobs.podAnnotations | fromJson }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What all pods of Jobs share, but for the service account. They go where the servers go, unless `jobs` says otherwise. */}}
{{- define "ferroflow.jobPod" -}}
restartPolicy: Never
automountServiceAccountToken: false
enableServiceLinks: false
{{- include "ferroflow.pullSecrets" . }}
{{- with .Values.jobs.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.jobs.nodeSelector | default .Values.mlflow.nodeSelector }}
nodeSelector: {{- include "ferroflow.texts" . | fromJson | toYaml | nindent 2 }}
{{- end }}
{{- with .Values.jobs.tolerations | default .Values.mlflow.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.jobs.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- include "ferroflow.podSecurity" . | nindent 2 }}
{{- end }}

{{- define "ferroflow.artifactsDestination" -}}
{{- if .Values.artifacts.destination }}{{ .Values.artifacts.destination }}
{{- else if include "ferroflow.store" . }}{{ include "ferroflow.bucket" (list . "wasbs" .Values.artifacts.path) }}
{{- else }}/data/artifacts{{ end -}}
{{- end }}

{{/* Whether the server has a volume. */}}
{{- define "ferroflow.volume" -}}
{{- if or (eq .Values.postgresql.mode "none") (hasPrefix "/data" (include "ferroflow.artifactsDestination" .)) }}yes{{ end -}}
{{- end }}

{{/* Everything that a program of either engine needs to reach the database and the bucket. */}}
{{- define "ferroflow.env" -}}
{{- $root := index . 0 -}}
- name: HOME
  value: /tmp
{{- if not (include "ferroflow.uriKey" $root) }}
- name: MLFLOW_BACKEND_STORE_URI
  value: {{ include "ferroflow.databaseUri" $root | quote }}
{{- end }}
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: {{ include "ferroflow.artifactsDestination" $root | quote }}
{{- if $root.Values.workspaces.enabled }}
- name: MLFLOW_ENABLE_WORKSPACES
  value: "true"
{{- end }}
{{- include "ferroflow.storeEnv" $root }}
{{- if include "ferroflow.customCa" $root }}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "PIP_CERT" }}
- name: {{ . }}
  value: /etc/mlflow/ca/ca-bundle.crt
{{- end }}
{{- if not $root.Values.s3.ca.existingSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/mlflow/ca/ca-bundle.crt
{{- end }}
{{- end }}
{{- include "ferroflow.proxyEnv" $root }}
{{- include "ferroflow.databaseEnv" . }}
{{- with $root.Values.postgresql }}
{{- if and (include "ferroflow.uriKey" $root) .external.usersUriKey $root.Values.auth.enabled (eq $root.Values.auth.users "database") }}
- name: FERROFLOW_USERS_URI
  valueFrom: {secretKeyRef: {name: {{ .external.existingSecret }}, key: {{ .external.usersUriKey }}}}
{{- end }}
{{- end }}
{{- end }}

{{/* The variables of a Job's container. Arguments: the root, whether PgBouncer will do. */}}
{{- define "ferroflow.jobEnv" -}}
{{- include "ferroflow.variables" (list (include "ferroflow.env" .) (index . 0).Values.mlflow.extraEnv) -}}
{{- end }}

{{/* The API server's address comes from the kubelet, so that calls to it do not go to the proxy. */}}
{{- define "ferroflow.proxyEnv" -}}
{{- with .Values.proxy }}
{{- if or .httpProxy .httpsProxy }}
{{- with .httpProxy }}
- name: HTTP_PROXY
  value: {{ . | quote }}
{{- end }}
{{- with .httpsProxy }}
- name: HTTPS_PROXY
  value: {{ . | quote }}
{{- end }}
- name: NO_PROXY
  value: {{ concat (list "localhost" "127.0.0.1" "::1" ".svc" ".cluster.local" "$(KUBERNETES_SERVICE_HOST)") .noProxy | uniq | join "," | quote }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ferroflow.envFrom" -}}
{{- if include "ferroflow.s3Secret" . }}
- secretRef: {name: {{ include "ferroflow.s3Secret" . }}}
{{- end }}
{{- with .Values.mlflow.envFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "ferroflow.customCa" -}}
{{- if .Values.customCA.existingConfigMap }}{{ .Values.customCA.existingConfigMap }}
{{- else if .Values.customCA.openshiftBundle }}{{ include "ferroflow.name" . }}-ca-bundle{{ end -}}
{{- end }}

{{- define "ferroflow.volumeMounts" -}}
{{- include "ferroflow.overlay" (list "mountPath" (include "ferroflow.ownVolumeMounts" .) .Values.mlflow.volumeMounts) -}}
{{- end }}

{{/* Those of the chart, for the server and for its Jobs. */}}
{{- define "ferroflow.ownVolumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "ferroflow.volume" . }}
- {name: data, mountPath: /data}
{{- end }}
{{- if include "ferroflow.databaseCa" . }}
- {name: database-ca, mountPath: /etc/mlflow/database-ca, readOnly: true}
{{- end }}
{{- with include "ferroflow.storeCaMounts" . }}
{{ . }}
{{- end }}
{{- if .Values.auth.enabled }}
- {name: auth, mountPath: /etc/mlflow/auth, readOnly: true}
{{- end }}
{{- end }}

{{- define "ferroflow.volumes" -}}
{{- include "ferroflow.overlay" (list "name" (include "ferroflow.ownVolumes" .) .Values.mlflow.volumes) -}}
{{- end }}

{{- define "ferroflow.ownVolumes" -}}
- name: tmp
  emptyDir: {}
{{- if include "ferroflow.volume" . }}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim | default (printf "%s-data" (include "ferroflow.name" .)) }}}
{{- end }}
{{- with include "ferroflow.databaseCa" . }}
- name: database-ca
  secret: {secretName: {{ . }}, items: [{key: {{ include "ferroflow.databaseCaKey" $ }}, path: ca.crt}]}
{{- end }}
{{- with include "ferroflow.storeCaVolumes" . }}
{{ . }}
{{- end }}
{{- if .Values.auth.enabled }}
- name: auth
  secret: {secretName: {{ .Values.auth.existingSecret }}, items: [{key: {{ .Values.auth.key }}, path: basic-auth.ini}]}
{{- end }}
{{- end }}

{{/* Certificate authorities and key files of what talks to the bucket. */}}
{{- define "ferroflow.storeCaMounts" -}}
{{- if .Values.gcs.existingSecret }}
- {name: gcs, mountPath: /etc/mlflow/gcs, readOnly: true}
{{- end }}
{{- if .Values.s3.ca.existingSecret }}
- {name: s3-ca, mountPath: /etc/mlflow/s3-ca, readOnly: true}
{{- end }}
{{- if include "ferroflow.customCa" . }}
- {name: custom-ca, mountPath: /etc/mlflow/ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "ferroflow.storeCaVolumes" -}}
{{- with .Values.gcs }}
{{- if .existingSecret }}
- name: gcs
  secret: {secretName: {{ .existingSecret }}, items: [{key: {{ .key }}, path: credentials.json}]}
{{- end }}
{{- end }}
{{- with .Values.s3.ca }}
{{- if .existingSecret }}
- name: s3-ca
  secret: {secretName: {{ .existingSecret }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- with include "ferroflow.customCa" . }}
- name: custom-ca
  configMap: {name: {{ . }}, items: [{key: {{ $.Values.customCA.key }}, path: ca-bundle.crt}]}
{{- end }}
{{- end }}

{{/*
Writes the configuration of the login to /tmp/basic-auth.ini, with the users database of the cluster of today, and
derives the key of forms, which must be the same in every replica and is nobody's to invent.
*/}}
{{- define "ferroflow.authScript" -}}
umask 077
{{- if ne .Values.auth.users "database" }}
cat /etc/mlflow/auth/basic-auth.ini >/tmp/basic-auth.ini
{{- else if include "ferroflow.uriKey" . }}
users=${FERROFLOW_USERS_URI:-$MLFLOW_BACKEND_STORE_URI}
sed '/^[[:space:]]*database_uri[[:space:]]*[=:]/d' /etc/mlflow/auth/basic-auth.ini | while IFS= read -r line || test -n "$line"; do
  printf '%s\n' "$line"
  # A per cent sign is doubled in such a file.
  case $line in "[mlflow]"*) printf 'database_uri = %s\n' "${users//%/%%}" ;; esac
done >/tmp/basic-auth.ini
{{- else }}
users={{ include "ferroflow.usersUri" . }}
sed -e '/^[[:space:]]*database_uri[[:space:]]*[=:]/d' -e "s|^\[mlflow\].*|&\ndatabase_uri = $users|" /etc/mlflow/auth/basic-auth.ini >/tmp/basic-auth.ini
{{- end }}
export MLFLOW_AUTH_CONFIG_PATH=/tmp/basic-auth.ini
{{- if not .Values.auth.flaskSecretKey.existingSecret }}
key=$( (echo mlflow-flask-server-secret-key; cat /etc/mlflow/auth/basic-auth.ini; echo "${PGPASSWORD:-{{ if include "ferroflow.uriKey" . }}$MLFLOW_BACKEND_STORE_URI{{ end }}}") | sha256sum)
export MLFLOW_FLASK_SERVER_SECRET_KEY="${key%% *}"
{{- end }}
{{- end }}
