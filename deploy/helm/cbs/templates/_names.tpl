{{/* A pod's name is its body's id, which has at most 63 bytes: 17 of them are the Deployment's hash and the pod's own. */}}
{{- define "cbs.name" -}}
{{- $name := ternary .Release.Name (printf "%s-cbs" .Release.Name) (contains "cbs" .Release.Name) -}}
{{- $name | replace "." "-" | trunc 45 | trimSuffix "-" -}}
{{- end -}}

{{/* What chooses the pods: never more, for it cannot be changed. */}}
{{- define "cbs.selector" -}}
app.kubernetes.io/name: cbs
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "cbs.labels" -}}
{{ include "cbs.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "cbs.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "cbs.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "cbs.configMap" -}}
{{- .Values.specs.existingConfigMap | default (printf "%s-specs" (include "cbs.name" .)) -}}
{{- end -}}

{{- define "cbs.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* What contradicts itself is refused before it reaches a cluster. */}}
{{- define "cbs.check" -}}
{{- $least := add 5 (div (mul 3 (int .Values.body.drainSeconds)) 2) -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $least) -}}
{{- fail (printf "terminationGracePeriodSeconds is %d: write %d or more, or calls are cut off when a body stops" (int .Values.terminationGracePeriodSeconds) (int $least)) -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled .Values.keda.enabled -}}
{{- fail "autoscaling and keda are both enabled: two scalers of one Deployment work against each other" -}}
{{- end -}}
{{- if and .Values.keda.enabled (not .Values.keda.prometheus.enabled) (not .Values.keda.jetstream.enabled) -}}
{{- fail "keda is enabled without a trigger: enable keda.prometheus or keda.jetstream" -}}
{{- end -}}
{{- if and .Values.keda.enabled .Values.keda.jetstream.enabled (not (and .Values.keda.jetstream.stream .Values.keda.jetstream.consumer)) -}}
{{- fail "keda.jetstream needs a stream and a consumer" -}}
{{- end -}}
{{- if and (eq .Values.mode "specs") (not .Values.specs.files) (not .Values.specs.existingConfigMap) -}}
{{- fail "mode specs needs specs.files or specs.existingConfigMap" -}}
{{- end -}}
{{- end -}}
