{{/* The pod that upgrades both databases. Run twice, it finds nothing to do. */}}
{{- define "ferroflow.migratePod" -}}
metadata: {{- include "ferroflow.jobPodMetadata" (list . "migrate") | nindent 2 }}
spec:
  {{- include "ferroflow.jobPod" . | nindent 2 }}
  serviceAccountName: {{ include "ferroflow.serviceAccount" . }}
  {{- if ne .Values.postgresql.mode "none" }}
  initContainers:
    {{- include "ferroflow.waitForDatabase" (list . false) | nindent 4 }}
  {{- end }}
  containers:
    - name: migrate
      image: {{ include "ferroflow.image" . | quote }}
      imagePullPolicy: {{ include "ferroflow.pullPolicy" . }}
      command: [bash, -c]
      args:
        - |
          set -eu
          {{- if .Values.auth.enabled }}
          {{- include "ferroflow.authScript" . | nindent 10 }}
          {{- if ne .Values.auth.users "database" }}
          users=$(sed -n 's/^[[:space:]]*database_uri[[:space:]]*[=:][[:space:]]*//p' /tmp/basic-auth.ini | tail -n 1)
          {{- end }}
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
      env: {{- include "ferroflow.jobEnv" (list . false) | nindent 8 }}
      {{- with include "ferroflow.envFrom" . }}
      envFrom: {{- . | nindent 8 }}
      {{- end }}
      resources: {{- include "ferroflow.jobResources" . | nindent 8 }}
      securityContext: {{- include "ferroflow.containerSecurity" . | nindent 8 }}
      volumeMounts: {{- include "ferroflow.volumeMounts" . | nindent 8 }}
  volumes: {{- include "ferroflow.volumes" . | nindent 4 }}
{{- end }}

{{- define "ferroflow.migrateJob" -}}
backoffLimit: 3
activeDeadlineSeconds: {{ int64 .Values.migration.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ int64 .Values.migration.ttlSecondsAfterFinished }}
template:
  {{- include "ferroflow.migratePod" . | nindent 2 }}
{{- end }}

{{/*
The Job of `migration.hook`. It ends well where the cluster does not exist yet: Helm creates that after its hooks, so in the
upgrade that begins a recovery the Job would wait for ever.
*/}}
{{- define "ferroflow.migrateHook" -}}
{{- $job := include "ferroflow.migrateJob" . | fromYaml -}}
{{- if and (eq .Values.migration.hook "helm") (eq .Values.postgresql.mode "cluster") -}}
{{- $spec := $job.template.spec -}}
{{- $script := `for attempt in 1 2 3 4 5 6; do getent hosts "$PGHOST" >/dev/null && break; sleep 5; done
getent hosts "$PGHOST" >/dev/null || { echo "There is no cluster at $PGHOST yet: nothing to upgrade."; exit 0; }
` -}}
{{- $wait := first $spec.initContainers -}}
{{- $_ := set $wait "args" (list (printf "%s%s" $script (first $wait.args))) -}}
{{- $main := first $spec.containers -}}
{{- $_ := set $main "args" (list (printf "%s%s" $script (first $main.args))) -}}
{{- end -}}
{{- toYaml $job -}}
{{- end }}
