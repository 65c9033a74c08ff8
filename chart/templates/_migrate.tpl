{{/* The pod that upgrades both databases. Run twice, it finds nothing to do. */}}
{{- define "migratePod" -}}
metadata:
  labels: {{- include "labelsOf" (list . "migrate") | nindent 4 }}
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "serviceAccount" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- include "pullSecrets" . | nindent 2 }}
  securityContext: {{- include "podSecurity" . | nindent 4 }}
  {{- if ne .Values.postgresql.mode "none" }}
  initContainers:
    {{- include "waitForDatabase" (list . false) | nindent 4 }}
  {{- end }}
  containers:
    - name: migrate
      image: {{ include "image" . }}
      imagePullPolicy: {{ include "pullPolicy" . }}
      command: [bash, -c]
      args:
        - |
          set -eu
          {{- if .Values.auth.enabled }}
          {{- include "authScript" . | nindent 10 }}
          users=$(sed -n 's/^[[:space:]]*database_uri[[:space:]]*[=:][[:space:]]*//p' /tmp/basic-auth.ini | tail -n 1)
          {{- end }}
          {{- if eq .Values.engine "ferroflow" }}
          ferroflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
          {{- if .Values.auth.enabled }}
          ferroflow db upgrade --auth "$users"
          {{- end }}
          {{- else }}
          mlflow db upgrade "$MLFLOW_BACKEND_STORE_URI"
          {{- if .Values.auth.enabled }}
          python -m mlflow.server.auth db upgrade --url "$users"
          {{- end }}
          {{- end }}
          echo "The databases are up to date."
      env:
        {{- include "env" (list . false) | nindent 8 }}
        {{- with .Values.mlflow.extraEnv }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with include "envFrom" . }}
      envFrom: {{- . | nindent 8 }}
      {{- end }}
      resources: {{- include "resources" . | nindent 8 }}
      securityContext: {{- include "containerSecurity" . | nindent 8 }}
      volumeMounts:
        {{- include "volumeMounts" . | nindent 8 }}
        {{- with .Values.mlflow.volumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
  volumes:
    {{- include "volumes" . | nindent 4 }}
    {{- with .Values.mlflow.volumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}

{{- define "migrateJob" -}}
backoffLimit: 3
activeDeadlineSeconds: {{ .Values.migration.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ .Values.migration.ttlSecondsAfterFinished }}
template:
  {{- include "migratePod" . | nindent 2 }}
{{- end }}
