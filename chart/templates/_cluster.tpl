{{/* CloudNativePG's objects. */}}

{{/* The name of the ObjectStore with the backups to recover from. */}}
{{- define "ferroflow.recoveryStore" -}}
{{ include "ferroflow.name" . }}-{{ if and .Values.recovery.path (ne .Values.recovery.path .Values.backup.path) }}recovery{{ else }}backup{{ end }}
{{- end }}

{{/* Where a cluster is made from. Arguments: the root, the server's name, the folder, the ObjectStore. */}}
{{- define "ferroflow.externalCluster" -}}
{{- $root := index . 0 -}}
- name: {{ index . 1 }}
  {{- if eq $root.Values.backup.method "plugin" }}
  plugin:
    name: barman-cloud.cloudnative-pg.io
    parameters: {barmanObjectName: {{ index . 3 }}, serverName: {{ index . 1 }}}
  {{- else }}
  barmanObjectStore:
    serverName: {{ index . 1 }}
    {{- include "ferroflow.objectStore" (list $root (index . 2)) | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The place to stop at. */}}
{{- define "ferroflow.recoveryTarget" -}}
{{- with .Values.recovery }}
{{- if or .targetTime .targetLSN .targetName .targetImmediate .backupID }}
recoveryTarget:
  {{- with .backupID }}
  backupID: {{ . | quote }}
  {{- end }}
  {{- with .targetTime }}
  {{- /* As RFC 3339, however it was written. */}}
  targetTime: {{ regexReplaceAll "([+-][0-9]{2})([0-9]{2})$" (regexReplaceAll "([+-][0-9]{2})$" (replace " " "T" .) "${1}:00") "${1}:${2}" | quote }}
  {{- end }}
  {{- with .targetLSN }}
  targetLSN: {{ . | quote }}
  {{- end }}
  {{- with .targetName }}
  targetName: {{ . | quote }}
  {{- end }}
  {{- if .targetImmediate }}
  targetImmediate: true
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "ferroflow.clusterSpec" -}}
instances: {{ .Values.postgresql.instances }}
{{- if eq (int .Values.postgresql.instances) 1 }}
# With it, the node of the only instance could never be drained: no other one takes over.
enablePDB: false
{{- end }}
{{- with .Values.postgresql.imageName }}
imageName: {{ . }}
{{- end }}
{{- include "ferroflow.pullSecrets" . }}
{{- with include "ferroflow.postgresqlServiceAccount" . | fromJson }}
serviceAccountTemplate:
  metadata:
    annotations: {{- toYaml . | nindent 6 }}
{{- end }}
{{- with include "ferroflow.workloadIdentity" . }}
inheritedMetadata:
  labels: {{- . | nindent 4 }}
{{- end }}
enableSuperuserAccess: false
storage:
  size: {{ .Values.postgresql.storage.size }}
  {{- with .Values.postgresql.storage.storageClass }}
  storageClass: {{ . }}
  {{- end }}
{{- with .Values.postgresql.walStorage }}
{{- if .size }}
walStorage:
  size: {{ .size }}
  {{- with .storageClass }}
  storageClass: {{ . }}
  {{- end }}
{{- end }}
{{- end }}
resources: {{- toYaml .Values.postgresql.resources | nindent 2 }}
affinity: {{- toYaml .Values.postgresql.affinity | nindent 2 }}
postgresql:
  parameters:
    archive_timeout: {{ .Values.postgresql.archiveTimeout }}
    {{- range $name, $value := omit (include "ferroflow.texts" .Values.postgresql.parameters | fromJson) "archive_timeout" }}
    {{ $name }}: {{ $value | quote }}
    {{- end }}
bootstrap:
  {{- if .Values.recovery.serverName }}
  recovery:
    source: {{ .Values.recovery.serverName }}
    database: {{ .Values.postgresql.database }}
    owner: {{ .Values.postgresql.owner }}
    {{- include "ferroflow.recoveryTarget" . | nindent 4 }}
  {{- else }}
  initdb:
    database: {{ .Values.postgresql.database }}
    owner: {{ .Values.postgresql.owner }}
    encoding: UTF8
    dataChecksums: true
    {{- if ne .Values.postgresql.database .Values.postgresql.usersDatabase }}
    postInitSQL:
      - CREATE DATABASE "{{ .Values.postgresql.usersDatabase }}" OWNER "{{ .Values.postgresql.owner }}" TEMPLATE template0
    {{- end }}
  {{- end }}
{{- if .Values.recovery.serverName }}
externalClusters:
  {{- include "ferroflow.externalCluster" (list . .Values.recovery.serverName (.Values.recovery.path | default .Values.backup.path) (include "ferroflow.recoveryStore" .)) | nindent 2 }}
{{- end }}
{{- if eq .Values.backup.method "plugin" }}
{{- if .Values.backup.enabled }}
plugins:
  - name: barman-cloud.cloudnative-pg.io
    isWALArchiver: true
    parameters: {barmanObjectName: {{ include "ferroflow.name" . }}-backup, serverName: {{ include "ferroflow.ownServerName" . }}}
{{- end }}
{{- else if .Values.backup.enabled }}
backup:
  target: {{ .Values.backup.target }}
  retentionPolicy: {{ .Values.backup.retention }}
  barmanObjectStore:
    serverName: {{ include "ferroflow.ownServerName" . }}
    {{- include "ferroflow.objectStore" (list . .Values.backup.path) | nindent 4 }}
{{- end }}
{{- if and (eq .Values.backup.method "inTree") (or .Values.backup.enabled .Values.recovery.serverName) }}
{{- with include "ferroflow.objectStoreEnv" . }}
env: {{- . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
