{{/* Where the database is, and how pods reach it. */}}

{{/* Host of the database. Arguments: the root, whether PgBouncer will do. */}}
{{- define "ferroflow.databaseHost" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.postgresql.mode "external" -}}{{ $root.Values.postgresql.external.host }}
{{- else if and $root.Values.postgresql.pooler.enabled (index . 1) -}}{{ include "ferroflow.cluster" $root }}-pooler-rw
{{- else -}}{{ include "ferroflow.cluster" $root }}-rw
{{- end -}}
{{- end }}

{{/* Non-empty where the Secret of an external database has whole URIs. */}}
{{- define "ferroflow.uriKey" -}}
{{- if eq .Values.postgresql.mode "external" }}{{ .Values.postgresql.external.uriKey }}{{ end -}}
{{- end }}

{{- define "ferroflow.databaseUri" -}}
{{- if eq .Values.postgresql.mode "none" }}sqlite:////data/mlflow.db{{ else }}postgresql+psycopg2:///{{ .Values.postgresql.database }}{{ end -}}
{{- end }}

{{- define "ferroflow.usersUri" -}}
{{- if eq .Values.postgresql.mode "none" }}sqlite:////data/basic_auth.db{{ else }}postgresql+psycopg2:///{{ .Values.postgresql.usersDatabase }}{{ end -}}
{{- end }}

{{/* Whether reads go to a replica. */}}
{{- define "ferroflow.readReplica" -}}
{{- with .Values.postgresql -}}
{{- if eq .mode "cluster" }}{{ if .readReplica.enabled }}yes{{ end }}
{{- else if eq .mode "external" }}{{ if .external.readReplicaUriKey }}yes{{ end }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The variables that say where the replica is: `ferroflow ops recover` changes the value that is a name alone. */}}
{{- define "ferroflow.readReplicaEnv" -}}
{{- if include "ferroflow.readReplica" . }}
{{- with .Values.postgresql }}
{{- if eq .mode "external" }}
- name: MLFLOW_READ_REPLICA_BACKEND_STORE_URI
  valueFrom: {secretKeyRef: {name: {{ .external.existingSecret }}, key: {{ .external.readReplicaUriKey }}}}
{{- else }}
- name: FERROFLOW_STANDBYS
  value: {{ include "ferroflow.cluster" $ }}-ro
- name: MLFLOW_READ_REPLICA_BACKEND_STORE_URI
  value: postgresql://$(FERROFLOW_STANDBYS):5432/{{ .database }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether a certificate authority of PostgreSQL is mounted. */}}
{{- define "ferroflow.databaseCa" -}}
{{- if hasPrefix "verify" .Values.postgresql.sslmode -}}
{{- if eq .Values.postgresql.mode "cluster" }}{{ include "ferroflow.cluster" . }}-ca
{{- else if eq .Values.postgresql.mode "external" }}{{ .Values.postgresql.external.ca.existingSecret }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "ferroflow.databaseCaKey" -}}
{{- if eq .Values.postgresql.mode "external" }}{{ .Values.postgresql.external.ca.key }}{{ else }}ca.crt{{ end -}}
{{- end }}

{{/*
Where the database is and who we are there, for libpq's variables: they are read by ferroflow, by psycopg2 and by psql.
So no URI has a host, a user or a password in it, and none has to be changed after a recovery: user and password come
from the Secret that the operator makes for the cluster of today. Arguments: the root, whether PgBouncer will do.
*/}}
{{- define "ferroflow.databaseEnv" -}}
{{- $root := index . 0 -}}
{{- with $root.Values.postgresql -}}
{{- if ne .mode "none" -}}
{{- $external := eq .mode "external" -}}
{{- $secret := ternary .external.existingSecret (printf "%s-app" .clusterName) $external }}
{{- if and $external .external.uriKey }}
- name: MLFLOW_BACKEND_STORE_URI
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .external.uriKey }}}}
{{- else }}
- name: PGHOST
  {{- if and $external .external.hostKey }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .external.hostKey }}}}
  {{- else }}
  value: {{ include "ferroflow.databaseHost" $ | quote }}
  {{- end }}
- name: PGPORT
  {{- if and $external .external.portKey }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .external.portKey }}}}
  {{- else }}
  value: {{ ternary .external.port 5432 $external | quote }}
  {{- end }}
- name: PGUSER
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ ternary .external.usernameKey "username" $external }}}}
- name: PGPASSWORD
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ ternary .external.passwordKey "password" $external }}}}
{{- end }}
{{- /* With a file named, libpq checks certificates even when only encryption is required. */}}
{{- $pgbouncer := and .pooler.enabled (index $ 1) (not $external) (hasPrefix "verify" .sslmode) }}
- name: PGSSLMODE
  value: {{ ternary "require" .sslmode $pgbouncer }}
{{- if and (include "ferroflow.databaseCa" $root) (not $pgbouncer) }}
- name: PGSSLROOTCERT
  value: /etc/mlflow/database-ca/ca.crt
{{- end }}
- name: PGAPPNAME
  value: {{ include "ferroflow.name" $root }}
{{- end }}
{{- end }}
{{- end }}

{{/* Waits for the database. The address of the cluster answers when its primary does, so also while it recovers. */}}
{{- define "ferroflow.waitForDatabase" -}}
{{- $root := index . 0 -}}
{{- if ne $root.Values.postgresql.mode "none" }}
- name: wait-for-database
  image: {{ include "ferroflow.image" $root | quote }}
  imagePullPolicy: {{ include "ferroflow.pullPolicy" $root }}
  command: [bash, -c]
  args:
    - |
      {{- with include "ferroflow.databaseAddress" $root }}{{ . | nindent 6 }}{{ end }}
      until timeout 5 bash -c 'exec 3<>"/dev/tcp/$PGHOST/$PGPORT"' 2>/dev/null; do
        echo "waiting for the database at $PGHOST:$PGPORT, which may be starting or recovering"
        sleep 2
      done
  env: {{- include "ferroflow.databaseEnv" . | nindent 4 }}
  resources: {{- include "ferroflow.smallResources" $root | nindent 4 }}
  securityContext: {{- include "ferroflow.containerSecurity" $root | nindent 4 }}
{{- end }}
{{- end }}

{{/* Sets PGHOST and PGPORT where only a URI says them. */}}
{{- define "ferroflow.databaseAddress" -}}
{{- if include "ferroflow.uriKey" . -}}
address=${MLFLOW_BACKEND_STORE_URI#*://} address=${address%%[/?]*} address=${address##*@} address=${address%%,*}
case $address in
  \[*) PGHOST=${address%%]*} PGHOST=${PGHOST#\[} PGPORT=${address##*]} ;;
  *:*) PGHOST=${address%%:*} PGPORT=${address##*:} ;;
  *) PGHOST=$address PGPORT= ;;
esac
PGPORT=${PGPORT#:}
export PGHOST PGPORT=${PGPORT:-5432}
{{- end -}}
{{- end }}
