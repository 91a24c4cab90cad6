{{/* Labels of an object of one half: include "hawser.labels" (list $ "server") */}}
{{- define "hawser.labels" -}}
k8s-app: konnectivity-{{ index . 1 }}
app.kubernetes.io/name: hawser
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ (index . 0).Chart.Name }}-{{ (index . 0).Chart.Version }}
{{- end }}

{{/* The image of one half: include "hawser.image" (list $ "server") */}}
{{- define "hawser.image" -}}
{{- with (index . 0) -}}
{{ .Values.image.repository }}/proxy-{{ index $ 1 }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* What every container of a half that serves may do: nothing but run. */}}
{{- define "hawser.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Probes of a half, on its port `health`. */}}
{{- define "hawser.probes" -}}
livenessProbe:
  httpGet:
    path: /healthz
    port: health
  initialDelaySeconds: 10
  timeoutSeconds: 15
readinessProbe:
  httpGet:
    path: /readyz
    port: health
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}
