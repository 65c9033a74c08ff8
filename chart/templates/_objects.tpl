{{/* Names, labels and annotations of objects, and merging of what users give with what the chart gives. */}}

{{/* A value as text: numbers as they were written (Helm reads 20261123 as 2.0261123e+07). */}}
{{- define "ferroflow.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ int64 . }}{{ else }}{{ toString . }}{{ end -}}
{{- end }}

{{/* A map of texts, in JSON: labels, annotations and settings take numbers and booleans only as text. Without nulls. */}}
{{- define "ferroflow.texts" -}}
{{- $texts := dict -}}
{{- range $key, $value := . -}}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $texts $key (include "ferroflow.text" $value) }}{{ end -}}
{{- end -}}
{{- toJson $texts -}}
{{- end }}

{{/*
The chart's list with the user's appended. Entries of the user replace those of the chart with the same key: twice the
same one is a conflict for server-side apply. Arguments: the key, the chart's list in YAML, the user's list.
*/}}
{{- define "ferroflow.overlay" -}}
{{- $key := index . 0 -}}
{{- $given := index . 2 | default list -}}
{{- $keys := list -}}
{{- range $given }}{{ $keys = append $keys (get . $key) }}{{ end -}}
{{- $all := list -}}
{{- range index . 1 | fromYamlArray -}}
{{- if not (has (get . $key) $keys) }}{{ $all = append $all . }}{{ end -}}
{{- end -}}
{{- concat $all $given | toYaml -}}
{{- end }}

{{/* Variables of a container: the chart's and the user's, whose values may be numbers. Arguments: the chart's in YAML, the user's. */}}
{{- define "ferroflow.variables" -}}
{{- $given := list -}}
{{- range index . 1 -}}
{{- $one := deepCopy . -}}
{{- if hasKey $one "value" }}{{ $_ := set $one "value" (include "ferroflow.text" $one.value) }}{{ end -}}
{{- $given = append $given $one -}}
{{- end -}}
{{- include "ferroflow.overlay" (list "name" (index . 0) $given) -}}
{{- end }}

{{/*
Name, labels and annotations of an object. Arguments, in a dict: root, kind, name; component, if it has one; labels and
annotations of this object alone. `annotations.<kind>` is stronger than these, `commonAnnotations` weaker.
*/}}
{{- define "ferroflow.metadata" -}}
{{- $values := .root.Values -}}
name: {{ .name }}
labels: {{- include "ferroflow.labels" . | nindent 2 }}
{{- $annotations := dict -}}
{{- $options := list -}}
{{- range list $values.commonAnnotations .annotations (index $values.annotations .kind) -}}
{{- $layer := include "ferroflow.texts" (. | default dict) | fromJson -}}
{{- with index $layer "argocd.argoproj.io/sync-options" }}{{ $options = concat $options (splitList "," .) }}{{ end -}}
{{- $annotations = mergeOverwrite $annotations $layer -}}
{{- end -}}
{{- /* A list: one option more does not take away those that keep the cluster. */ -}}
{{- with $options }}{{ $_ := set $annotations "argocd.argoproj.io/sync-options" (uniq . | join ",") }}{{ end -}}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Labels of an object; arguments as above. What finds objects (Services, policies, `ferroflow ops`) needs the chart's own ones, so these win. */}}
{{- define "ferroflow.labels" -}}
{{- $root := .root -}}
{{- $labels := dict "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_") -}}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion -}}
{{- $labels = mergeOverwrite $labels (include "ferroflow.texts" $root.Values.commonLabels | fromJson) -}}
{{- $labels = mergeOverwrite $labels (include "ferroflow.texts" (.labels | default dict) | fromJson) -}}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service -}}
{{- $_ := set $labels "app.kubernetes.io/part-of" "mlflow" -}}
{{- $labels = mergeOverwrite $labels (include "ferroflow.selector" $root | fromYaml) -}}
{{- with .component -}}
{{- $_ := set $labels "app.kubernetes.io/component" . -}}
{{- if ne . "server" }}{{ $_ := set $labels "app.kubernetes.io/name" (printf "mlflow-%s" .) }}{{ end -}}
{{- end -}}
{{- toYaml $labels -}}
{{- end }}
