{{/* What the server's pods and those of its Jobs share. */}}

{{/* A user and a group only where the cluster does not choose them itself, as OpenShift does. */}}
{{- define "podSecurity" -}}
{{- $context := dict "runAsNonRoot" true "seccompProfile" (dict "type" "RuntimeDefault") -}}
{{- if not (include "openshift" .) -}}
{{- $context = merge $context (dict "runAsUser" 10001 "runAsGroup" 10001 "fsGroup" 10001) -}}
{{- end -}}
{{- mergeOverwrite $context .Values.mlflow.podSecurityContext | toYaml -}}
{{- end }}

{{- define "containerSecurity" -}}
{{- $context := dict "allowPrivilegeEscalation" false "readOnlyRootFilesystem" true "capabilities" (dict "drop" (list "ALL")) -}}
{{- mergeOverwrite $context .Values.mlflow.securityContext | toYaml -}}
{{- end }}

{{- define "resources" -}}
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

{{- define "smallResources" -}}
limits: {memory: 512Mi}
requests: {cpu: 50m, memory: 128Mi}
{{- end }}

{{- define "pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* Host of the database. Arguments: the root, whether PgBouncer will do. */}}
{{- define "databaseHost" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.postgresql.mode "external" -}}{{ $root.Values.postgresql.external.host }}
{{- else if and $root.Values.postgresql.pooler.enabled (index . 1) -}}{{ include "cluster" $root }}-pooler-rw
{{- else -}}{{ include "cluster" $root }}-rw
{{- end -}}
{{- end }}

{{- define "databaseUri" -}}
{{- if eq .Values.postgresql.mode "none" }}sqlite:////data/mlflow.db{{ else }}postgresql+psycopg2:///{{ .Values.postgresql.database }}{{ end -}}
{{- end }}

{{- define "usersUri" -}}
{{- if eq .Values.postgresql.mode "none" }}sqlite:////data/basic_auth.db{{ else }}postgresql+psycopg2:///{{ .Values.postgresql.usersDatabase }}{{ end -}}
{{- end }}

{{- define "artifactsDestination" -}}
{{- if .Values.artifacts.destination }}{{ .Values.artifacts.destination }}
{{- else if .Values.s3.bucket }}s3://{{ .Values.s3.bucket }}/{{ .Values.artifacts.path }}
{{- else }}/data/artifacts{{ end -}}
{{- end }}

{{/* Whether the server has a volume. */}}
{{- define "volume" -}}
{{- if or (eq .Values.postgresql.mode "none") (hasPrefix "/data" (include "artifactsDestination" .)) }}yes{{ end -}}
{{- end }}

{{/* Whether a certificate authority of PostgreSQL is mounted. */}}
{{- define "databaseCa" -}}
{{- if hasPrefix "verify" .Values.postgresql.sslmode -}}
{{- if eq .Values.postgresql.mode "cluster" }}{{ include "cluster" . }}-ca
{{- else if eq .Values.postgresql.mode "external" }}{{ .Values.postgresql.external.ca.existingSecret }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "databaseCaKey" -}}
{{- if eq .Values.postgresql.mode "external" }}{{ .Values.postgresql.external.ca.key }}{{ else }}ca.crt{{ end -}}
{{- end }}

{{/*
Where the database is and who we are there, for libpq's variables: they are read by ferroflow, by psycopg2 and by psql.
So no URI has a host, a user or a password in it, and none has to be changed after a recovery: user and password come
from the Secret that the operator makes for the cluster of today. Arguments: the root, whether PgBouncer will do.
*/}}
{{- define "databaseEnv" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.postgresql -}}
{{- if ne .mode "none" -}}
{{- $external := eq .mode "external" -}}
{{- $secret := ternary .external.existingSecret (printf "%s-app" .clusterName) $external }}
- name: PGHOST
  value: {{ include "databaseHost" $ | quote }}
- name: PGPORT
  value: {{ ternary .external.port 5432 $external | quote }}
- name: PGUSER
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ ternary .external.usernameKey "username" $external }}}}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ ternary .external.passwordKey "password" $external }}}}
{{- /* With a file named, libpq checks certificates even when only encryption is required. */}}
{{- $pgbouncer := and .pooler.enabled (index $ 1) (not $external) (hasPrefix "verify" .sslmode) }}
- name: PGSSLMODE
  value: {{ ternary "require" .sslmode $pgbouncer }}
{{- if and (include "databaseCa" $root) (not $pgbouncer) }}
- name: PGSSLROOTCERT
  value: /etc/mlflow/database-ca/ca.crt
{{- end }}
- name: PGAPPNAME
  value: {{ include "name" $root }}
{{- end }}
{{- end }}
{{- end }}

{{/* Everything that a program of either engine needs to reach the database and the bucket. */}}
{{- define "env" -}}
{{- $root := index . 0 -}}
- name: HOME
  value: /tmp
- name: MLFLOW_BACKEND_STORE_URI
  value: {{ include "databaseUri" $root | quote }}
- name: MLFLOW_ARTIFACTS_DESTINATION
  value: {{ include "artifactsDestination" $root | quote }}
{{- with $root.Values.s3 }}
{{- if .endpointUrl }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ .endpointUrl | quote }}
{{- end }}
{{- if .region }}
- name: AWS_DEFAULT_REGION
  value: {{ .region | quote }}
{{- end }}
{{- if and .existingSecret (ne .accessKeyIdKey "AWS_ACCESS_KEY_ID") }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .accessKeyIdKey }}}}
{{- end }}
{{- if and .existingSecret (ne .secretAccessKeyKey "AWS_SECRET_ACCESS_KEY") }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .existingSecret }}, key: {{ .secretAccessKeyKey }}}}
{{- end }}
{{- if .checksumWhenRequired }}
- name: AWS_REQUEST_CHECKSUM_CALCULATION
  value: when_required
- name: AWS_RESPONSE_CHECKSUM_VALIDATION
  value: when_required
{{- end }}
{{- if .ca.existingSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/mlflow/s3-ca/ca.crt
{{- end }}
{{- end }}
{{- if include "customCa" $root }}
{{- range list "SSL_CERT_FILE" "REQUESTS_CA_BUNDLE" "PIP_CERT" }}
- name: {{ . }}
  value: /etc/mlflow/ca/ca-bundle.crt
{{- end }}
{{- if not $root.Values.s3.ca.existingSecret }}
- name: AWS_CA_BUNDLE
  value: /etc/mlflow/ca/ca-bundle.crt
{{- end }}
{{- end }}
{{- include "databaseEnv" . }}
{{- end }}

{{- define "envFrom" -}}
{{- if .Values.s3.existingSecret }}
- secretRef: {name: {{ .Values.s3.existingSecret }}}
{{- end }}
{{- with .Values.mlflow.envFrom }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "customCa" -}}
{{- if .Values.customCA.existingConfigMap }}{{ .Values.customCA.existingConfigMap }}
{{- else if .Values.customCA.openshiftBundle }}{{ include "name" . }}-ca-bundle{{ end -}}
{{- end }}

{{- define "volumeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if include "volume" . }}
- {name: data, mountPath: /data}
{{- end }}
{{- if include "databaseCa" . }}
- {name: database-ca, mountPath: /etc/mlflow/database-ca, readOnly: true}
{{- end }}
{{- with include "storeCaMounts" . }}
{{ . }}
{{- end }}
{{- if .Values.auth.enabled }}
- {name: auth, mountPath: /etc/mlflow/auth, readOnly: true}
{{- end }}
{{- end }}

{{- define "volumes" -}}
- name: tmp
  emptyDir: {}
{{- if include "volume" . }}
- name: data
  persistentVolumeClaim: {claimName: {{ .Values.persistence.existingClaim | default (printf "%s-data" (include "name" .)) }}}
{{- end }}
{{- with include "databaseCa" . }}
- name: database-ca
  secret: {secretName: {{ . }}, items: [{key: {{ include "databaseCaKey" $ }}, path: ca.crt}]}
{{- end }}
{{- with include "storeCaVolumes" . }}
{{ . }}
{{- end }}
{{- if .Values.auth.enabled }}
- name: auth
  secret: {secretName: {{ .Values.auth.existingSecret }}, items: [{key: {{ .Values.auth.key }}, path: basic-auth.ini}]}
{{- end }}
{{- end }}

{{/* Whom what talks to the bucket trusts. */}}
{{- define "storeCaMounts" -}}
{{- if .Values.s3.ca.existingSecret }}
- {name: s3-ca, mountPath: /etc/mlflow/s3-ca, readOnly: true}
{{- end }}
{{- if include "customCa" . }}
- {name: custom-ca, mountPath: /etc/mlflow/ca, readOnly: true}
{{- end }}
{{- end }}

{{- define "storeCaVolumes" -}}
{{- with .Values.s3.ca }}
{{- if .existingSecret }}
- name: s3-ca
  secret: {secretName: {{ .existingSecret }}, items: [{key: {{ .key }}, path: ca.crt}]}
{{- end }}
{{- end }}
{{- with include "customCa" . }}
- name: custom-ca
  configMap: {name: {{ . }}, items: [{key: {{ $.Values.customCA.key }}, path: ca-bundle.crt}]}
{{- end }}
{{- end }}

{{/*
Writes the configuration of the login to /tmp/basic-auth.ini, with the users database of the cluster of today, and
derives the key of forms, which must be the same in every replica and is nobody's to invent.
*/}}
{{- define "authScript" -}}
umask 077
{{- if eq .Values.auth.users "database" }}
sed -e '/^[[:space:]]*database_uri[[:space:]]*[=:]/d' -e 's|^\[mlflow\].*|&\ndatabase_uri = {{ include "usersUri" . }}|' /etc/mlflow/auth/basic-auth.ini >/tmp/basic-auth.ini
{{- else }}
cat /etc/mlflow/auth/basic-auth.ini >/tmp/basic-auth.ini
{{- end }}
export MLFLOW_AUTH_CONFIG_PATH=/tmp/basic-auth.ini
{{- if not .Values.auth.flaskSecretKey.existingSecret }}
key=$( (echo mlflow-flask-server-secret-key; cat /etc/mlflow/auth/basic-auth.ini; echo "${PGPASSWORD:-}") | sha256sum)
export MLFLOW_FLASK_SERVER_SECRET_KEY="${key%% *}"
{{- end }}
{{- end }}

{{/* Waits for the database. The address of the cluster answers when its primary does, so also while it recovers. */}}
{{- define "waitForDatabase" -}}
{{- $root := index . 0 -}}
{{- if ne $root.Values.postgresql.mode "none" }}
- name: wait-for-database
  image: {{ include "image" $root }}
  imagePullPolicy: {{ include "pullPolicy" $root }}
  command: [bash, -c]
  args:
    - |
      until timeout 5 bash -c 'exec 3<>"/dev/tcp/$PGHOST/$PGPORT"' 2>/dev/null; do
        echo "waiting for the database at $PGHOST:$PGPORT, which may be starting or recovering"
        sleep 2
      done
  env: {{- include "databaseEnv" . | nindent 4 }}
  resources: {{- include "smallResources" $root | nindent 4 }}
  securityContext: {{- include "containerSecurity" $root | nindent 4 }}
{{- end }}
{{- end }}
