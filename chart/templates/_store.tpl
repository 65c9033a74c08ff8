{{/* The bucket for artifacts and backups: of S3, of Azure Blob Storage, or of Google Cloud Storage. */}}

{{/* Which of them: s3, azure, gcs; empty without a bucket. */}}
{{- define "ferroflow.store" -}}
{{- if .Values.s3.bucket }}s3{{ else if .Values.azure.container }}azure{{ else if .Values.gcs.bucket }}gcs{{ end -}}
{{- end }}

{{/* The URI of a folder in it. Arguments: the root, the scheme for Azure (https for the plugin, wasbs for MLflow), the folder. */}}
{{- define "ferroflow.bucket" -}}
{{- $path := index . 2 -}}
{{- $azure := index . 1 -}}
{{- with (index . 0).Values -}}
{{- if .s3.bucket }}s3://{{ .s3.bucket }}/{{ $path }}
{{- else if .azure.container -}}
{{- $host := printf "%s.blob.%s" .azure.account .azure.endpointSuffix -}}
{{- if eq $azure "https" }}https://{{ $host }}/{{ .azure.container }}/{{ $path }}{{ else }}wasbs://{{ .azure.container }}@{{ $host }}/{{ $path }}{{ end -}}
{{- else }}gs://{{ .gcs.bucket }}/{{ $path }}{{ end -}}
{{- end -}}
{{- end }}

{{/* The Secret with the keys of S3. Its default is left alone where the bucket is Azure's or Google's. */}}
{{- define "ferroflow.s3Secret" -}}
{{- if not (or .Values.azure.container .Values.gcs.bucket) }}{{ .Values.s3.existingSecret }}{{ end -}}
{{- end }}

{{/* Non-empty where the role of the service account opens the bucket, not a Secret. */}}
{{- define "ferroflow.keyless" -}}
{{- $store := include "ferroflow.store" . -}}
{{- if and $store (not (index .Values $store).existingSecret) }}yes{{ end -}}
{{- end }}

{{/* The label by which Azure gives a pod its identity. */}}
{{- define "ferroflow.workloadIdentity" -}}
{{- if and .Values.azure.container (not .Values.azure.existingSecret) -}}
azure.workload.identity/use: "true"
{{- end -}}
{{- end }}

{{/* Annotations of the service account of PostgreSQL's pods, in JSON: the role that opens the bucket, and what is given for them. */}}
{{- define "ferroflow.postgresqlServiceAccount" -}}
{{- $annotations := dict -}}
{{- if include "ferroflow.keyless" . }}{{ $annotations = include "ferroflow.texts" .Values.serviceAccount.annotations | fromJson }}{{ end -}}
{{- mergeOverwrite $annotations (include "ferroflow.texts" .Values.postgresql.serviceAccountAnnotations | fromJson) | toJson -}}
{{- end }}

{{/* Variables of the server and its Jobs. */}}
{{- define "ferroflow.storeEnv" -}}
{{- with .Values.azure }}
{{- if and .container .existingSecret }}
{{- $secret := .existingSecret }}
{{- if .accountKeyKey }}
- name: AZURE_STORAGE_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .accountKeyKey }}}}
{{- else if .sasTokenKey }}
- name: AZURE_STORAGE_SAS_TOKEN
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .sasTokenKey }}}}
{{- else }}
- name: AZURE_STORAGE_CONNECTION_STRING
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .connectionStringKey }}}}
{{- end }}
{{- end }}
{{- end }}
{{- if .Values.gcs.existingSecret }}
- name: GOOGLE_APPLICATION_CREDENTIALS
  value: /etc/mlflow/gcs/credentials.json
{{- end }}
{{- $secret := include "ferroflow.s3Secret" . }}
{{- if not (or .Values.azure.container .Values.gcs.bucket) }}
{{- with .Values.s3 }}
{{- if .endpointUrl }}
- name: MLFLOW_S3_ENDPOINT_URL
  value: {{ .endpointUrl | quote }}
{{- end }}
{{- if .region }}
- name: AWS_DEFAULT_REGION
  value: {{ .region | quote }}
{{- end }}
{{- if and $secret (ne .accessKeyIdKey "AWS_ACCESS_KEY_ID") }}
- name: AWS_ACCESS_KEY_ID
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .accessKeyIdKey }}}}
{{- end }}
{{- if and $secret (ne .secretAccessKeyKey "AWS_SECRET_ACCESS_KEY") }}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ .secretAccessKeyKey }}}}
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
{{- end }}
{{- end }}

{{/* The bucket, as both backup interfaces describe it. Arguments: the root, the folder. */}}
{{- define "ferroflow.objectStore" -}}
{{- $root := index . 0 -}}
{{- $store := include "ferroflow.store" $root -}}
destinationPath: {{ include "ferroflow.bucket" (list $root "https" (index . 1)) }}
{{- if eq $store "azure" }}
azureCredentials:
  {{- with $root.Values.azure }}
  {{- if not .existingSecret }}
  inheritFromAzureAD: true
  {{- else if or .accountKeyKey .sasTokenKey }}
  storageAccount: {name: {{ .existingSecret }}, key: {{ .accountNameKey }}}
  {{- if .accountKeyKey }}
  storageKey: {name: {{ .existingSecret }}, key: {{ .accountKeyKey }}}
  {{- else }}
  storageSasToken: {name: {{ .existingSecret }}, key: {{ .sasTokenKey }}}
  {{- end }}
  {{- else }}
  connectionString: {name: {{ .existingSecret }}, key: {{ .connectionStringKey }}}
  {{- end }}
  {{- end }}
{{- else if eq $store "gcs" }}
googleCredentials:
  {{- with $root.Values.gcs }}
  {{- if .existingSecret }}
  applicationCredentials: {name: {{ .existingSecret }}, key: {{ .key }}}
  {{- else }}
  gkeEnvironment: true
  {{- end }}
  {{- end }}
{{- else }}
{{- with $root.Values.s3 }}
{{- with .endpointUrl }}
endpointURL: {{ . | quote }}
{{- end }}
{{- if .ca.existingSecret }}
endpointCA: {name: {{ .ca.existingSecret }}, key: {{ .ca.key }}}
{{- end }}
s3Credentials:
  {{- if .existingSecret }}
  accessKeyId: {name: {{ .existingSecret }}, key: {{ .accessKeyIdKey }}}
  secretAccessKey: {name: {{ .existingSecret }}, key: {{ .secretAccessKeyKey }}}
  {{- else }}
  inheritFromIAMRole: true
  {{- end }}
{{- end }}
{{- end }}
{{- with $root.Values.backup }}
wal:
  maxParallel: {{ .maxParallel }}
  {{- if ne .compression "none" }}
  compression: {{ .compression }}
  {{- end }}
  {{- with .encryption }}
  encryption: {{ . | quote }}
  {{- end }}
data:
  jobs: {{ .maxParallel }}
  {{- if ne .compression "none" }}
  compression: {{ .compression }}
  {{- end }}
  {{- with .encryption }}
  encryption: {{ . | quote }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Variables of the programs that talk to the bucket from PostgreSQL's pods. */}}
{{- define "ferroflow.objectStoreEnv" -}}
{{- if eq (include "ferroflow.store" .) "s3" }}
{{- if .Values.s3.checksumWhenRequired }}
- {name: AWS_REQUEST_CHECKSUM_CALCULATION, value: when_required}
- {name: AWS_RESPONSE_CHECKSUM_VALIDATION, value: when_required}
{{- end }}
{{- if .Values.s3.region }}
- {name: AWS_DEFAULT_REGION, value: {{ .Values.s3.region | quote }}}
{{- end }}
{{- end }}
{{- include "ferroflow.proxyEnv" . }}
{{- end }}

{{/* The container beside PostgreSQL that talks to the bucket, for the plugin. */}}
{{- define "ferroflow.sidecar" -}}
{{- $sidecar := deepCopy .Values.backup.sidecar -}}
{{- $env := include "ferroflow.variables" (list (include "ferroflow.objectStoreEnv" .) ($sidecar.env | default list)) | fromYamlArray -}}
{{- with $env }}{{ $_ := set $sidecar "env" . }}{{ end -}}
{{- with $sidecar -}}
instanceSidecarConfiguration: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end }}
